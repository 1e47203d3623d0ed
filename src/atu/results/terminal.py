"""What a user sees on the terminal: progress while it runs, and the table at its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from types import TracebackType

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from atu.escaping import one_line
from atu.records import Score
from atu.results.comparison import GAP, Row, compare, number, signed
from atu.results.metrics import FAMILIES
from atu.results.verdict import verdict

_CAPTION = " ↓ lower is better   ↑ higher is better   95%: bootstrap interval of `after`"

QUIET_SECONDS = 60.0
"""How often a stage says how far it is where there is no terminal."""


class StageProgress:
    """Progress of one stage: call it with `(done, total)`, and perhaps a note such as the loss."""

    def __init__(self, run: RunProgress, title: str, total: int | None) -> None:
        self._run, self._title = run, one_line(title)
        self._start = self._last_line = time.monotonic()
        self._task: TaskID | None = None
        if run.bars is not None:
            self._task = run.bars.add_task(self._title, total=total, note="")
        else:
            run.line(f"{self._title} ...")

    def __call__(self, done: int, total: int, note: str | None = None) -> None:
        """Say that `done` of `total` pieces are done; 0 when the first one begins."""
        if self._run.bars is not None and self._task is not None:
            if note is None:
                self._run.bars.update(self._task, completed=done, total=total)
            else:
                self._run.bars.update(self._task, completed=done, total=total, note=note)
            return
        now = time.monotonic()
        if done == 0:  # what came before the first piece says nothing of how long the pieces take
            self._start = now
        if now - self._last_line >= QUIET_SECONDS and 0 < done < total:
            self._last_line = now
            left = (now - self._start) * (total - done) / done
            self._run.line(
                f"{self._title}: {done} of {total}, about {duration(left)} left{f' ({note})' if note else ''}"
            )

    def finish(self, is_whole: bool) -> None:
        """Leave a line with the time that the stage took."""
        seconds = time.monotonic() - self._start
        if self._run.bars is not None and self._task is not None:
            self._run.bars.remove_task(self._task)
        mark = Text("✓", "green") if is_whole else Text("✗", "red")
        self._run.line(Text.assemble(mark, f" {self._title} ", (duration(seconds), "dim")))


class RunProgress:
    """Bars on a terminal, plain lines elsewhere: `with RunProgress(console) as progress: ...`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Progress | None = None

    def __enter__(self) -> RunProgress:
        if self.console.is_terminal:
            self.bars = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=28),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[note]}", style="dim", markup=False),
                console=self.console,
                transient=True,
            )
            self.bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
            self.bars = None

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[StageProgress]:
        """Show one stage while the block runs.

        Args:
            title: what is going on, such as `Aligning the predictor`.
            total: number of pieces, when it is known at the start.
        """
        progress = StageProgress(self, title, total)
        is_whole = False
        try:
            yield progress
            is_whole = True
        finally:
            progress.finish(is_whole)

    @contextmanager
    def steps(self) -> Iterator[Callable[[str], StageProgress]]:
        """Show stages one after another: each begins when it is named, and ends when the next one does."""
        with ExitStack() as current:

            def begin(title: str) -> StageProgress:
                current.close()
                progress: StageProgress = current.enter_context(self.stage(title))
                return progress

            yield begin

    def line(self, text: str | Text) -> None:
        """Print one line above the bars."""
        self.console.print(one_line(text) if isinstance(text, str) else text, markup=False, highlight=False)


def duration(seconds: float) -> str:
    """Seconds as people say them: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def print_before_after(before: Mapping[str, Score], after: Mapping[str, Score], console: Console) -> None:
    """Print the verdict and the table of scores before and after.

    An arrow says which way is good; a change is green when it went there, red when it went the
    other way, and its sign says the same without color.
    """
    table = Table(box=box.SIMPLE_HEAD, caption=_CAPTION, caption_justify="left", caption_style="dim")
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("95%", style="dim", justify="right")
    table.add_column("change", justify="right")
    table.add_column("kept", justify="right")
    table.add_column("n", style="dim", justify="right")
    family = None
    for row in compare(before, after):
        if row.metric.family != family:
            if family is not None:
                table.add_section()
            family = row.metric.family
            unit = f", {row.metric.unit}" if row.metric.unit else ""
            heading = FAMILIES[family].label.en if family in FAMILIES else family
            table.add_row(Text(one_line(f"{heading}{unit}"), style="bold"))
        table.add_row(*_cells(row))
    console.print(verdict(before, after).en, style="bold", highlight=False, markup=False)
    console.print(table, highlight=False)


def _cells(row: Row) -> list[Text]:
    unit, score = row.metric.unit, row.after or row.before
    color = {True: "green", False: "red", None: ""}[row.is_better]
    interval = f"{number(row.after.low, unit)}–{number(row.after.high, unit)}" if row.after else GAP
    return [
        Text(one_line(f"{row.metric.arrow} {row.metric.short.en}")),
        Text(number(row.before.value if row.before else None, unit)),
        Text(number(row.after.value if row.after else None, unit), style="bold"),
        Text(interval),
        Text(signed(row.change, unit), style=color),
        Text("" if row.kept is None else f"{row.kept:.0f}%"),
        Text(str(score.n) if score else ""),
    ]
