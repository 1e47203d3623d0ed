"""How much of a given text a model has by heart, from which of its tokens the model would have written. No torch.

Every function takes `right`: for each token of the text, read behind all that stands before it in the text
(teacher-forced), whether it is the model's likeliest.
"""

from __future__ import annotations

from collections.abc import Sequence


def exact_memorization(right: Sequence[bool]) -> float | None:
    """Share of the tokens that the model would have written, 0..1 (Tirumala et al. 2022); None for no token."""
    return sum(right) / len(right) if right else None


def extraction_strength(right: Sequence[bool]) -> float | None:
    """Share of the text that follows from what stands before it, 0..1 (Carlini et al. 2021); None for no token.

    1 - k/n, where k of the n tokens must be given until the model has all that follow right: 0 where it has the last
    one wrong, 1 where nothing needs to be given.
    """
    return _last_run(right) / len(right) if right else None


def released_extraction_strength(right: Sequence[bool]) -> float:
    """The same as open-unlearning computes it: at least 1/n, since its search for k ends at n - 1; 0 for no token."""
    return max(1, _last_run(right)) / len(right) if right else 0.0


def _last_run(right: Sequence[bool]) -> int:
    """Number of tokens after the last wrong one."""
    return next((count for count, one in enumerate(reversed(right)) if not one), len(right))
