"""The device and the arithmetic of a run."""

from __future__ import annotations

import pytest
import torch

from atu.errors import UserError
from atu.models.precision import has_fast_bf16
from atu.training.device import choose_compute, set_threads


def test_each_run_of_a_process_has_its_own_arithmetic() -> None:
    auto = "bf16" if has_fast_bf16(torch.device("cpu")) else "fp32"
    for precision, found in (("bf16", "bf16"), ("fp32", "fp32"), ("auto", auto)):
        compute = choose_compute("cpu", precision)
        assert compute.precision == found
        assert compute.device.type == "cpu"


@pytest.mark.parametrize(("instruction", "found"), [("avx512_bf16", "bf16"), ("avx2", "fp32")])
def test_auto_takes_bf16_only_where_the_processor_has_it(
    instruction: str, found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {instruction: True, "cpu_name": "any"}, raising=False)
    assert choose_compute("cpu", "auto").precision == found


def test_bf16_is_the_type_of_products_and_not_of_weights() -> None:
    layer = torch.nn.Linear(2, 2)
    with choose_compute("cpu", "bf16").autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
    with choose_compute("cpu", "fp32").autocast():
        assert layer(torch.ones(1, 2)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


def test_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_compute("auto", "auto").device.type == "cpu"
    with pytest.raises(UserError, match=r"^device=cuda, but torch sees no GPU here\. Set device=cpu"):
        choose_compute("cuda", "auto")


def test_threads_are_set_where_they_are_given() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(2)
        assert torch.get_num_threads() == 2
        set_threads(None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
