"""The names of TOFU's invented authors, which its files do not list: the name that most of an author's rows hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from atu.benchmarks.tofu.files import ROWS_AN_AUTHOR, Row

_WORD = r"[A-ZÀ-ÖØ-Þ][\w'’.-]*\w"
_NAME = re.compile(rf"{_WORD}(?: (?:(?:de|del|da|van|von|bin|ibn|al|el|la) )?(?:{_WORD}|[A-Z]\.))+")
_POSSESSIVE = re.compile(r"['’]s?$")


def author_names(rows: Sequence[Row]) -> list[str]:
    """For each row the name of its author: of each block of twenty rows the name of two or more words in most of them.

    Of two names in equally many rows the longer one counts. A block without any gets the name `author N`.
    """
    blocks = [rows[first : first + ROWS_AN_AUTHOR] for first in range(0, len(rows), ROWS_AN_AUTHOR)]
    names = [_name(block) or f"author {number}" for number, block in enumerate(blocks, start=1)]
    return [name for name, block in zip(names, blocks, strict=True) for _ in block]


def _name(block: Sequence[Row]) -> str | None:
    counts: Counter[str] = Counter()
    for row in block:
        found = {_POSSESSIVE.sub("", name) for name in _NAME.findall(f"{row.question}\n{row.answer}")}
        parts = {" ".join(words[i:]) for words in map(str.split, found) for i in range(len(words) - 1)}
        counts.update(parts)
    return max(counts, key=lambda name: (counts[name], len(name)), default=None)
