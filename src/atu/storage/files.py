"""Whole files or none: atomic writing, and JSON lines that survive a killed process; `user_files` reads them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout
from platformdirs import user_cache_dir

from atu.errors import UserError, system_words
from atu.storage.locks import LOCK_NAME

PARTIAL_SUFFIX = ".partial"
"""Ends the name of everything that is still being written; such a file or folder may be deleted."""


def cache_root() -> Path:
    """Folder for what can be made again: models, corpora, arrays. `ATU_CACHE` names another one."""
    return Path(os.environ.get("ATU_CACHE") or user_cache_dir("atu"))


def content_key(parts: Mapping[str, object]) -> str:
    """sha256 over everything that determines the arrays; `parts` must be JSON values."""
    canonical = json.dumps(parts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an `OSError` while writing `path` into a one-line `UserError` that says what to do."""
    try:
        yield
    except OSError as error:
        raise UserError(f"Cannot write {path}: {'; '.join(filter(None, system_words(error)))}.") from error


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a part of it.

    Parent folders are made. The data are written under another name, synced, and renamed over `path`; the
    unfinished file is removed on any failure (a killed process leaves it, under a `.partial` name).

    Raises:
        UserError: the disk is full, or the folder can't be written.
    """
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def write_text_atomic(path: Path, text: str) -> None:
    """Write UTF-8 text as `write_bytes_atomic` does."""
    write_bytes_atomic(path, text.encode("utf-8"))


def write_json_atomic(path: Path, value: Any) -> None:
    """Write one indented JSON value as `write_bytes_atomic` does.

    Raises:
        UserError: as `write_bytes_atomic`.
        ValueError: `value` holds NaN or infinity, which JSON has no word for.
    """
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_jsonl_atomic(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines as `write_bytes_atomic` does; NaN raises ValueError."""
    write_text_atomic(path, "".join(_line(row) for row in rows))


def append_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Append JSON lines: all of them or none.

    A last line that a killed process left cut is dropped first, since nothing may follow it.

    Raises:
        UserError: the disk is full, or the file can't be written; the file is then as it was.
        ValueError: a row holds NaN or infinity; nothing is written.
    """
    data = "".join(_line(row) for row in rows).encode("utf-8")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # Unbuffered: a failed write must not be tried again when the file closes.
        with path.open("a+b", buffering=0) as file:
            size = _drop_cut_tail(file.fileno())
            try:
                written = 0
                while written < len(data):
                    written += os.write(file.fileno(), data[written:])
            except BaseException:
                os.ftruncate(file.fileno(), size)
                raise


def publish_folder(partial: Path, final: Path) -> None:
    """Give a finished folder its name: sync its files, then rename, so that it is there whole or not at all.

    Raises:
        UserError: `final` exists already with content, or the disk refuses.
    """
    with disk_errors(final):
        for path in sorted(partial.rglob("*")):
            if path.is_dir():
                sync_folder(path)
            else:
                sync_file(path)
        sync_folder(partial)
        partial.replace(final)
        sync_folder(final.parent)


def remove_folder(folder: Path) -> None:
    """Take a folder away at once: what a killed process leaves of it has a name that nobody takes for the whole.

    Raises:
        OSError: it cannot be renamed.
    """
    doomed = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}{PARTIAL_SUFFIX}")
    try:
        folder.rename(doomed)
    except FileNotFoundError:
        return
    shutil.rmtree(doomed, ignore_errors=True)


def sync_file(path: Path) -> None:
    """Make what was written to a file last through a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder last through a power cut, where the system can do so."""
    if os.name != "posix":  # Windows has no folder handles to sync.
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems refuse to sync a folder; their rename is as safe as they make it.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(dict(row), ensure_ascii=False, allow_nan=False) + "\n"


def _drop_cut_tail(descriptor: int) -> int:
    """Cut the file after its last line end; returns its size in bytes then."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    whole = size
    while whole > 0:
        start = max(0, whole - 65536)
        block = os.pread(descriptor, whole - start, start)
        line_end = block.rfind(b"\n")
        if line_end >= 0:
            whole = start + line_end + 1
            break
        whole = start
    os.ftruncate(descriptor, whole)
    return whole


def lock_folder(folder: Path, refusal: Callable[[], str]) -> BaseFileLock:
    """Make a folder, and keep other processes from it, until the lock is released or this process ends.

    Raises:
        UserError: another process holds it (`refusal` says so), or the disk refuses.
    """
    # The lock belongs to the process, whichever thread lets go of it.
    lock = FileLock(folder / LOCK_NAME, timeout=0, thread_local=False)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(refusal()) from error
    return lock


@contextmanager
def held_folder(folder: Path, refusal: str) -> Iterator[None]:
    """`lock_folder` while the block runs."""
    lock = lock_folder(folder, lambda: refusal)
    try:
        yield
    finally:
        lock.release()
