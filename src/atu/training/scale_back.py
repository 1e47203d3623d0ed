"""Scaling back: of what training changed only so much is kept as forgetting needs, w0 + a (w - w0).

Source of the idea: task arithmetic (Ilharco et al. 2023, arXiv 2212.04089), which scales the difference of two models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

_PRECISION = 0.02
"""Of the scale."""


def smallest_scale(rise: Callable[[float], float], goal: float) -> float:
    """The smallest scale in 0..1, to `_PRECISION`, at which a rise that grows with it reaches the goal; 1 where none.

    By bisection: some six calls of `rise`, the last of them not always at the scale that is given back.
    """
    if rise(1.0) <= goal:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if rise(middle) >= goal else (middle, high)
    return high


@torch.no_grad()
def set_scale(
    parameters: Mapping[str, Parameter], reference: Mapping[str, Tensor], trained: Mapping[str, Tensor], scale: float
) -> None:
    """Set parameters to reference + scale (trained - reference).

    Of adapters W + B A whose B began at 0, B alone is named in `reference`, and scaled: so is the change of W.
    """
    for name, start in reference.items():
        parameters[name].copy_(start + scale * (trained[name] - start))
