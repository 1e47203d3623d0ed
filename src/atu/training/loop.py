"""The one optimiser loop, of align, unlearn, teach, relearn and the fresh predictor.

They differ in parameters (the optimiser's), batch and loss (`losses`) and schedule (`rate`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from atu.errors import UserError
from atu.models.precision import Autocast
from atu.training.checkpoint import Progress
from atu.training.parallel import Losses, of_whole_batch
from atu.training.schedules import Rate
from atu.training.sharding import whole


@dataclass(frozen=True)
class Step:
    """What there is to say of a step that the optimiser has taken."""

    done: int
    """Steps taken so far, with this one."""
    parts: Mapping[str, Tensor]
    """Of the loss of the whole batch; scalars without gradient."""
    norm: float
    """Of the gradient, before it was clipped."""
    rate: float


def train(
    optimizer: Optimizer,
    losses: Losses,
    *,
    steps: int,
    rate: Rate,
    clip: float,
    not_finite: Callable[[int], str],
    autocast: Autocast = nullcontext,
    progress: Progress | None = None,
    after: Callable[[Step], None] | None = None,
    save: Callable[[], None] | None = None,
    save_seconds: float = math.inf,
    agree: Callable[[bool], bool] = bool,
) -> None:
    """Take the optimiser's steps from where `progress` stands (None: from the first) up to `steps`.

    The loop keeps no generator state. Losses that draw at random seed themselves by the step, so that a resumed run
    draws what one that was never stopped would have drawn.

    Args:
        clip: largest norm of the gradient of all parameters; longer ones are shortened to it.
        not_finite: the message where loss or gradient is not finite, given the number of the step, from 1.
        progress: its `step` and the `seconds` of its stage are counted up.
        after: called after each step, and before its checkpoint.
        save: writes a checkpoint; called every `save_seconds`, but not after the last step.
        agree: whether a checkpoint is due, given what this process's clock says; for processes that must save together.

    Raises:
        UserError: loss or gradient is not finite. The optimiser has not moved: weights are the last good ones.
    """
    progress = Progress() if progress is None else progress
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    saved = clock = time.monotonic()
    while progress.step < steps:
        step = progress.step
        with autocast():
            parts = losses(step)
        of_batch = of_whole_batch(parts)
        _check_finite(of_batch["total"], not_finite, step)
        parts["total"].backward()
        norm = whole(clip_grad_norm_(parameters, clip))
        _check_finite(norm, not_finite, step)
        learning_rate = rate(step)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        now = time.monotonic()
        progress.add_seconds(now - clock)
        clock = now
        if after is not None:
            after(Step(progress.step, of_batch, float(norm), learning_rate))
        if save is not None and progress.step < steps and agree(now - saved >= save_seconds):
            save()
            saved = time.monotonic()


def _check_finite(value: Tensor, not_finite: Callable[[int], str], step: int) -> None:
    if not bool(torch.isfinite(value)):
        raise UserError(not_finite(step + 1))
