"""Whether two ways of one calculation differ by rounding alone, whatever the processor, its threads and its kernels."""

from __future__ import annotations

from torch import Tensor

ROUNDING = 1e-5
"""In parts of the largest number: ten times and more what sums of float32 numbers in another order differ by."""


def assert_same_but_for_rounding(found: Tensor, expected: Tensor, what: str = "", parts: float = ROUNDING) -> None:
    """A small number may be a small difference of large ones, so it is the largest that counts."""
    assert found.shape == expected.shape, what
    worst, largest = float((found - expected).abs().max()), float(expected.abs().max())
    assert worst <= parts * largest, f"{what} differs by {worst:.3g}, where numbers are up to {largest:.3g}"
