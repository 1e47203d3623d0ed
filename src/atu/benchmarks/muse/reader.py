"""Reading MUSE's files: a folder a corpus, in it one JSON list a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from atu.benchmarks.muse.files import COLLECTIONS, FILES, MuseFile
from atu.errors import UserError, did_you_mean
from atu.storage.user_files import read_json, shown

DATA_DIR_VARIABLE = "ATU_MUSE"
DEFAULT_DATA_DIR = Path("data/muse")
_HOW_TO_GET = f"Fetch it with `atu data muse`, or name a folder that has it (data_dir or ${DATA_DIR_VARIABLE})."

Row = tuple[str, ...]
"""The texts of a row, in the order of the file's columns."""


class MuseData:
    """The corpora of one folder. A file is read when it is asked for, and held."""

    def __init__(self, data_dir: Path | str | None = None) -> None:
        """`data_dir`: None means $ATU_MUSE, else `data/muse` under the working directory.

        Raises UserError when there is no such folder, or no corpus in it.
        """
        self.root = Path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR).expanduser()
        if not self.root.is_dir():
            raise UserError(f"There is no folder {shown(self.root)} with MUSE's files. {_HOW_TO_GET}")
        if not self.collections():
            raise UserError(f"No corpus of MUSE in {shown(self.root)}: expected news/ or books/. {_HOW_TO_GET}")
        self._held: dict[Path, tuple[Row, ...]] = {}

    def collections(self) -> list[str]:
        """The corpora that are there."""
        return [name for name in COLLECTIONS if (self.root / name).is_dir()]

    def path(self, collection: str, name: str) -> Path:
        """Where a file is, such as `knowmem/forget_qa`. Raises UserError where the folder lacks it."""
        if collection not in self.collections():
            raise UserError(
                f"MUSE has no corpus '{collection}' in {shown(self.root)}.{did_you_mean(collection, COLLECTIONS)}"
            )
        path = self.root / collection / f"{name}.json"
        if not path.is_file():
            raise UserError(f"{shown(self.root / collection)} has no {name}.json. {_HOW_TO_GET}")
        return path

    def rows(self, collection: str, name: str) -> tuple[Row, ...]:
        """All rows of a file, in data order.

        Raises UserError that names the file, and the row where one is broken (rows count from 0).
        """
        path = self.path(collection, name)
        if path not in self._held:
            self._held[path] = parse_rows(FILES[name], read_json(path), shown(path))
        return self._held[path]


def parse_rows(file: MuseFile, value: object, where: str) -> tuple[Row, ...]:
    """The rows of a JSON value.

    Args:
        where: the file, for errors.

    Raises:
        UserError: it is no list of such rows.
    """
    if not isinstance(value, list) or not value:
        raise UserError(f"{where}: expected a JSON list of rows. {_HOW_TO_GET}")
    return tuple(_to_row(file, row, f"{where}, row {number}") for number, row in enumerate(value))


def _to_row(file: MuseFile, value: Any, where: str) -> Row:
    if isinstance(value, str) and len(file.columns) == 1:
        value = {file.columns[0]: value}
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected an object with {' and '.join(file.columns)}.")
    for column in file.columns:
        if column not in value:
            raise UserError(f"{where}: '{column}' is missing. Is this MUSE's {file.name}?")
        if not isinstance(value[column], str):
            raise UserError(f"{where}: '{column}' must be a text.")
        if file.is_asked and not value[column].strip():  # among the texts to train on a few are
            raise UserError(f"{where}: '{column}' is empty.")
    return tuple(value[column] for column in file.columns)
