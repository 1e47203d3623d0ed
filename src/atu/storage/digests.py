"""Digests of files, next to them and inside of them: what is read is what was written, or the damaged part is named.

A folder that is written once has `digests.json`, its last file, with sha256 and size of all others. A file that grows,
or that is one JSON value, carries a check in each row or object. Neither guards against somebody who writes both.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.storage.files import content_key, sync_file, write_json_atomic
from atu.storage.locks import LOCK_NAME
from atu.storage.user_files import MAX_LINES_BYTES, file_sha256, parse_json, read_bytes, read_json

DIGESTS_NAME = "digests.json"
_CHECK = "check"
_CHECK_DIGITS = 16


class DamagedError(UserError):
    """A file differs from what was written."""


def write_digests(folder: Path, *, known: Mapping[str, str] | None = None) -> None:
    """Write and sync `digests.json` with sha256 and size of every file below a folder that nobody else writes.

    Args:
        known: sha256 by name, of files that are not read again, such as a link to an earlier file: damage that it has
            got since must not be taken for its content.

    Raises:
        OSError: a file cannot be read, or the disk refuses.
    """
    known = known or {}
    names = _names(folder)
    files = {
        name: {"sha256": digest, "bytes": (folder / name).stat().st_size}
        for name, digest in zip(names, _digests(folder, names, known), strict=True)
    }
    text = json.dumps(sealed({"files": files}), indent=1, ensure_ascii=False) + "\n"
    (folder / DIGESTS_NAME).write_text(text, encoding="utf-8")
    sync_file(folder / DIGESTS_NAME)


def read_digests(folder: Path) -> dict[str, dict[str, Any]] | None:
    """sha256 and size of each file by its name, as `write_digests` left them; None where it never did.

    Raises:
        DamagedError: `digests.json` itself is damaged.
    """
    path = folder / DIGESTS_NAME
    if not path.is_file():
        return None
    files = read_sealed_json(path).get("files")
    if not isinstance(files, dict) or not all(_is_digest(file) for file in files.values()):
        raise DamagedError(f"{path} is damaged: it does not say what the files are.")
    return files


def find_damage(folder: Path, *, sizes_only: bool = False) -> list[str]:
    """Names of the files that are missing or differ from `digests.json`, that file included.

    Files that it does not name do not count; nor does a folder without `digests.json`, which an older version wrote.

    Args:
        sizes_only: compare sizes alone, which reads no content.
    """
    try:
        files = read_digests(folder)
    except DamagedError:
        return [DIGESTS_NAME]
    if files is None:
        return []
    wrong = [name for name, file in files.items() if _size(folder / name) != file["bytes"]]
    if not sizes_only:
        rest = [name for name in files if name not in wrong]
        found = zip(rest, _digests(folder, rest, {}), strict=True)
        wrong += [name for name, digest in found if digest != files[name]["sha256"]]
    return wrong


def check_folder(folder: Path, what_to_do: str, *, apart_from: Collection[str] = ()) -> None:
    """Raise DamagedError, which names the first damaged file, unless the folder is what `digests.json` says."""
    damaged = [name for name in find_damage(folder) if name not in apart_from]
    if damaged:
        raise DamagedError(
            f"{folder / damaged[0]} is damaged, or was edited: it differs from {DIGESTS_NAME}. {what_to_do}"
        )


def sealed(row: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with a check of all that it holds."""
    return {**row, _CHECK: _check_of(row)}


def unsealed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The object that was sealed; one without a check, which an older version wrote, as it is.

    Raises:
        ValueError: it is not what was sealed.
    """
    rest = _without(row, _CHECK)
    if _CHECK in row and row[_CHECK] != _check_of(rest):
        raise ValueError("its check does not fit what it holds")
    if _CHECK not in row and any(
        value == _check_of(_without(row, key)) for key, value in row.items() if _is_check(value)
    ):
        raise ValueError("the name of its check is damaged")  # and so it looks like a row of an older version
    return rest


def _without(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _check_of(rest: Mapping[str, Any]) -> str:
    return content_key(rest)[:_CHECK_DIGITS]


def _is_check(value: object) -> bool:
    return isinstance(value, str) and len(value) == _CHECK_DIGITS


def read_sealed_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows of a file of sealed JSON lines that are as they were written, and how many are not.

    A last line without its end, as a killed process leaves it, is neither.

    Raises:
        UserError: the file cannot be read.
    """
    *lines, _ = read_bytes(path, MAX_LINES_BYTES).split(b"\n")
    rows = []
    for line in lines:
        with suppress(ValueError):
            row = parse_json(line.decode("utf-8"), str(path))
            rows.append(unsealed(row if isinstance(row, dict) else {_CHECK: ""}))
    return rows, len(lines) - len(rows)


def write_sealed_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object with its check, as `write_json_atomic` does."""
    write_json_atomic(path, sealed(value))


def read_sealed_json(path: Path, what_to_do: str = "") -> dict[str, Any]:
    """Read what `write_sealed_json` wrote.

    Args:
        what_to_do: a sentence for whoever finds it damaged.

    Raises:
        UserError: no such file.
        DamagedError: it holds no JSON object, or another one than was written.
    """
    try:
        value = read_json(path)
        if not isinstance(value, dict):
            raise ValueError("it holds no JSON object")
        return unsealed(value)
    except ValueError as error:
        if not path.is_file():
            raise
        reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        raise DamagedError(f"{path} is damaged: {reason}. {what_to_do}".rstrip()) from error


def _is_digest(file: Any) -> bool:
    return isinstance(file, dict) and isinstance(file.get("sha256"), str) and isinstance(file.get("bytes"), int)


def _names(folder: Path) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != LOCK_NAME]
    return sorted(path.relative_to(folder).as_posix() for path in files)


def _digests(folder: Path, names: Collection[str], known: Mapping[str, str]) -> list[str]:
    """Several files at once: hashing leaves the interpreter free."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        return list(pool.map(lambda name: known.get(name) or _digest(folder / name), names))


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except UserError:
        return "unreadable"


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
