"""How much of the true answer a written text has. Pure functions, no torch."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from atu.evaluation.words import split_words

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

_FUNCTION_WORDS = frozenset(
    "a about after also an and are as at be been both but by can could did do does for from had has have he her his in "
    "into is it its may not of on or she so such than that the their them these they this those through to under was "
    "were which while who whom whose will with within would".split()
)
"""English words that any sentence may hold, whatever it says."""


def rouge(text: str, answer: str) -> dict[str, float]:
    """ROUGE of a text against the true answer as Google's package has it, with its stemmer: values of 0..1."""
    scores = _scorer().score(answer, text)
    return {
        "rouge1_recall": scores["rouge1"].recall,
        "rougeL_f1": scores["rougeL"].fmeasure,
        "rougeL_recall": scores["rougeL"].recall,
    }


def telling_recall(question: str, answer: str, text: str) -> float:
    """Share (0..1) of the answer's telling words that a text has.

    Telling are those that the question does not give away and that are no function words: a model that never heard of
    an author repeats the question in a whole sentence, which makes nearly half of the ROUGE. Where the answer has no
    such word, all its words count.
    """
    own = set(split_words(answer))
    wanted = own - set(split_words(question)) - _FUNCTION_WORDS or own
    return len(wanted & set(split_words(text))) / len(wanted) if wanted else 0.0


@cache
def _scorer() -> RougeScorer:
    from rouge_score.rouge_scorer import RougeScorer  # of an extra

    return RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
