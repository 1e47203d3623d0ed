"""Tables as csv, Markdown and LaTeX text. A missing value is an empty cell in csv and a dash elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from atu.report.tables import Table
from atu.text.escaping import csv_text, latex, markdown, one_line


def as_csv(table: Table) -> str:
    """The plain numbers, and what each row is."""
    cells = table.values.map(lambda cell: csv_text(cell) if isinstance(cell, str) else cell)
    text: str = cells.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    return text


def as_markdown(table: Table) -> str:
    """Title, table and notes. By hand: pandas needs one more package for it, which fills every cell up with spaces."""
    head, *body = map(_markdown_row, table.lines)
    rule = "| --- |" + " ---: |" * (len(table.shown.columns) - 1)
    notes = ["", *(f"- {markdown(note)}" for note in table.notes)] if table.notes else []
    return "\n".join([markdown(table.title), "", head, rule, *body, *notes, ""])


def as_latex(table: Table) -> str:
    """A `table*` for booktabs; notes are comments above it."""
    cells = table.shown.rename(columns=latex).map(latex)
    tabular = cells.to_latex(index=False, column_format=f"l{'r' * (len(cells.columns) - 1)}")
    return "\n".join(
        [
            "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.",
            *(f"% {one_line(note)}" for note in table.notes),
            r"\begin{table*}",
            r"\centering",
            rf"\caption{{{latex(table.title)}}}",
            r"\resizebox{\textwidth}{!}{%",
            f"{tabular.rstrip()}}}",
            r"\end{table*}",
            "",
        ]
    )


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(markdown, cells))} |"
