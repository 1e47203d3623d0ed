"""Rounding by hand, and an update that it undoes."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from constructed import subject

from atu.attacks import quantize
from atu.attacks.quantize import GROUP, Survival, rounded, survival, to_bf16, to_int4, to_int8
from atu.models.language_model import LanguageModel


def test_int8_has_one_scale_a_row() -> None:
    # Scales 1.27 / 127 = 0.01 and 2.54 / 127 = 0.02; 0.015 lies between 0.00 and 0.02.
    weight = torch.tensor([[1.27, 0.014, -0.006], [2.54, 0.014, -0.031]])
    expected = torch.tensor([[1.27, 0.01, -0.01], [2.54, 0.02, -0.04]])
    assert torch.allclose(to_int8(weight), expected, atol=1e-6)


def test_int4_has_one_scale_a_group() -> None:
    weight = torch.zeros(1, GROUP + 2)
    weight[0, :3] = torch.tensor([0.7, 0.34, -0.06])  # scale 0.1
    weight[0, GROUP:] = torch.tensor([7.0, 0.34])  # scale 1
    expected = torch.zeros(1, GROUP + 2)
    expected[0, :3] = torch.tensor([0.7, 0.3, -0.1])
    expected[0, GROUP:] = torch.tensor([7.0, 0.0])
    assert torch.allclose(to_int4(weight), expected, atol=1e-6)


def test_a_row_of_zeros_stays() -> None:
    assert torch.equal(to_int8(torch.zeros(2, 3)), torch.zeros(2, 3))


def test_bf16_has_eight_bits() -> None:
    # Between 1 and 2 the step is 1/128: 1.003 goes to 1, 1.005 to 1.0078125.
    assert to_bf16(torch.tensor([[1.003, 1.005]])).tolist() == [[1.0, 1.0078125]]


def test_nf4_keeps_the_ends_and_rounds_to_the_nearest_quantile() -> None:
    pytest.importorskip("bitsandbytes")
    # Table of QLoRA, appendix E: ..., 0, 0.0796, 0.1609, ...; the block's largest weight is the scale.
    weight = torch.zeros(1, 64)
    weight[0, :3] = torch.tensor([2.0, 0.17, -2.0])  # 0.17 / 2 = 0.085, nearest 0.0796
    found = quantize.to_nf4(weight)
    assert found[0, :3].tolist() == pytest.approx([2.0, 2 * 0.0795803, -2.0], abs=1e-4)


def test_an_update_smaller_than_half_a_step_is_undone() -> None:
    before = torch.tensor([[1.27, 0.50, -0.30]])  # on the grid of int8: steps of 0.01
    after = before + torch.tensor([[0.0, 0.004, -0.004]])
    assert survival([before], [after], to_int8) == Survival(share=0.0, moved=0.0)


def test_an_update_of_a_whole_step_survives() -> None:
    before = torch.tensor([[1.27, 0.50, -0.30]])
    after = before + torch.tensor([[0.0, 0.010, 0.004]])
    left = survival([before], [after], to_int8)
    assert left is not None
    # u = (0.01, 0.004), u' = (0.01, 0): 1e-4 / (1e-4 + 1.6e-5); one of two changed weights moved.
    assert left.share == pytest.approx(1e-4 / 1.16e-4, rel=1e-3)
    assert left.moved == 0.5


def test_no_update_has_no_survival() -> None:
    assert survival([torch.ones(1, 2)], [torch.ones(1, 2)], to_int8) is None


def test_the_attack_reports_an_update_that_rounding_undoes(
    knowing: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = replace(knowing, model=copy.deepcopy(knowing.model))
    with torch.no_grad():
        for parameter in quantize._matrices(original).values():
            parameter.copy_(to_int8(parameter))
    unlearned = replace(original, model=copy.deepcopy(original.model))
    with torch.no_grad():
        for parameter in quantize._matrices(unlearned).values():
            # A thousandth of a step upwards, never on the largest weight of a row, which sets the scale.
            step = parameter.abs().amax(dim=1, keepdim=True) / 127
            parameter.add_(torch.where(parameter.abs() < 100 * step, step / 1000, 0.0))
    units = {unit.setting: unit for unit in quantize.units(subject(original, unlearned), [0])}
    rows = {row.group: row for row in units["int8"].run()}
    assert rows["update/moved"].score.value == 0.0
    assert rows["update/survives"].score.value == pytest.approx(0.0, abs=0.1)
    assert rows["forget/all"].recovered is None  # nothing was lost


def test_the_weights_are_put_back(knowing: LanguageModel) -> None:
    before = {name: value.clone() for name, value in knowing.model.state_dict().items()}
    with pytest.raises(RuntimeError, match="stop"), rounded(knowing, to_int4):  # noqa: PT012
        inside = knowing.model.state_dict()
        changed = {name for name in before if not torch.equal(inside[name], before[name])}
        raise RuntimeError("stop")
    assert changed == {name for name in before if "_proj" in name}  # neither embeddings, norms nor the head
    assert all(torch.equal(value, before[name]) for name, value in knowing.model.state_dict().items())
