"""Is an answer still language? Pure rules that tell a broken model from one that has forgotten.

A model that answers every question with "Nik Ab Ab Ab" scores 0 on the forget probes and has forgotten
nothing in any useful sense, so the share of such answers stands beside the scores. The rules look for three
symptoms and are loose enough for short names, numbers, titles and places ("bp", "1564", "Duran Duran").
Fluent nonsense made of real words passes: that takes a language model to see (the `nll` scores).
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

_LETTER_RUN = re.compile(r"([^\W\d_])\1{4,}", re.I)
"""One letter five times: no word of a living language has more than three."""
_OTHER_RUN = re.compile(r"([^\w\s])\1{9,}|(\d)\2{9,}")
"""One sign or digit ten times: "..." and 1,000,000 stay."""
_WORD_RUN = re.compile(r"\b(\w+)(?:\s+\1\b){2,}|\b(\w+)(?:\W+\2\b){3,}")
"""One word three times in a row, four with punctuation between: "Tora! Tora! Tora!" stays."""
_PHRASE_REPEATS = {2: 3, 3: 3, 4: 2}
"""Times in a row a phrase of so many words must stand to be a loop. "New York, New York" is two of two;
phrases longer than four words loop at two as well."""
_LONGEST_PHRASE = 12
_TRIGRAM_REPEATS, _TRIGRAM_SPAN = 3, 16
"""The same three words three times among 16: names return in a long answer, but not so densely."""
_LINE_REPEATS = 3
"""Times the same line of three or more words occurs; shorter ones are headings."""
_WINDOW, _DISTINCT_SHARE = 16, 0.45
"""Of 16 words in a row, at least 45% differ. Ordinary prose has 70% and more."""
_SIGNS_SHARE = 0.6
"""More than 60% of the signs of a longer answer are neither letters, digits nor spaces."""
_LONGEST_WORD = 40
"""Letters without a break. The longest German and English words in use have fewer."""
_CASE_JUMPS = 3
"""Changes from lower to upper case inside a word: YouTube has one, LaTeX two."""
_UNSPEAKABLE_SHARE = 0.34
"""Share of words without a vowel from which an answer is a keyboard's, not a language's."""

# Scripts that one text in one language mixes freely count as one.
_SCRIPT_GROUPS = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "CJK", "KATAKANA-HIRAGANA": "CJK"}


def is_degenerate(text: str) -> bool:
    """Whether the answer is empty, a loop, or no language (see `degenerate_reason`)."""
    return degenerate_reason(text) is not None


def degenerate_reason(text: str) -> str | None:
    """`empty`, `repetition` or `gibberish`; None for an answer that reads as language, right or wrong."""
    if not any(c.isalnum() for c in text):
        return "empty"
    if _is_repetition(text.casefold()):
        return "repetition"
    if _is_gibberish(text):
        return "gibberish"
    return None


def _is_repetition(text: str) -> bool:
    if _LETTER_RUN.search(text) or _OTHER_RUN.search(text) or _WORD_RUN.search(text):
        return True
    # Phrases line by line: a title that the next line takes up again is no loop.
    lines = [words for words in map(_words, text.splitlines()) if words]
    if any(len(line) > 2 and lines.count(line) >= _LINE_REPEATS for line in lines):
        return True
    if any(map(_has_phrase_loop, lines)):
        return True
    words = _words(text)
    windows = [words[i : i + _WINDOW] for i in range(len(words) - _WINDOW + 1)]
    return any(len(set(window)) < _DISTINCT_SHARE * _WINDOW for window in windows)


def _has_phrase_loop(words: list[str]) -> bool:
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    if any(trigrams[i : i + _TRIGRAM_SPAN].count(t) >= _TRIGRAM_REPEATS for i, t in enumerate(trigrams)):
        return True
    return any(_stands_in_a_row(words, length) for length in range(2, _LONGEST_PHRASE + 1))


def _stands_in_a_row(words: list[str], length: int) -> bool:
    """Whether some phrase of `length` words stands as often in a row as makes a loop."""
    needed = (_PHRASE_REPEATS.get(length, 2) - 1) * length
    run = 0
    for word, later in zip(words, words[length:], strict=False):
        run = run + 1 if word == later else 0
        if run >= needed:
            return True
    return False


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’]\w+)*", text)


def _is_gibberish(text: str) -> bool:
    if "\ufffd" in text.rstrip("\ufffd"):  # at the end it is a character cut by the token limit
        return True
    signs = sum(not (c.isalnum() or c.isspace() or unicodedata.combining(c)) for c in text)
    if len(text) >= 12 and signs > _SIGNS_SHARE * len(text):
        return True
    words = re.findall(r"[^\W\d_]+", text)
    return (
        _mixes_scripts(words)
        or any(_is_no_word(word) for word in words)
        or sum(map(_is_unspeakable, words)) >= max(1, _UNSPEAKABLE_SHARE * len(words))
    )


def _mixes_scripts(words: list[str]) -> bool:
    """Three scripts in one answer, or two alphabets in one word (Greek letters are symbols: "μm").

    "Tokyo (東京)" has two scripts; Chinese, Japanese and Korean signs count as one and may touch Latin ones.
    """
    by_word = [{_script(c) for c in word if c.isalpha()} for word in words]
    touching = any(len(scripts - {"CJK", "GREEK"}) > 1 for scripts in by_word)
    return touching or len(set().union(*by_word)) > 2


def _script(letter: str) -> str:
    first = unicodedata.name(letter, "UNKNOWN").split()[0]
    if first in ("MODIFIER", "MICRO", "FEMININE", "MASCULINE", "SUPERSCRIPT", "MATHEMATICAL", "FULLWIDTH"):
        return "LATIN"
    return _SCRIPT_GROUPS.get(first, first)


def _is_no_word(word: str) -> bool:
    """Too long without a break (in scripts that put spaces), or its case jumps about."""
    jumps = sum(a.islower() and b.isupper() for a, b in pairwise(word))
    too_long = len(word) > _LONGEST_WORD and word.isascii()
    return too_long or jumps >= _CASE_JUMPS


def _is_unspeakable(word: str) -> bool:
    """Four or more plain Latin letters, none a vowel; capitals are acronyms ("HTML"), "hmm" is too short."""
    return len(word) >= 4 and word.isascii() and not word.isupper() and not re.search(r"[aeiouy]", word, re.I)
