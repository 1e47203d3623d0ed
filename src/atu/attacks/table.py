"""The verdict of the attacks for people: on the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atu.attacks.verdict import Verdict
from atu.records import AttackRow
from atu.text.escaping import markdown, one_line

_GAP = "–"
_CAPTION = " Share of the lost score that came back, mean over seeds of the most; in brackets the widest 95% interval."


def print_verdicts(found: Sequence[Verdict], console: Console) -> None:
    """Print the table of attacks and shares; a gap where nothing can be measured."""
    table = Table(box=box.SIMPLE_HEAD, caption=_CAPTION, caption_justify="left", caption_style="dim")
    table.add_column("attack")
    for name in ("recovered", "original", "gold"):
        table.add_column(name, justify="right")
    table.add_column("what it says")
    for verdict in found:
        table.add_row(*(Text(one_line(text)) for text in (verdict.attack, *_shares(verdict), verdict.sentence)))
    console.print(table, highlight=False)


def render_markdown(target: str, model: str, found: Sequence[Verdict], rows: Sequence[AttackRow]) -> str:
    """`attacks.md`: the verdict, then every row."""
    lines = [
        f"# Attacks on {markdown(model)}, which was to forget {markdown(target)}",
        "",
        "| attack | asks | recovered | original | gold | most came back | what it says |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for verdict in found:
        cells = [verdict.attack, verdict.question, *_shares(verdict), verdict.setting, verdict.sentence]
        lines.append(_line(cells))
    lines += ["", _CAPTION.strip(), "`original` is the ceiling, `gold`, which never knew the target, the floor.", ""]
    for attack in dict.fromkeys(row.attack for row in rows):
        lines += [f"## {markdown(attack)}", "", "| setting | step | group | score | n | degenerate | recovered |"]
        lines.append("| --- | --- | --- | --- | --- | --- | --- |")
        lines += [_row(row) for row in rows if row.attack == attack]
        lines.append("")
    return "\n".join(lines)


def _row(row: AttackRow) -> str:
    score = row.score
    return _line(
        [
            row.setting,
            _GAP if row.step is None else str(row.step),
            row.group,
            f"{score.value:.1f} ({score.low:.1f} to {score.high:.1f})",
            str(score.n),
            percent(row.degenerate),
            interval(row.recovered, row.recovered_low, row.recovered_high),
        ]
    )


def _shares(verdict: Verdict) -> list[str]:
    return [interval(verdict.recovered, verdict.low, verdict.high), percent(verdict.ceiling), percent(verdict.floor)]


def interval(value: float | None, low: float | None, high: float | None) -> str:
    """A share with both ends of its interval, in percent; a gap where it is not measurable."""
    if value is None or low is None or high is None:
        return _GAP
    return f"{100 * value:.0f}% ({100 * low:.0f} to {100 * high:.0f})"


def percent(value: float | None) -> str:
    """A share in percent; a gap where there is none."""
    return _GAP if value is None else f"{100 * value:.0f}%"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(markdown, cells))} |"
