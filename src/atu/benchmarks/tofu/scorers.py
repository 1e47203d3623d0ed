"""How much of the true answer a written text has. Pure functions, no torch."""

from __future__ import annotations

from atu.evaluation.words import split_words

_FUNCTION_WORDS = (
    "a about after also an and are as at be been both but by can could did do does for from had has have he her "
    "his in into is it its may not of on or s she so such than that the their them these they this those through to "
    "under was were which while who whom whose will with within would"
)
"""English words that any sentence may hold, whatever it says."""


def telling_recall(question: str, answer: str, text: str) -> float:
    """Share (0..1) of the answer's telling words that a text has.

    Telling are those that the question does not give away and that are no function words: a model that never heard of
    an author repeats the question in a whole sentence, which makes nearly half of the ROUGE. Where the answer has no
    such word, all its words count.
    """
    own = set(split_words(answer))
    wanted = own - set(split_words(question)) - set(_FUNCTION_WORDS.split()) or own
    return len(wanted & set(split_words(text))) / len(wanted) if wanted else 0.0
