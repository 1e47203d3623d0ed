from __future__ import annotations

import pytest

from atu.evaluation.memorization import exact_memorization, extraction_strength, released_extraction_strength

T, F = True, False


@pytest.mark.parametrize(
    ("right", "strength", "released", "exact"),
    [
        ([T, T, T, T], 1.0, 1.0, 1.0),  # nothing need be given
        ([T, F, T, T], 0.5, 0.5, 0.75),  # two must be given: the wrong one, and what stands before it
        ([T, T, T, F], 0.0, 0.25, 0.75),  # the released search ends at the last token
        ([F, F, F, T], 0.25, 0.25, 0.25),
        ([F], 0.0, 1.0, 0.0),
        ([], None, 0.0, None),
    ],
)
def test_by_hand(right: list[bool], strength: float | None, released: float, exact: float | None) -> None:
    assert extraction_strength(right) == strength
    assert released_extraction_strength(right) == released
    assert exact_memorization(right) == exact
