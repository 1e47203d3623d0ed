"""The cache: what can be made again, found by its key, believed by its digest, and kept within a limit.

A file's name is `<key>.<digest><suffix>`; a folder has `digests.json`. What is damaged is deleted, with one line, and
made again. Where a new entry would pass the limit, those go that were not used for the longest time.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from atu.errors import UserError
from atu.processes.notices import notice
from atu.storage.digests import DIGESTS_NAME, find_damage
from atu.storage.files import PARTIAL_SUFFIX, cache_root, remove_folder, sync_file, sync_folder, write_json_atomic
from atu.storage.locks import LOCK_NAME, hold, is_locked, let_go
from atu.storage.user_files import file_sha256, read_json

T = TypeVar("T")

logger = logging.getLogger("atu")

ROOMS = {
    "models": "language models converted from GGUF",
    "given": "language models that a program had loaded",
    "encoders": "sentence encoders out of packages",
    "taught": "models that were taught, and lessons half done",
    "corpora": "texts that a model wrote about a concept",
    "general": "a model's own answers on general topics",
    "references": "states of reference models",
    "subspaces": "directions of forget subspaces",
    "windows": "embeddings of windows",
    "answers": "what reference models answer to probes",
    "observations": "what models gave to a benchmark's questions",
    "relearned": "what reference models answer after an attack",
    "tracebacks": "bugs to report",
}
"""Folders of the cache, and what lies in them. Nothing else in the cache's folder is ever deleted."""
LIMIT_VARIABLE = "ATU_CACHE_LIMIT"
_DEFAULT_LIMIT = "50GB"
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_DIGITS = 16
"""Of a digest in a file's name."""
_STALE_SECONDS = 86400.0
"""Age from which what a process left unfinished is surely nobody's any more."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file or folder that is kept, or was left unfinished."""

    path: Path
    room: str
    num_bytes: int
    last_used: float
    """Seconds since 1970."""

    @property
    def is_partial(self) -> bool:
        return self.path.name.endswith(PARTIAL_SUFFIX)


@dataclass
class NewFile:
    """A file that is being written next to its place."""

    partial: Path
    path: Path | None = None
    """Where it lies, once it is whole."""


def find_file(room: str, key: str, suffix: str) -> Path | None:
    """The file of a key, whole; None where there is none, or only a damaged one, which is deleted then.

    It is in use until this process ends.

    Args:
        room: one of `ROOMS`.
        suffix: such as `.json`.

    Raises:
        UserError: the variable with the limit is none.
    """
    cache_limit()  # a mistake in it shows before anything is computed
    for path in sorted((cache_root() / room).glob(f"{key}.*{suffix}")):
        digest = path.name.removeprefix(f"{key}.").removesuffix(suffix)
        hold(path)
        try:
            found = file_sha256(path)[:_DIGITS]
        except UserError:
            continue  # another process has deleted it
        if found == digest:
            _touch(path)
            return path
        let_go(path)
        notice(f"{path} in the cache is damaged; it is made again.")
        with suppress(OSError):
            path.unlink()
    return None


@contextmanager
def new_file(room: str, key: str, suffix: str) -> Iterator[NewFile]:
    """Write the file of a key: `with new_file(...) as new: new.partial.write_bytes(...)`.

    It gets its name when the block is through; on any failure nothing of it stays.

    Raises:
        UserError: the disk refuses, also inside of the block.
    """
    folder = cache_root() / room
    new = NewFile(folder / f".{key}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        with write_errors(folder / f"{key}{suffix}"):
            folder.mkdir(parents=True, exist_ok=True)
            yield new
            sync_file(new.partial)
            path = folder / f"{key}.{file_sha256(new.partial)[:_DIGITS]}{suffix}"
            new.partial.replace(path)
            sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            new.partial.unlink()
        raise
    new.path = path
    hold(path)
    make_room(path)


def cached_json(room: str, key: str, make: Callable[[], T]) -> T:
    """The JSON value that is kept under `key`, or what `make` gives, which is kept from then on.

    Raises:
        UserError: the disk refuses, or what `make` raises.
    """
    path = find_file(room, key, ".json")
    if path is not None:
        kept: T = read_json(path)
        return kept
    made = make()
    with new_file(room, key, ".json") as new:
        write_json_atomic(new.partial, made)
    return made


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError while a file of the cache is written into one line that says what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"Cannot write the cache file {path}: {error}. Free some space or set ATU_CACHE to another folder."
        ) from error


def is_whole(folder: Path, *, tell: bool = False) -> bool:
    """Whether a folder of the cache is there as it was written; it is then in use until this process ends.

    A damaged one, and one of an older version, which has no digests, is to be made again.

    Args:
        tell: say so of a damaged one.
    """
    if not folder.is_dir():
        return False
    hold(folder / DIGESTS_NAME)
    if (folder / DIGESTS_NAME).is_file():
        damaged = find_damage(folder)
        if not damaged:
            _touch(folder)
            return True
        let_go(folder / DIGESTS_NAME)
        if tell:
            notice(f"{folder / damaged[0]} in the cache is damaged; the folder is made again.")
    return False


def cache_limit() -> int | None:
    """Most bytes that the cache may take; None = no limit.

    Raises:
        UserError: the environment names no size.
    """
    text = os.environ.get(LIMIT_VARIABLE) or _DEFAULT_LIMIT
    if text.lower() == "none":
        return None
    match = re.fullmatch(r"(\d{1,6}(?:\.\d{1,6})?) ?([kMGT]?B)", text, flags=re.IGNORECASE)
    if match is None:
        raise UserError(f"{LIMIT_VARIABLE}={text!r} is no size: write one such as 50GB or 500MB, or none.")
    return int(float(match.group(1)) * _UNITS[match.group(2).upper()])


def entries() -> list[Entry]:
    """Everything in the rooms, what was used longest ago first."""
    found = []
    for room in ROOMS:
        with suppress(OSError):
            for path in (cache_root() / room).iterdir():
                if path.suffix != ".lock":
                    found.append(_entry(path, room))
    return sorted(found, key=lambda entry: entry.last_used)


def make_room(spared: Path) -> None:
    """Bring the cache within its limit: unfinished files of the dead go, then what was used longest ago.

    Args:
        spared: the new entry, which stays.
    """
    limit = cache_limit()
    if limit is None:
        return
    kept = entries()
    total = sum(entry.num_bytes for entry in kept)
    dropped = 0
    for entry in sorted(kept, key=lambda entry: (not _is_stale(entry), entry.last_used)):
        if total - dropped <= limit and not _is_stale(entry):
            break
        if entry.path != spared and delete(entry):
            dropped += entry.num_bytes
    if dropped:
        logger.info("%.1f MB of the cache that were not used for the longest time were deleted", dropped / 1e6)


def delete(entry: Entry) -> bool:
    """Delete an entry; False where a process uses it or writes it, or the disk refuses."""
    if entry.is_partial and not _is_stale(entry):
        return False
    try:
        if not entry.path.is_dir():
            if is_locked(entry.path):
                return False
            entry.path.unlink()
        elif any(is_locked(entry.path / name) for name in (LOCK_NAME, DIGESTS_NAME)):
            return False
        else:
            remove_folder(entry.path)
    except OSError:
        return False
    return True


def _is_stale(entry: Entry) -> bool:
    return entry.is_partial and time.time() - entry.last_used > _STALE_SECONDS


def _entry(path: Path, room: str) -> Entry:
    stats = [path.stat()]
    if path.is_dir():
        for child in path.rglob("*"):
            with suppress(OSError):  # one that another process has just taken away
                stats.append(child.stat())
    files = stats[1:] if path.is_dir() else stats
    return Entry(
        path=path,
        room=room,
        num_bytes=sum(stat.st_size for stat in files),
        last_used=max(stat.st_mtime for stat in stats),
    )


def _touch(path: Path) -> None:
    """Its time is that of its last use."""
    with suppress(OSError):  # in a cache that others own
        os.utime(path)
