"""Learning rates by step. A schedule is asked with the steps done so far: 0 at the first."""

from __future__ import annotations

import math
from collections.abc import Callable

Rate = Callable[[int], float]
"""The learning rate at a step, counted from 0."""


def warmed_up(rate: float, warmup_steps: int) -> Rate:
    """Up linearly over the warm-up, constant after."""
    return lambda step: rate * min(1.0, (step + 1) / max(1, warmup_steps))


def cosine(rate: Rate, steps: int) -> Rate:
    """`rate` times 1 at the first of so many steps, towards 0 at the last (Loshchilov & Hutter 2017, eq. 5)."""
    return lambda step: rate(step) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def linear(rate: float, steps: int, *, warmup_steps: int, last: float) -> Rate:
    """Up linearly over the warm-up, then down linearly to the share `last` of `rate` at the last of so many steps."""

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        left = (steps - 1 - step) / max(1, steps - 1 - warmup_steps)
        return last + (1.0 - last) * left

    return lambda step: rate * share(step)
