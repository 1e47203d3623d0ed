"""What a sweep shows: a table that lives on a terminal and grows by lines elsewhere, and the end of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from atu.sweep.job import JobEnd
from atu.sweep.plan import PlannedJob
from atu.sweep.watch import Row
from atu.text.escaping import one_line

PrintScores = Callable[[Sequence[tuple[str, Path]], Console], None]
"""Prints the scores of finished runs, given their names and folders."""

_COLORS = {"done": "green", "failed": "red", "running": "cyan"}


class SweepTable:
    """The jobs of a sweep: `with SweepTable(console) as table: table.show(rows)`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._rows: dict[int, Row] = {}

    def __enter__(self) -> SweepTable:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._console.print(draw(list(self._rows.values())))

    def show(self, rows: Mapping[int, Row]) -> None:
        """Take the rows of some jobs, by number; those of the others stay."""
        before = dict(self._rows)
        self._rows = dict(sorted({**self._rows, **rows}.items()))
        if self._live is not None:
            self._live.update(draw(list(self._rows.values())), refresh=True)
            return
        for number, row in rows.items():
            # Where lines stay, a step is no news.
            if number not in before or _news(before[number]) != _news(row):
                self._console.print(line(row), markup=False, highlight=False, soft_wrap=True)


def draw(rows: Sequence[Row]) -> Table:
    """One row per job."""
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("run", "job", "state", "stage and step", "what is wrong"):
        table.add_column(heading)
    for row in rows:
        color = _COLORS.get(row.state.partition(" ")[0], "")
        texts = (row.name, row.job_id, row.state, row.place, row.problem)
        table.add_row(*(Text(one_line(text), style=color if text is row.state else "") for text in texts))
    return table


def line(row: Row) -> str:
    """A job in one line."""
    job = f" (job {row.job_id})" if row.job_id else ""
    return one_line(f"{row.name}{job}: " + ", ".join(filter(None, [row.state, row.place, row.problem])))


def _news(row: Row) -> tuple[str, str, str, str]:
    return row.job_id, row.state, row.place.partition(",")[0], row.problem


def print_end(
    jobs: Sequence[PlannedJob],
    ends: Mapping[int, JobEnd],
    console: Console,
    print_scores: PrintScores,
) -> None:
    """Print the table of the finished runs, and on stderr a line for each job that failed."""
    finished = [job for job in jobs if ends[job.number].state == "done"]
    console.print(f"{len(finished)} of {len(jobs)} runs are done", highlight=False)
    if finished:
        print_scores([(job.name, job.root) for job in finished if job.root is not None], console)
    for job in jobs:
        end = ends[job.number]
        if end.state == "failed":
            folder = "" if job.root is None else f" ({job.root})"
            print(one_line(f"failed: {job.name}: {end.message}{folder}"), file=sys.stderr, flush=True)
