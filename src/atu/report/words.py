"""The words of the pages, in both languages."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from atu.records import Words

TEMPLATES = Path(__file__).parent / "templates"


@cache
def page_words() -> dict[str, Words]:
    """Key → words, from `templates/words.json`."""
    pairs = json.loads((TEMPLATES / "words.json").read_text(encoding="utf-8"))
    return {key: Words(*pair) for key, pair in pairs.items()}
