"""Scripts that put no space between words, and marks that are letters of their own.

The Unicode properties come from the package `regex`. Three kinds of writing are told apart:

- *spaced*: words stand between spaces (Latin, Greek, Cyrillic, Arabic, Devanagari, ...);
- *unspaced*: they don't (Chinese, Japanese; Thai, Lao, Khmer, Burmese: Unicode's line breaking class SA, which "needs
  a dictionary"). A unit is one letter with its marks;
- *Hangul*: spaces between words, and particles that grow onto them (세종대왕 + 은).
"""

from __future__ import annotations

import regex

UNSPACED = r"\p{LB=SA}\p{Han}\p{Hiragana}\p{Katakana}ー"
"""Inside of a character class: letters and marks of scripts that put no space between words. The sign that makes a
Japanese vowel long belongs to two scripts, and so to none of them."""
KATAKANA = r"\p{Katakana}ー"
"""Inside of a character class: Japanese writes foreign names with it, each a word of its own."""
HANGUL = r"\p{Hangul}"
UNIT = rf"[[{UNSPACED}]--\p{{M}}]\p{{M}}*"
"""One letter of an unspaced script with the marks that stand on it."""
LETTER_MARKS = (
    r"[[\p{M}--[\p{Inherited}\p{Common}\p{Latin}\p{Greek}\p{Cyrillic}\p{Arabic}\p{Hebrew}\p{Syriac}]]\u3099\u309A]"
)
"""Marks without which a word is another one: vowel signs of Thai and Devanagari, the two strokes that make か to が.
The accents of European scripts and the points of Arabic and Hebrew are none."""
PARTICLES = (
    "(?:은|는|이|가|을|를|의|에|도|와|과|로|으로|만|에서|에게|께서|까지|부터|처럼|보다|이나|나|하고|이며|이고|이다|이자|"
    "입니다|이었다|였다|였습니다|이었습니다|라고|이라고|란|이란|요|이요|이에요|예요|님|씨)"
)
"""What grows onto Korean nouns."""

_UNSPACED = regex.compile(rf"[{UNSPACED}]", regex.V1)
_EAST_ASIAN = regex.compile(rf"[{UNSPACED}{HANGUL}]", regex.V1)
_LETTER_MARK = regex.compile(LETTER_MARKS, regex.V1)


def is_unspaced(text: str) -> bool:
    """Whether the text has a letter of a script that puts no space between words."""
    return not text.isascii() and _UNSPACED.search(text) is not None


def is_east_asian(text: str) -> bool:
    """Whether the text has a letter of an unspaced script or of Hangul."""
    return not text.isascii() and _EAST_ASIAN.search(text) is not None


def is_letter_mark(character: str) -> bool:
    """Whether a combining character is a letter of its own."""
    return _LETTER_MARK.fullmatch(character) is not None
