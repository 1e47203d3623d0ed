"""Reading RWKU's files: one folder per target, 22 JSON files each."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path
from typing import TypeVar

from atu.benchmarks.rwku.files import ALL_FILES, INTRO, RwkuFile
from atu.benchmarks.rwku.record import Record, SharedBlocks
from atu.errors import UserError, did_you_mean
from atu.storage.user_files import read_json

T = TypeVar("T")

DATA_DIR_VARIABLE = "ATU_RWKU"
DEFAULT_DATA_DIR = Path("data/rwku")
_HOW_TO_GET = (
    " Fetch it with `bash data/rwku/download_rwku_data.sh`, "
    f"or name a folder that has it (data_dir or ${DATA_DIR_VARIABLE})."
)
_FOLDER_NAME = re.compile(r"(\d+)_(.+)")


class RwkuData:
    """The targets under one folder. Reads a file when asked; holds repeated blocks once.

    Accepts `DIR/Target/<n>_<Name>/` and `DIR/<n>_<Name>/`. Folder names may end in a full stop, hold a comma
    or an accent; accents match in either Unicode form (macOS stores another one than Linux).
    """

    def __init__(self, data_dir: Path | str | None = None) -> None:
        """`data_dir`: None means $ATU_RWKU, else `data/rwku` under the working directory.

        Raises UserError when there is no such folder or no target in it.
        """
        chosen = data_dir or os.environ.get(DATA_DIR_VARIABLE) or DEFAULT_DATA_DIR
        self.root = find_target_root(Path(chosen))
        self._paths = {_normal(path.name): path for path in list_target_folders(self.root)}
        if not self._paths:
            raise UserError(f"No RWKU target in {self.root}: expected folders such as 1_Stephen_King.{_HOW_TO_GET}")
        self._shared = SharedBlocks()

    def targets(self) -> list[str]:
        """Folder names in the order of their numbers, whatever order the directory lists them in."""
        return sorted(self._paths, key=target_order)

    def path(self, folder: str) -> Path:
        """Where a target's files are. Raises UserError with the nearest known name."""
        path = self._paths.get(_normal(folder))
        if path is None:
            raise UserError(f"RWKU has no target '{folder}' in {self.root}.{did_you_mean(folder, self._paths)}")
        return path

    def has(self, folder: str, file: RwkuFile[T]) -> bool:
        """Whether a target's folder holds this file."""
        return (self.path(folder) / f"{file.name}.json").is_file()

    def read(self, folder: str, file: RwkuFile[T]) -> tuple[T, ...]:
        """All rows of one file, in data order.

        Raises UserError that names the file, and the row where one is broken (rows count from 0).
        """
        path = self.path(folder) / f"{file.name}.json"
        if not path.is_file():
            raise UserError(f"{path.parent} has no {path.name}.{_HOW_TO_GET}")
        rows = read_json(path)
        if not isinstance(rows, list) or not rows:
            raise UserError(f"{path}: expected a JSON list of rows. Fetch the file again.")
        expected = _normal(target_name(folder))
        parsed = []
        for number, row in enumerate(rows):
            where = f"{path}, row {number}"
            if not isinstance(row, dict):
                raise UserError(f"{where}: expected an object with fields, found {type(row).__name__}.")
            record = Record(row, where, self._shared)
            subject = record.text("target" if file.name == INTRO.name else "subject")
            if _normal(subject) != expected:
                raise UserError(f"{where}: is about '{subject}', but the folder is {folder}'s.")
            parsed.append(file.parse(record))
        return tuple(parsed)

    def check(self, folder: str) -> dict[str, int]:
        """Read every file that a target has; rows for each. Raises UserError at the first broken row."""
        return {file.name: len(self.read(folder, file)) for file in ALL_FILES if self.has(folder, file)}


def find_target_root(data_dir: Path) -> Path:
    """`data_dir/Target` where there is one, else `data_dir`. Raises UserError when neither exists."""
    if (data_dir / "Target").is_dir():
        return data_dir / "Target"
    if data_dir.is_dir():
        return data_dir
    raise UserError(f"No RWKU data at {data_dir}.{_HOW_TO_GET}")


def list_target_folders(root: Path) -> list[Path]:
    """The folders in `root` that are named like targets, such as `24_Beyoncé`, by number."""
    found = [path for path in root.iterdir() if path.is_dir() and _FOLDER_NAME.fullmatch(path.name)]
    return sorted(found, key=lambda path: target_order(path.name))


def target_number(folder: str) -> int:
    """The place of a target in RWKU's list, from 1: 24 for `24_Beyoncé`."""
    match = _FOLDER_NAME.fullmatch(folder)
    if match is None:
        raise UserError(f"'{folder}' is no name of an RWKU target folder such as 1_Stephen_King.")
    return int(match[1])


def target_order(folder: str) -> tuple[int, str]:
    """Sort key of folder names: by number."""
    return target_number(folder), folder


def target_name(folder: str) -> str:
    """`Prince Harry, Duke of Sussex` for `10_Prince_Harry,_Duke_of_Sussex`."""
    match = _FOLDER_NAME.fullmatch(folder)
    return (match[2] if match else folder).replace("_", " ")


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", name)
