"""The scale of what training changed, w0 + a (w - w0): as little of it as forgetting needs.

Source of the idea: task arithmetic (Ilharco et al. 2023, arXiv 2212.04089), which scales the difference of two models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

_PRECISION = 0.02
"""Of the scale."""


def smallest_scale(reaches: Callable[[float], bool], *, largest: float) -> float:
    """The smallest scale in 0..largest, to `_PRECISION`, that reaches a goal which larger ones reach too.

    `largest` where none does. By bisection: some eight calls of `reaches`, the last of them not always with the scale
    that is given back.
    """
    if not reaches(largest):
        return largest
    low, high = 0.0, largest
    while high - low > _PRECISION:
        middle = (low + high) / 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
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
