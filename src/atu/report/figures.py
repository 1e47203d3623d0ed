"""Figures 4 to 6: what was forgotten against what was kept, and forgetting over the stages.

The large marker is the point that the study's rule shows, the same as in the table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from atu.report.drawing import PALE, caption, say_empty
from atu.report.lines import STAGE, Dashes, Line, mean_lines, run_lines, target_dashes
from atu.report.metrics import describe
from atu.report.selection import FORGET, NEIGHBOR, UTILITY
from atu.report.statistics import Estimate
from atu.report.study import Study
from atu.report.tables import BEFORE
from atu.text.metric_words import DIRECTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MEANS = "Lines: mean over targets, seeds first; a run that stopped stays at its last stage. Bars: 95% t interval."
_LEAST_SPAN = 10.0
"""Points that an axis shows at least: differences of a tenth of a point shall not look like a cliff."""
_CROWD = 8
"""More lines than this are drawn thinner."""


def draw_figures(study: Study, *, is_aggregate: bool) -> dict[str, Figure]:
    """File name without ending → figure: one line per run, or with `is_aggregate` one per method."""
    lines = mean_lines(study) if is_aggregate else run_lines(study)
    dashes = {} if is_aggregate else target_dashes(study)
    below = f"Scoring: {study.scoring_words}. Large marker: {study.rule}." + (f" {_MEANS}" if is_aggregate else "")
    return {
        "figure4_neighbor_vs_forget": _by_method_and_layer(lines, dashes, below),
        "figure5_utility_neighbor_vs_forget": _panels(lines, [(FORGET, UTILITY), (FORGET, NEIGHBOR)], dashes, below),
        "figure6_forget_over_stages": _over_stages(lines, dashes, below),
    }


def _by_method_and_layer(lines: Sequence[Line], dashes: Mapping[str, Dashes], below: str) -> Figure:
    """Colored by method and, where there are several hook layers, colored by layer on the right."""
    layers = sorted({line.layer for line in lines if line.layer is not None})
    if len(layers) < 2:
        return _panels(lines, [(FORGET, NEIGHBOR)], dashes, below)
    import matplotlib as mpl

    figure, (left, right) = _figure(2, below)
    _draw(left, lines, FORGET, NEIGHBOR)
    _legend(left, lines, dashes)
    left.set_title("by method", fontsize=10)
    shades = mpl.colormaps["viridis"].resampled(len(layers) + 1)  # the last is too pale on white
    colors = {layer: mpl.colors.to_hex(shades(index)) for index, layer in enumerate(layers)}
    by_layer = [
        replace(line, label=f"hook layer {line.layer:g}", style=replace(line.style, color=colors[line.layer]))
        for line in lines
        if line.layer is not None
    ]
    _draw(right, by_layer, FORGET, NEIGHBOR)
    _legend(right, sorted(by_layer, key=lambda line: line.label), {}, has_markers=False)
    right.set_title("by hook layer (markers: method, as on the left)", fontsize=10)
    return figure


def _panels(
    lines: Sequence[Line], panels: Sequence[tuple[str, str]], dashes: Mapping[str, Dashes], below: str
) -> Figure:
    figure, axes = _figure(len(panels), below)
    for axis, (x, y) in zip(axes, panels, strict=True):
        _draw(axis, lines, x, y)
    _legend(axes[0], lines, dashes)
    return figure


def _over_stages(lines: Sequence[Line], dashes: Mapping[str, Dashes], below: str) -> Figure:
    """Lines over the stages; where no run has two unlearn stages, before and after in a row for each."""
    if any(len(line.points[STAGE]) > 2 for line in lines):
        return _panels(lines, [(STAGE, FORGET)], dashes, below)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 1.8 + 0.3 * len(lines)), layout="constrained")
    caption(figure, below)
    axes = figure.subplots()
    axes.set_xlabel(_axis_label(FORGET))
    rows = [line for line in lines if not math.isnan(line.shown[FORGET].value)]
    if not rows:
        say_empty(axes, f"no run has {FORGET}")
        return figure
    for place, line in enumerate(rows):
        start, after = line.points[FORGET][0], line.shown[FORGET]
        color, row = line.style.color, Estimate(place, math.nan, math.nan, 1)
        axes.plot([start, after.value], [place] * 2, color=color, linewidth=1.6)
        axes.plot(start, place, color="black", marker="*", markersize=9, linestyle="", zorder=3)
        _draw_interval(axes, color, after, row, 0.0)
        axes.plot(after.value, place, color=color, marker=line.style.marker, markersize=9, linestyle="", zorder=4)
    axes.set_yticks(range(len(rows)), [line.row for line in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title("★ before, marker after", fontsize=10, loc="left")
    return figure


def _figure(num_panels: int, below: str) -> tuple[Figure, Sequence[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * num_panels + 0.4, 5.4), layout="constrained")
    caption(figure, below)
    return figure, figure.subplots(1, num_panels, squeeze=False)[0]


def _draw(axes: Axes, lines: Sequence[Line], x: str, y: str) -> None:
    axes.set_xlabel(_axis_label(x))
    axes.set_ylabel(_axis_label(y))
    is_crowded = len(lines) > _CROWD
    numbers: list[tuple[float, float]] = []
    for index, line in enumerate(lines):
        xs, ys, at = line.points[x], line.points[y], (line.shown[x], line.shown[y])
        look: dict[str, Any] = {"color": line.style.color, "marker": line.style.marker}
        axes.plot(
            xs,
            ys,
            linestyle=line.dashes,
            linewidth=1.0 if is_crowded else 1.6,
            markersize=3 if is_crowded else 4.5,
            alpha=0.7 if is_crowded else 1.0,
            **look,
        )
        axes.plot(xs[:1], ys[:1], color="black", marker="*", markersize=9, linestyle="", zorder=3)
        # Methods that end at the same stage would hide each other's bars.
        aside = 0.03 * (index - (len(lines) - 1) / 2) if x == STAGE else 0.0
        _draw_interval(axes, line.style.color, *at, aside)
        axes.plot(
            at[0].value, at[1].value, markersize=9, markeredgecolor="white", markeredgewidth=0.7, zorder=4, **look
        )
        numbers += [*zip(xs, ys, strict=True), (at[0].value, at[1].value)]
    whole = [pair for pair in numbers if not any(map(math.isnan, pair))]
    if not whole:
        say_empty(axes, f"no run has both {x} and {y}")
        return
    for column, name, set_limits in ((0, x, axes.set_xlim), (1, y, axes.set_ylim)):
        set_limits(*_limits(name, [pair[column] for pair in whole], [line.shown[name] for line in lines]))
    if x == STAGE:
        axes.locator_params(axis="x", integer=True)


def _draw_interval(axes: Axes, color: str, x: Estimate, y: Estimate, aside: float) -> None:
    """Thin bars to the ends of the intervals; an estimate without interval has none."""
    if not math.isnan(x.low):
        axes.plot([x.low, x.high], [y.value, y.value], color=color, linewidth=0.9, alpha=0.6)
    if not math.isnan(y.low):
        axes.plot([x.value + aside] * 2, [y.low, y.high], color=color, linewidth=0.9, alpha=0.6)


def _limits(name: str, values: Sequence[float], shown: Sequence[Estimate]) -> tuple[float, float]:
    """Ends of an axis. Bars may go out of the picture where it could only show impossible percentages."""
    ends = [end for estimate in shown for end in (estimate.low, estimate.high) if not math.isnan(end)]
    low, high = min(values), max(values)
    if name == STAGE:
        return low - 0.15, high + 0.15
    low = min(low, max(min([low, *ends]), 0.0))
    high = max(high, min(max([high, *ends]), 100.0))
    more = max(0.0, _LEAST_SPAN - (high - low)) / 2 + 0.05 * (high - low)
    return low - more, high + more


def _legend(axes: Axes, lines: Sequence[Line], dashes: Mapping[str, Dashes], *, has_markers: bool = True) -> None:
    """Below the panel, where it hides nothing. `dashes`: target → dashes, where they stand for targets."""
    from matplotlib.lines import Line2D

    handles = {}
    for line in lines:
        handles[line.label] = Line2D(
            [],
            [],
            color=line.style.color,
            linestyle="-" if dashes else line.dashes,
            marker=line.style.marker if has_markers else "",
            markersize=7,
        )
    handles[BEFORE] = Line2D([], [], color="black", marker="*", markersize=9, linestyle="")
    handles |= {target.replace("_", " "): Line2D([], [], color=PALE, linestyle=dash) for target, dash in dashes.items()}
    longest = max(map(cell_len, handles))
    axes.legend(
        list(handles.values()),
        list(handles),
        loc="upper left",
        bbox_to_anchor=(0, -0.14),
        ncols=1 if longest > 40 else 2 if longest > 18 else 3,
        fontsize=9,
    )


def _axis_label(name: str) -> str:
    if name == STAGE:
        return "number of unlearn stages"
    metric = describe(name)
    return f"{metric.label.en}, {metric.unit} ({metric.arrow} {DIRECTIONS[metric.direction][1].en})"
