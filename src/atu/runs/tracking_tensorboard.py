"""TensorBoard: event files in the run folder, written by the `tensorboard` package alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from atu.errors import missing_package
from atu.runs.history import HistoryRow
from atu.runs.run_folder import RunFolder, RunState
from atu.storage.files import disk_errors


class TensorboardSink:
    """Metrics over optimizer steps, scores over stages.

    The folder is made anew by the first row: a resumed run sends all of its rows again.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            from tensorboard.summary import Writer
        except ImportError as error:
            raise missing_package("tensorboard=true", "tensorboard", "tensorboard") from error
        self._open = Writer
        self._writer: Writer | None = None

    def write(self, index: int, row: HistoryRow) -> None:
        """Add the row's values."""
        if self._writer is None:
            with disk_errors(self._root):
                shutil.rmtree(self._root, ignore_errors=True)
            self._writer = self._open(str(self._root))
        for name, value in row.values.items():
            self._writer.add_scalar(name, value, row.stage if row.results else row.step)
        if row.results:
            self._writer.flush()

    def finish(self, folder: RunFolder, state: RunState) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
