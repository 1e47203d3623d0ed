"""Which tokens speak of the concept: those frequent in its texts and rare in all others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from atu.models.rows import Row

MIN_SHARE = 0.02
"""A token in fewer of the concept's texts than this is an accident of one text, not the concept."""
MIN_RATIO = 4.0
"""How many times more often the concept's texts must hold the token than others do."""


def find_concept_tokens(forget: Sequence[Row], others: Sequence[Row]) -> tuple[int, ...]:
    """Token ids whose share of texts is at least `MIN_RATIO` times higher in `forget` than in `others`.

    Counted over texts, not over tokens, so that one text that repeats a word does not decide. Only the texts
    themselves count, not the prompts before them.
    """
    in_forget, in_others = _text_counts(forget), _text_counts(others)
    smallest = 1.0 / max(len(others), 1)
    chosen = []
    for token, count in in_forget.items():
        share = count / len(forget)
        other_share = max(in_others[token] / max(len(others), 1), smallest)
        if count >= 3 and share >= MIN_SHARE and share >= MIN_RATIO * other_share:
            chosen.append(token)
    return tuple(sorted(chosen))


def _text_counts(rows: Sequence[Row]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for row in rows:
        counts.update(set(row.ids[row.first_scored :]))
    return counts
