"""The table of scores at the end of a sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atu.benchmarks.comparison import GAP
from atu.errors import UserError
from atu.report import tables
from atu.report.collect import Collection, record_of
from atu.report.selection import parse_rule
from atu.report.study import build_study, refuse_repeats
from atu.text.escaping import one_line


def print_scores(runs: Sequence[tuple[str, Path]], console: Console) -> None:
    """Print what `generate_results.py --aggregate` makes of these runs, without the columns that none of them has."""
    try:
        records = tuple(record_of(root, name) for name, root in runs)
        study = build_study(Collection(runs=records), rule=parse_rule("last"), scoring="corrected", names={})
        try:
            refuse_repeats(study)
            table = tables.aggregate_table(study)
        except UserError:  # runs that differ in more than the target: a mean over them would mix them
            table = tables.run_table(study)
    except UserError as error:
        console.print(one_line(f"no table: {error}"), markup=False, highlight=False, soft_wrap=True)
        return
    lines = table.lines
    columns = [column for column in zip(*lines, strict=True) if any(cell != GAP for cell in column[1:])]
    # A terminal has more room for lines than for columns.
    grid = columns if len(lines) < len(columns) else list(zip(*columns, strict=True))
    console.print(one_line(table.title), markup=False, highlight=False)
    drawn = Table(box=box.SIMPLE_HEAD)
    for index, heading in enumerate(grid[0]):
        drawn.add_column(Text(one_line(heading)), justify="right" if index else "left")
    for row in grid[1:]:
        drawn.add_row(*(Text(one_line(cell)) for cell in row))
    console.print(drawn, highlight=False)
    for note in table.notes:
        console.print(one_line(f"note: {note}"), markup=False, highlight=False, soft_wrap=True)
