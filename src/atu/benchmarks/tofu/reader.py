"""Reading TOFU's files: JSON Lines as the hub has them, one JSON list, or several lists one a line."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from atu.benchmarks.tofu.files import FILES, Row
from atu.errors import UserError
from atu.storage.user_files import parse_json, read_text, shown

DATA_DIR_VARIABLE = "ATU_TOFU"
DEFAULT_DATA_DIR = Path("data/tofu")
_HOW_TO_GET = f"Fetch it with `atu data tofu`, or name a folder that has it (data_dir or ${DATA_DIR_VARIABLE})."
_NAMES = {"question": ("question", "prompt"), "answer": ("answer", "response")}
"""Some copies have renamed the columns."""


class TofuData:
    """The files of one folder; a file is read when it is asked for, and held."""

    def __init__(self, data_dir: Path | str | None = None) -> None:
        """`data_dir`: None means $ATU_TOFU, else `data/tofu` under the working directory.

        Raises UserError when there is no such folder, or none of TOFU's files in it.
        """
        self.root = Path(data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR).expanduser()
        if not self.root.is_dir():
            raise UserError(f"There is no folder {shown(self.root)} with TOFU's files. {_HOW_TO_GET}")
        if not any((self.root / f"{name}.json").is_file() for name in FILES):
            raise UserError(f"No file of TOFU in {shown(self.root)}: expected such as full.json. {_HOW_TO_GET}")
        self._held: dict[str, tuple[Row, ...]] = {}

    def path(self, name: str) -> Path:
        """Where a file is, such as `forget10_perturbed`. Raises UserError where the folder lacks it."""
        path = self.root / f"{name}.json"
        if not path.is_file():
            raise UserError(f"{shown(self.root)} has no {path.name}. {_HOW_TO_GET}")
        return path

    def rows(self, name: str) -> tuple[Row, ...]:
        """All rows of a file, in data order.

        Raises UserError that names the file, and the row where one is broken (rows count from 0).
        """
        if name not in self._held:
            path = self.path(name)
            self._held[name] = tuple(_to_row(name, value, where) for where, value in _values(path))
        return self._held[name]


def _values(path: Path) -> Iterator[tuple[str, Any]]:
    """Each row with its place in words."""
    text = read_text(path)
    if not text.strip():
        raise UserError(f"{shown(path)} is empty. {_HOW_TO_GET}")
    lines = [line for line in text.split("\n") if line.strip()]
    is_lined = all(line.lstrip()[0] in "[{" and line.rstrip()[-1] in "]}" for line in lines)
    values = [parse_json(line, shown(path)) for line in lines] if is_lined else [parse_json(text, shown(path))]
    rows = [row for value in values for row in (value if isinstance(value, list) else [value])]
    for number, row in enumerate(rows):
        yield f"{shown(path)}, row {number}", row


def _to_row(name: str, value: object, where: str) -> Row:
    file = FILES[name]
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected an object with a question and an answer.")
    perturbed = _texts(value, file.num_perturbed, where) if file.num_perturbed else ()
    return Row(
        question=_text(value, "question", where),
        answer=_text(value, "answer", where),
        paraphrased_answer=_text(value, "paraphrased_answer", where) if file.has_paraphrase else "",
        perturbed_answers=perturbed,
    )


def _text(value: Mapping[str, Any], key: str, where: str) -> str:
    found = next((value[name] for name in _NAMES.get(key, (key,)) if name in value), None)
    if found is None:
        raise UserError(f"{where}: '{key}' is missing. Is this TOFU's file? {_HOW_TO_GET}")
    if not isinstance(found, str) or not found.strip():
        raise UserError(f"{where}: '{key}' must be a text that is not empty.")
    return found


def _texts(value: Mapping[str, Any], count: int, where: str) -> tuple[str, ...]:
    found = value.get("perturbed_answer")
    if not isinstance(found, list) or len(found) != count:
        raise UserError(f"{where}: 'perturbed_answer' must be a list of {count} wrong answers.")
    if not all(isinstance(text, str) and text.strip() for text in found):
        raise UserError(f"{where}: 'perturbed_answer' holds something that is no text, or an empty one.")
    return tuple(found)
