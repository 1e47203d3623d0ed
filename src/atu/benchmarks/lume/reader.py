"""Reading LUME's files: JSON lines with id, input, output and task. No torch here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from atu.benchmarks.lume.config import TASKS, Task
from atu.errors import UserError
from atu.storage.user_files import json_rows, shown

Side = Literal["forget", "retain"]
SIDES: tuple[Side, ...] = ("forget", "retain")
MEMBERSHIP_FILES = {"members": Path("mia_data/member.jsonl"), "others": Path("mia_data/nonmember.jsonl")}
"""Of the organisers' data set; the public repository does not have them."""
DATA_DIR_VARIABLE = "ATU_LUME"
DEFAULT_DATA_DIR = Path("data/lume")
_HOW_TO_GET = f"Fetch it with `atu data lume`, or name a folder that has it (data_dir or ${DATA_DIR_VARIABLE})."
_ID = re.compile(r'"?(?P<document>[^"]+)"?(?P<kind>sc|qa)(?P<number>\d+)')
_FIELDS = ("id", "input", "output", "task")


@dataclass(frozen=True, kw_only=True)
class LumeRow:
    """A beginning with what follows it, or a question with its answer."""

    document: str
    """The story or person that the row is about; several rows have one in common."""
    kind: Literal["sc", "qa"]
    """Sentence completion, or question and answer."""
    number: int
    task: Task
    input: str
    output: str

    @property
    def id(self) -> str:
        """As the file has it, without the quotes that some have around the document."""
        return f"{self.document}{self.kind}{self.number}"


class LumeData:
    """The files of one folder. Each is read when it is asked for, and held."""

    def __init__(self, data_dir: Path | str | None = None) -> None:
        """`data_dir`: None means $ATU_LUME, else `data/lume` under the working directory.

        Raises UserError when there is no such folder.
        """
        self.root = Path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR).expanduser()
        if not self.root.is_dir():
            raise UserError(f"There is no folder {shown(self.root)} with LUME's files. {_HOW_TO_GET}")
        self._held: dict[Side, tuple[LumeRow, ...]] = {}

    def path(self, side: Side) -> Path:
        """The file of a side. Raises UserError where the folder lacks it."""
        path = self.root / f"{side}.jsonl"
        if not path.is_file():
            raise UserError(f"{shown(self.root)} has no {side}.jsonl. {_HOW_TO_GET}")
        return path

    def rows(self, side: Side) -> tuple[LumeRow, ...]:
        """All rows of a side, in data order.

        Raises UserError that names the file and the line of a broken row.
        """
        if side not in self._held:
            self._held[side] = read_rows(self.path(side))
        return self._held[side]

    def membership_files(self) -> dict[str, Path]:
        """The organisers' texts of the membership attack, by `members` and `others`; empty where they are not there."""
        found = {name: self.root / file for name, file in MEMBERSHIP_FILES.items()}
        return found if all(path.is_file() for path in found.values()) else {}

    def membership_texts(self) -> dict[str, list[tuple[str, str]]]:
        """Id and text of each row of these files.

        Raises UserError that names the line of a broken row.
        """
        return {name: read_documents(path) for name, path in self.membership_files().items()}


def read_rows(path: Path) -> tuple[LumeRow, ...]:
    """The rows of one side.

    Raises:
        UserError: the file is empty, a row of it is broken, or an id occurs twice (its line is named).
    """
    rows: dict[str, LumeRow] = {}
    for where, _, row in json_rows(path):
        found = _to_row(row, where)
        if found.id in rows:
            raise UserError(f"{where}: the id '{found.id}' was there before.")
        rows[found.id] = found
    if not rows:
        raise UserError(f"{shown(path)} is empty. {_HOW_TO_GET}")
    return tuple(rows.values())


def read_documents(path: Path) -> list[tuple[str, str]]:
    """Id and text of each row of a file for the membership attack.

    Raises:
        UserError: the file is empty, or a row of it is broken (its line is named).
    """
    found = []
    for where, line, row in json_rows(path):
        if not isinstance(row.get("document"), str) or not row["document"].strip():
            raise UserError(f"{where}: 'document' must be a text that is not empty.")
        found.append((str(row.get("id", line)), row["document"]))
    if not found:
        raise UserError(f"{shown(path)} is empty: leave it out, or fill it.")
    return found


def _to_row(row: dict[str, Any], where: str) -> LumeRow:
    for field in _FIELDS:
        if not isinstance(row.get(field), str) or not row[field].strip():
            raise UserError(f"{where}: '{field}' must be a text that is not empty. Is this LUME's data?")
    parts, task = _ID.fullmatch(row["id"]), row["task"].removeprefix("Task")
    if parts is None:
        raise UserError(f"{where}: the id {row['id']!r} must end in sc or qa and a number.")
    if task not in TASKS:
        raise UserError(f"{where}: the task {row['task']!r} is none of Task1, Task2, Task3.")
    return LumeRow(
        document=parts["document"],
        kind="sc" if parts["kind"] == "sc" else "qa",
        number=int(parts["number"]),
        task=task,
        input=row["input"],
        output=row["output"],
    )
