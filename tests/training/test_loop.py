"""The one optimiser loop: what a step does, in which order, where it stops, and that it resumes to the same bits."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from atu.errors import UserError
from atu.training import loop
from atu.training.checkpoint import Progress, optimizer_tensors, restore_optimizer
from atu.training.loop import Step, train
from atu.training.parallel import Losses

START = (3.0, -4.0)


@pytest.fixture
def point() -> nn.Parameter:
    return nn.Parameter(torch.tensor(START))


def half_square(point: nn.Parameter) -> Losses:
    """Half the squared length: its gradient is the point itself."""
    return lambda step: {"total": point.square().sum() / 2}


def fault(step: int) -> str:
    return f"not finite at step {step}"


run = partial(train, rate=lambda step: 0.5, clip=math.inf, not_finite=fault)


def test_a_step_goes_down_the_gradient_by_the_rate_of_the_schedule(point: nn.Parameter) -> None:
    run(SGD([point]), half_square(point), steps=2, rate=lambda step: (0.5, 0.25)[step])
    # (1 - 0.5) * (1 - 0.25) of the way is left
    assert point.tolist() == [0.375 * 3.0, 0.375 * -4.0]
    assert point.grad is None


def test_a_long_gradient_is_shortened_and_told_as_it_was(point: nn.Parameter) -> None:
    told: list[Step] = []
    run(SGD([point]), half_square(point), steps=1, clip=1.0, after=told.append)
    # the gradient (3, -4) is 5 long; a fifth of it is taken, times the rate
    assert point.tolist() == pytest.approx([3.0 - 0.5 * 0.6, -4.0 + 0.5 * 0.8])
    assert told[0].norm == pytest.approx(5.0)


def test_a_step_tells_its_number_parts_and_rate(point: nn.Parameter) -> None:
    told: list[Step] = []

    def losses(step: int) -> dict[str, Tensor]:
        parts = {"near": point.square().sum() / 2, "far": -point.sum()}
        return {"total": parts["near"] + 2 * parts["far"], **parts}

    run(SGD([point]), losses, steps=2, rate=lambda step: 1.0 + step, after=told.append)
    assert [(step.done, step.rate) for step in told] == [(1, 1.0), (2, 2.0)]
    # at (3, -4): 25 / 2 and 1; the gradient (1, -6) leads to (2, 2), where they are 8 / 2 and -4
    assert [{name: float(part) for name, part in step.parts.items()} for step in told] == [
        {"total": 14.5, "near": 12.5, "far": 1.0},
        {"total": -4.0, "near": 4.0, "far": -4.0},
    ]
    assert not any(part.requires_grad for step in told for part in step.parts.values())


def test_losses_alone_are_computed_under_autocast() -> None:
    layer = nn.Linear(4, 4, bias=False)
    seen: list[torch.dtype] = []

    def losses(step: int) -> dict[str, Tensor]:
        product = layer(torch.ones(1, 4))
        seen.append(product.dtype)
        return {"total": product.float().sum()}

    def bf16() -> AbstractContextManager[None]:
        return torch.autocast("cpu", dtype=torch.bfloat16)

    def after(step: Step) -> None:
        seen.append(layer(torch.ones(1, 4)).dtype)

    run(AdamW(layer.parameters()), losses, steps=1, autocast=bf16, after=after)
    assert seen == [torch.bfloat16, torch.float32]
    assert layer.weight.dtype == torch.float32


@pytest.mark.parametrize("what", ["loss", "gradient"])
@pytest.mark.parametrize("make", [SGD, partial(AdamW, weight_decay=0.1)], ids=["sgd", "adamw"])
def test_a_loss_or_gradient_that_is_not_finite_leaves_the_weights_of_the_step_before(
    point: nn.Parameter, make: Callable[..., Optimizer], what: str
) -> None:
    good: list[list[float]] = [point.tolist()]
    progress = Progress()

    def losses(step: int) -> dict[str, Tensor]:
        loss = point.square().sum()
        if step < 2:
            return {"total": loss}
        # the square root is 0 at 0, where its slope is infinite
        return {"total": loss * math.nan if what == "loss" else (loss - loss.detach()).sqrt()}

    def after(step: Step) -> None:
        good.append(point.tolist())

    with pytest.raises(UserError, match=r"^not finite at step 3$"):
        run(make([point], lr=0.5), losses, steps=5, rate=lambda step: 0.1, progress=progress, after=after)
    assert len(good) == 3
    assert point.tolist() == good[-1] != good[0]
    assert progress.step == 2


def test_checkpoints_are_written_after_the_step_was_told_but_not_after_the_last(point: nn.Parameter) -> None:
    happened: list[str] = []
    run(
        SGD([point]),
        half_square(point),
        steps=3,
        after=lambda step: happened.append(f"told {step.done}"),
        save=lambda: happened.append("saved"),
        save_seconds=0.0,
    )
    assert happened == ["told 1", "saved", "told 2", "saved", "told 3"]


def test_no_checkpoint_is_written_before_its_time(point: nn.Parameter) -> None:
    def save() -> None:
        raise AssertionError("saved")

    run(SGD([point]), half_square(point), steps=3, save=save, save_seconds=3600.0)


def test_progress_counts_steps_and_the_seconds_of_its_stage(point: nn.Parameter) -> None:
    progress = Progress(stage=1, seconds={"0": 5.0})
    run(SGD([point]), half_square(point), steps=3, progress=progress)
    assert progress.step == 3
    assert progress.seconds["0"] == 5.0
    assert progress.seconds["1"] > 0.0
    earlier = dict(progress.seconds)
    run(SGD([point]), half_square(point), steps=3, progress=progress)  # nothing is left to do
    assert progress.seconds == earlier


def noisy(model: nn.Module) -> Losses:
    """Losses with dropout, which seed themselves."""

    def losses(step: int) -> dict[str, Tensor]:
        torch.manual_seed(step)
        return {"total": model(torch.randn(8, 4)).square().mean()}

    return losses


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_loop_that_was_stopped_resumes_to_the_same_bits(stop: int) -> None:
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 1))
    settings = {"steps": 6, "rate": lambda step: 0.1 / (step + 1), "clip": 0.5}
    whole, resumed = copy.deepcopy(model), copy.deepcopy(model)
    run(AdamW(whole.parameters()), noisy(whole), **settings)

    kept: list[tuple[dict[str, Tensor], dict[str, Tensor], int]] = []
    optimizer, progress = AdamW(model.parameters()), Progress()

    def save() -> None:
        kept.append(copy.deepcopy((model.state_dict(), optimizer_tensors(optimizer), progress.step)))

    def interrupt(step: Step) -> None:
        if step.done == stop + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(optimizer, noisy(model), progress=progress, after=interrupt, save=save, save_seconds=0.0, **settings)
    weights, state, done = kept[-1]
    assert done == stop
    resumed.load_state_dict(weights)
    optimizer = AdamW(resumed.parameters())
    restore_optimizer(optimizer, state)
    run(optimizer, noisy(resumed), progress=Progress(step=done), **settings)
    for name, parameter in whole.named_parameters():
        assert torch.equal(resumed.get_parameter(name), parameter), name


def test_nothing_else_in_the_package_takes_a_step() -> None:
    package = Path(loop.__file__).parents[1]
    steppers = [path for path in package.rglob("*.py") if re.search(r"\.(backward|step)\(\)", path.read_text("utf-8"))]
    assert steppers == [Path(loop.__file__)]
