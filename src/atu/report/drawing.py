"""What all pictures share: one look, and files that are the same for the same numbers. matplotlib only when called."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.cells import cell_len

from atu.report.fonts import undrawn_letters_told, use_fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE = "#5f6368"


@contextmanager
def look() -> Iterator[None]:
    """Draw inside of it, and save inside of it too."""
    import matplotlib as mpl

    style = mpl.rc_context(
        {
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#e6e8eb",
            "grid.linewidth": 0.8,
            "axes.axisbelow": True,
            "axes.edgecolor": PALE,
            "legend.frameon": False,
            "pdf.fonttype": 42,
            "text.parse_math": False,  # a label with $ is no formula
        }
    )
    with style, undrawn_letters_told():
        yield


def png(figure: Figure) -> bytes:
    """The picture at 200 dots an inch."""
    return _saved(figure, "png", {"Software": None})


def pdf(figure: Figure) -> bytes:
    """The picture as vectors, with letters as letters."""
    return _saved(figure, "pdf", {"Creator": None, "Producer": None, "CreationDate": None})


def caption(figure: Figure, text: str) -> None:
    """A line or two below everything else."""
    width = int(figure.get_figwidth() * 15)
    figure.supxlabel("\n".join(wrap(text, width)), fontsize=8, color=PALE, x=0.01, ha="left")


def wrap(text: str, width: int) -> list[str]:
    """The text in lines of `width` narrow letters; a Chinese one is as wide as two."""
    if not text:
        return []
    return textwrap.wrap(text, max(1, width * len(text) // max(1, cell_len(text))))


def say_empty(axes: Axes, text: str) -> None:
    """Say why there is nothing to see."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=PALE, wrap=True)


def _saved(figure: Figure, form: str, metadata: dict[str, str | None]) -> bytes:
    use_fonts(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=200, metadata=metadata)
    return buffer.getvalue()
