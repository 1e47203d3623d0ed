"""Fonts that can draw what a picture says: matplotlib's own has no Chinese, Japanese, Korean or Thai letters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger("atu")

_SHOWN = 12
"""Characters that a message names."""
_undrawn: set[str] = set()


def use_fonts(figure: Figure) -> None:
    """Let each text of the figure fall back on installed fonts that have its letters; remembers those that none has."""
    from matplotlib.text import Text

    texts = figure.findobj(Text)
    families, missing = find_fonts("".join(text.get_text() for text in texts))
    _undrawn.update(missing)
    if families:
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), *families])


@contextmanager
def undrawn_letters_told() -> Iterator[None]:
    """Say in one line, at the end, which letters no installed font has; matplotlib would warn for each of them."""
    _undrawn.clear()
    findfont = logging.getLogger("matplotlib.font_manager")
    level = findfont.level
    findfont.setLevel(logging.ERROR)  # it tells of each family without bold letters
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")
            yield
    finally:
        findfont.setLevel(level)
    if _undrawn:
        letters = "".join(sorted(_undrawn))
        shown = letters if len(letters) <= _SHOWN else f"{letters[:_SHOWN]}..."
        logger.warning(
            "no installed font has the letters %s: the pictures show boxes in their place. Install one that does, "
            "such as Google's Noto fonts (Debian's fonts-noto-cjk, fonts-noto-core), and make them again.",
            shown,
        )


def find_fonts(letters: str) -> tuple[list[str], set[str]]:
    """Families that have the letters which matplotlib's own font lacks, and the letters that none has.

    The family that has the most of them comes first; of two alike one without serifs.
    """
    from matplotlib import font_manager

    own = font_manager.findfont("DejaVu Sans", fallback_to_default=True)
    left = {c for c in letters if not c.isspace() and ord(c) not in _letters_of(own)}
    families: list[str] = []
    while left:
        best = max(_installed(), key=lambda path: len(left & _drawn_by(path, left)), default=None)
        drawn = set() if best is None else _drawn_by(best, left)
        if best is None or not drawn:
            break
        families.append(_make_known(best))
        left -= drawn
    return families, left


def _drawn_by(path: str, letters: Iterable[str]) -> set[str]:
    known = _letters_of(path)
    return {c for c in letters if ord(c) in known}


@cache
def _installed() -> tuple[str, ...]:
    """Files of fonts, plain ones without serifs first; not the one whose letters are all boxes."""
    from matplotlib import font_manager

    files = {entry.fname for entry in font_manager.fontManager.ttflist} | set(font_manager.findSystemFonts())
    return tuple(sorted((file for file in files if "LastResort" not in file), key=_plainness))


def _plainness(path: str) -> tuple[bool, bool, bool, str]:
    name = Path(path).name.lower()
    is_styled = any(word in name for word in ("bold", "italic", "oblique", "black", "light", "thin", "condensed"))
    return is_styled, "mono" in name, "sans" not in name, path


@cache
def _letters_of(path: str) -> frozenset[int]:
    from matplotlib import font_manager

    try:
        return frozenset(font_manager.get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a file that is no font, or of a kind that FreeType cannot read
        return frozenset()


def _make_known(path: str) -> str:
    """Family of the font in a file, which matplotlib knows from now on: its own list may be older than the font."""
    from matplotlib import font_manager

    family = str(font_manager.get_font(path).family_name)
    if family not in {entry.name for entry in font_manager.fontManager.ttflist}:
        beginning = path.rpartition("-")[0]  # its bold letters have a file of their own
        for file in [path, *(other for other in _installed() if beginning and other.startswith(f"{beginning}-Bold."))]:
            font_manager.fontManager.addfont(file)
    return family
