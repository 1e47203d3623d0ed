"""Is an answer still language? Pure rules that tell a broken model from one that has forgotten.

A model that answers every question with "Nik Ab Ab Ab" scores 0 on the forget probes and has forgotten
nothing in any useful sense, so the share of such answers stands next to the scores. The rules look for three
symptoms and are loose enough for short names, numbers, titles and places ("bp", "1564", "Duran Duran"). Where a script
puts no space between words, they count letters.
Fluent nonsense made of real words passes: that takes a language model to see (the `nll` scores).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import pairwise

import regex

from atu.text.scripts import HANGUL, KATAKANA, UNIT, UNSPACED, is_east_asian, is_letter_mark, is_unspaced

_LETTER_RUN = re.compile(r"([^\W\d_])\1{4,}", re.I)
"""One letter five times: no word of a living language has more than three."""
_OTHER_RUN = re.compile(r"([^\w\s])\1{9,}|(\d)\2{9,}")
"""One sign or digit ten times: "..." and 1,000,000 stay."""
_WORD_RUN = regex.compile(r"\b(\w+)(?:\s+\1\b){2,}|\b(\w+)(?:\W+\2\b){3,}")
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
_UNSPACED_REPEATS = {2: 4, 3: 3, 4: 3, 5: 3, 6: 3}
"""The same for letters of scripts without spaces, two to a word or so: longer phrases loop at two."""
_ALPHABET_REPEATS = {2: 5} | dict.fromkeys(range(3, 14), 3)
"""The same for Thai, Lao, Khmer and Burmese, whose words have more letters."""
_LONGEST_UNSPACED = 40
_UNSPACED_LINE = 4
"""Letters of a line that is no heading."""
_UNSPACED_WINDOW, _UNSPACED_DISTINCT = 24, 0.3
_UNIT = regex.compile(rf"[{KATAKANA}]+|{UNIT}|[\w--[{UNSPACED}]]+", regex.V1)
"""A letter of a script without spaces, a word in katakana, or a word of another script."""
_LONG_HANGUL = regex.compile(rf"{HANGUL}{{8,}}")
_SIGNS_SHARE = 0.6
"""More than 60% of the signs of a longer answer are neither letters, digits nor spaces."""
_LONGEST_WORD = 40
"""Letters without a break. The longest German and English words in use have fewer."""
_CASE_JUMPS = 3
"""Changes from lower to upper case inside a word: YouTube has one, LaTeX two."""
_UNSPEAKABLE_SHARE = 0.34
"""Share of words without a vowel from which an answer is a keyboard's, not a language's."""

# Scripts that one text in one language mixes freely count as one.
_SCRIPT_GROUPS = dict.fromkeys(
    ("HIRAGANA", "KATAKANA", "HANGUL", "KATAKANA-HIRAGANA", "IDEOGRAPHIC", "HALFWIDTH", "BOPOMOFO", "VERTICAL"), "CJK"
)
_TOUCHING = {"CJK", "GREEK", "THAI", "LAO", "KHMER", "MYANMAR"}
"""Scripts that may touch letters of another: without spaces, or as symbols ("μm")."""


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
    if _lacks_variety(_words(text), _WINDOW, _DISTINCT_SHARE):
        return True
    return is_east_asian(text) and _is_unspaced_repetition(text)


def _is_unspaced_repetition(text: str) -> bool:
    """The same rules for letters where a script puts no space between words, and inside of long Korean ones."""
    if any(_has_loop(word, _UNSPACED_REPEATS) for word in _LONG_HANGUL.findall(text)):
        return True
    lines = [_UNIT.findall(line) for line in text.splitlines() if is_unspaced(line)]
    if any(len(line) >= _UNSPACED_LINE and lines.count(line) >= _LINE_REPEATS for line in lines):
        return True
    repeats = _ALPHABET_REPEATS if regex.search(r"\p{LB=SA}", text) else _UNSPACED_REPEATS
    if any(_has_loop(line, repeats) for line in lines):
        return True
    return _lacks_variety([unit for line in lines for unit in line], _UNSPACED_WINDOW, _UNSPACED_DISTINCT)


def _has_loop(units: Sequence[str], repeats: Mapping[int, int]) -> bool:
    return any(_stands_in_a_row(units, length, repeats.get(length, 2)) for length in range(2, _LONGEST_UNSPACED + 1))


def _lacks_variety(words: Sequence[str], size: int, share: float) -> bool:
    """Whether some `size` words in a row have fewer different ones among them than `share`."""
    windows = [words[i : i + size] for i in range(len(words) - size + 1)]
    return any(len(set(window)) < share * size for window in windows)


def _has_phrase_loop(words: list[str]) -> bool:
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    if any(trigrams[i : i + _TRIGRAM_SPAN].count(t) >= _TRIGRAM_REPEATS for i, t in enumerate(trigrams)):
        return True
    lengths = range(2, _LONGEST_PHRASE + 1)
    return any(_stands_in_a_row(words, length, _PHRASE_REPEATS.get(length, 2)) for length in lengths)


def _stands_in_a_row(words: Sequence[str], length: int, times: int) -> bool:
    """Whether some phrase of `length` words stands so many times in a row."""
    needed = (times - 1) * length
    run = 0
    for word, later in zip(words, words[length:], strict=False):
        run = run + 1 if word == later else 0
        if run >= needed:
            return True
    return False


def _words(text: str) -> list[str]:
    return list(regex.findall(r"\w+(?:['’]\w+)*", text))


def _is_gibberish(text: str) -> bool:
    if "\ufffd" in text.rstrip("\ufffd"):  # at the end it is a character cut by the token limit
        return True
    signs = sum(not (c.isalnum() or c.isspace() or unicodedata.combining(c) or is_letter_mark(c)) for c in text)
    if len(text) >= 12 and signs > _SIGNS_SHARE * len(text):
        return True
    words = regex.findall(r"[^\W\d_]+", text)
    return (
        _mixes_scripts(words)
        or any(_is_no_word(word) for word in words)
        or sum(map(_is_unspeakable, words)) >= max(1, _UNSPEAKABLE_SHARE * len(words))
    )


def _mixes_scripts(words: list[str]) -> bool:
    """Three scripts in one answer, or two alphabets in one word (Greek letters are symbols: "μm").

    "Tokyo (東京)" has two scripts; Chinese, Japanese and Korean signs count as one.
    """
    by_word = [{_script(c) for c in word if c.isalpha()} for word in words]
    touching = any(len(scripts - _TOUCHING) > 1 for scripts in by_word)
    every = set().union(*by_word)
    return touching or len(every - {"GREEK"} if "CJK" in every else every) > 2


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
