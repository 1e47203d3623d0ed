"""What a user sees on the terminal while a run works: bars there, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType

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
from rich.text import Text

from atu.text.escaping import one_line

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
