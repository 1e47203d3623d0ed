"""ROUGE as the `rouge-score` package has it (the extra `eval`): words of letters a-z and digits, in lower case."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from atu.extras import import_absl


@dataclass(frozen=True, kw_only=True)
class Rouge:
    """How far a text and the true one agree, 0..1 (Lin 2004)."""

    rouge1_recall: float
    """Share of the true text's words that the text has."""
    rougeL_recall: float  # noqa: N815  # the field's name
    """Share of the true text's words in the longest common subsequence."""
    rougeL_f1: float  # noqa: N815
    """Its harmonic mean with the share of the text's words in it."""


def rouge(truth: str, text: str, *, use_stemmer: bool) -> Rouge:
    """Compare a text with the true one.

    Args:
        use_stemmer: compare the stems (Porter) of words of four letters and more.
    """
    found = _scorer(use_stemmer).score(truth, text)
    return Rouge(
        rouge1_recall=float(found["rouge1"].recall),
        rougeL_recall=float(found["rougeL"].recall),
        rougeL_f1=float(found["rougeL"].fmeasure),
    )


@cache
def _scorer(use_stemmer: bool) -> Any:
    import_absl()
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=use_stemmer)
