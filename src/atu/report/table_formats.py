"""Tables as csv, Markdown and LaTeX text. A missing value is an empty cell in csv and a dash elsewhere."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

from atu.benchmarks.comparison import GAP, number, signed
from atu.report.statistics import Estimate
from atu.report.tables import Column, PairedRow, Table
from atu.text.escaping import csv_text, latex, markdown, one_line


def comparison_csv(table: Table) -> str:
    """METHOD and the columns, then for means their intervals and counts, then what each row is."""
    details = list(dict.fromkeys(key for row in table.rows for key in row.details))
    names = [column.name for column in table.columns]
    spread = [f"{name}_{end}" for name in names for end in ("LOW", "HIGH", "N")] if table.is_aggregate else []
    rows = [["METHOD", *names, *spread, *details]]
    for row in table.rows:
        ends = [t for cell in row.cells for t in (_plain(cell.low), _plain(cell.high), str(cell.n))] if spread else []
        known = [csv_text(row.details.get(key, "")) for key in details]
        rows.append([csv_text(row.label), *(_plain(cell.value) for cell in row.cells), *ends, *known])
    return _csv(rows)


def comparison_markdown(table: Table) -> str:
    """Title, table and notes."""
    lines = [
        markdown(table.title),
        "",
        *_markdown_rows(header(table), [cells(table, i) for i in range(len(table.rows))]),
    ]
    return "\n".join([*lines, *_markdown_notes(table.notes)]) + "\n"


def comparison_latex(table: Table) -> str:
    """A `table*` for booktabs; notes are comments above it."""
    head = " & ".join(map(latex, header(table)))
    body = [" & ".join(map(latex, cells(table, index))) + r" \\" for index in range(len(table.rows))]
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.",
            *(f"% {one_line(note)}" for note in table.notes),
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{latex(table.title)}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (len(header(table)) - 1)}}}",
            r"\toprule",
            rf"{head} \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table*}",
            "",
        ]
    )


def paired_csv(rows: Sequence[PairedRow]) -> str:
    """A line a target, then one of the mean with its interval and p."""
    head = ["METHOD_A", "METHOD_B", "SCORE", "TARGET", "A", "B", "DIFFERENCE", "LOW", "HIGH", "WILCOXON_P", "N_TARGETS"]
    lines = [head]
    for row in rows:
        start, result = [csv_text(row.first), csv_text(row.second), row.metric.name], row.result
        lines += [
            [*start, csv_text(target), _plain(a), _plain(b), _plain(a - b), "", "", "", ""]
            for target, (a, b) in row.targets.items()
        ]
        ends = [_plain(result.mean), _plain(result.low), _plain(result.high), _plain(result.p), str(result.n)]
        lines.append([*start, "(mean)", "", "", *ends])
    return _csv(lines)


def paired_markdown(rows: Sequence[PairedRow], title: str, notes: Sequence[str]) -> str:
    """Title, a line a pair and score, and the differences of each target."""
    head = ["A", "B", "score", "A − B, mean", "95% bootstrap interval", "Wilcoxon p", "targets", "A − B by target"]
    body = []
    for row in rows:
        unit, result = row.metric.unit, row.result
        by_target = ", ".join(f"{target} {signed(a - b, unit)}" for target, (a, b) in row.targets.items())
        interval = GAP if math.isnan(result.low) else f"{signed(result.low, unit)} to {signed(result.high, unit)}"
        p = GAP if math.isnan(result.p) else f"{result.p:.3f}"
        body.append(
            [
                row.first,
                row.second,
                f"{row.metric.label.en} {row.metric.arrow}",
                signed(result.mean, unit),
                interval,
                p,
                str(result.n),
                by_target or GAP,
            ]
        )
    return "\n".join([markdown(title), "", *_markdown_rows(head, body), *_markdown_notes(notes)]) + "\n"


def header(table: Table) -> list[str]:
    """METHOD and the columns, each with its direction."""
    count = ["n"] if table.is_aggregate else []
    return ["METHOD", *count, *(f"{column.name} {column.metric.arrow}" for column in table.columns)]


def cells(table: Table, index: int) -> list[str]:
    """A row as it is shown; in a mean over fewer targets than its row has, their number stands beside it."""
    row = table.rows[index]
    if not table.is_aggregate:
        return [row.label, *(_value(cell, column) for cell, column in zip(row.cells, table.columns, strict=True))]
    count = row.details["N_TARGETS"]
    shown = [_mean(cell, column, count) for cell, column in zip(row.cells, table.columns, strict=True)]
    return [row.label, count, *shown]


def _value(cell: Estimate, column: Column) -> str:
    return number(cell.value, column.metric.unit)


def _mean(cell: Estimate, column: Column, count: str) -> str:
    text = _value(cell, column)
    if not math.isnan(cell.low):
        text += f" ± {number(cell.value - cell.low, column.metric.unit)}"
    return text if text == GAP or str(cell.n) == count else f"{text} (n={cell.n})"


def _plain(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"


def _csv(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _markdown_rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    rule = ["---"] + ["---:"] * (len(head) - 1)
    lines = [f"| {' | '.join(map(markdown, line))} |" for line in (head, *body)]
    return [lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


def _markdown_notes(notes: Sequence[str]) -> list[str]:
    return ["", *(f"- {markdown(note)}" for note in notes)] if notes else []
