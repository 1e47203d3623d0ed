"""Where 16-bit weights lose the updates that float32 weights keep, and the optimiser with 8-bit state."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from atu.errors import UserError
from atu.methods.config import TrainingModule
from atu.training.checkpoint import optimizer_tensors, restore_optimizer
from atu.training.optimizer import unlearn_optimizer

STEPS = 100
RATE = 3e-4
"""Of the paper's gradient descent; its gradients are clipped to norm 1."""
WIDTH = 64
"""Square root of the number of weights: all of them move 1 / WIDTH of the rate each."""


def trained(dtype: torch.dtype, optimizer: str, rate: float) -> Tensor:
    """Weights of the usual size (0.02) after steps whose gradient has norm 1 and always the same sign."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(WIDTH, WIDTH, generator=generator) * 0.02
    weight = Parameter(start.bfloat16().to(dtype))
    settings = TrainingModule(unlearning_optimizer=optimizer, unlearning_lr=rate)  # type: ignore[arg-type]
    stepper = unlearn_optimizer([weight], settings)
    for _ in range(STEPS):
        weight.grad = torch.full_like(weight, 1 / WIDTH)
        stepper.step()
    return weight.detach().float() - start.bfloat16().float()


def test_float32_weights_move_by_the_sum_of_their_updates() -> None:
    # 100 steps of 3e-4 / 64 each
    expected = torch.full((WIDTH, WIDTH), -STEPS * RATE / WIDTH)
    torch.testing.assert_close(trained(torch.float32, "sgd", RATE), expected, rtol=1e-3, atol=0)


def test_bfloat16_weights_lose_most_of_the_same_updates() -> None:
    # A step of 3e-4 / 64 = 4.7e-6 is below half the distance of neighbors in bfloat16 where |w| >= 2**-9 = 0.002 (half
    # the distance is 2**-9 * 2**-8 = 7.6e-6 there): of normal weights of size 0.02 that are 92%, which never move.
    moved = trained(torch.bfloat16, "sgd", RATE)
    assert float((moved == 0).float().mean()) > 0.85
    # Summed over all weights less than a tenth of the movement is left.
    assert float(moved.sum()) > 0.1 * -STEPS * RATE * WIDTH


def test_adams_updates_of_the_same_size_are_lost_too() -> None:
    # A step of Adam is the rate itself, whatever the gradient: here 3e-5, the default of unlearning_lr, against half
    # a distance of 3.1e-5 and more for |w| >= 2**-7.
    full, half = (trained(dtype, "adamw", TrainingModule().unlearning_lr) for dtype in (torch.float32, torch.bfloat16))
    torch.testing.assert_close(full, torch.full_like(full, -STEPS * 3e-5), rtol=1e-2, atol=0)
    assert float((half == 0).float().mean()) > 0.6


EIGHT_BIT = TrainingModule(unlearning_optimizer="adamw8bit", unlearning_lr=1e-3)


def steps(weight: Parameter, optimizer: torch.optim.Optimizer, numbers: range) -> None:
    for number in numbers:
        weight.grad = torch.randn(weight.shape, generator=torch.Generator().manual_seed(number))
        optimizer.step()


@pytest.mark.usefixtures("bitsandbytes")
def test_the_8_bit_state_is_a_quarter_in_size_and_steps_alike() -> None:
    weight, reference = (Parameter(torch.zeros(128, 128)) for _ in range(2))
    optimizer = unlearn_optimizer([weight], EIGHT_BIT)
    steps(weight, optimizer, range(10))
    steps(reference, unlearn_optimizer([reference], TrainingModule(unlearning_lr=1e-3)), range(10))
    # Two bytes a weight where AdamW has eight, and a few for the scales of blocks of 256.
    size = sum(tensor.numel() * tensor.element_size() for tensor in optimizer_tensors(optimizer).values())
    assert 2.0 <= size / weight.numel() < 2.2
    # Ten steps of at most 1e-3 each
    assert float((weight - reference).detach().abs().mean()) < 0.05 * float(reference.detach().abs().mean())


@pytest.mark.usefixtures("bitsandbytes")
def test_the_8_bit_state_goes_through_a_checkpoint_bit_for_bit() -> None:
    whole, resumed = (Parameter(torch.zeros(128, 128)) for _ in range(2))
    optimizer = unlearn_optimizer([whole], EIGHT_BIT)
    steps(whole, optimizer, range(4))
    kept = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer).items()}
    resumed.data.copy_(whole.data)
    fresh = unlearn_optimizer([resumed], EIGHT_BIT)
    restore_optimizer(fresh, kept)
    steps(whole, optimizer, range(4, 8))
    steps(resumed, fresh, range(4, 8))
    assert torch.equal(whole, resumed)


def test_without_the_package_one_line_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # what Python itself takes for "not installed"
    with pytest.raises(UserError) as caught:
        unlearn_optimizer([Parameter(torch.zeros(1))], EIGHT_BIT)
    assert str(caught.value) == (
        "task.training_module.unlearning_optimizer=adamw8bit needs the package bitsandbytes: "
        "run pip install '.[quantize]' in the project's folder."
    )
