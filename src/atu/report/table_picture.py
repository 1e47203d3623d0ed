"""The comparison table as a picture, with booktabs' three lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from atu.report.drawing import PALE, wrap
from atu.report.tables import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 9.0
_INCHES_A_CHARACTER = 0.082
_LINE = 0.17
_ROW = 0.28
_NOTE = 0.14
_GAP = 0.28
_MARGIN = 0.25


def draw_table(table: Table) -> Figure:
    """Draw the table; long column names are broken at their underscore."""
    from matplotlib.figure import Figure

    names, *body = table.lines
    head = [name.replace("_", "\n", 1) for name in names]
    widths = [
        _INCHES_A_CHARACTER * max(cell_len(line) for text in column for line in text.split("\n"))
        for column in zip(head, *body, strict=True)
    ]
    width = sum(widths) + _GAP * (len(widths) - 1) + 2 * _MARGIN
    below = [line for text in (table.title, *table.notes) for line in wrap(text, int(width / 0.07))]
    height = 2 * _MARGIN + 2 * _LINE + 0.2 + _ROW * len(body) + 0.1 + _NOTE * len(below)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")

    # The first column is text and begins at its left, numbers end at their right.
    edges, x = [_MARGIN], _MARGIN + widths[0]
    for column in widths[1:]:
        x += _GAP + column
        edges.append(x)
    y = _MARGIN + 2 * _LINE
    _rule(axes, width, _MARGIN - 0.06, 1.2)
    for index, (edge, text) in enumerate(zip(edges, head, strict=True)):
        side = "left" if index == 0 else "right"
        for above, line in enumerate(reversed(text.split("\n"))):
            axes.text(edge, y - above * _LINE, line, ha=side, va="baseline", fontsize=_SIZE, weight="bold")
    y += 0.08
    _rule(axes, width, y, 0.7)
    for row in body:
        for index, (edge, text) in enumerate(zip(edges, row, strict=True)):
            side = "left" if index == 0 else "right"
            axes.text(edge, y + _ROW / 2, text, ha=side, va="center", fontsize=_SIZE)
        y += _ROW
    _rule(axes, width, y + 0.04, 1.2)
    axes.text(_MARGIN, y + 0.12, "\n".join(below), va="top", fontsize=_SIZE - 1, color=PALE, linespacing=1.25)
    return figure


def _rule(axes: Axes, width: float, y: float, thickness: float) -> None:
    axes.plot([_MARGIN, width - _MARGIN], [y, y], color="black", linewidth=thickness, clip_on=False)
