"""Whether a run is still written, and a folder of the cache still read, by the process that says so."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK_NAME = ".lock"
_MOST_HELD = 64
"""A process may have so many files open, and needs others."""


def is_abandoned(root: Path, status: Mapping[str, Any]) -> bool:
    """Whether the process of this status is gone for sure.

    That can be told of a process of this machine only: it is gone when there is none of its number, and when nobody
    holds the run's lock, since a number is given again. Of a process elsewhere nothing is known.
    """
    pid = status.get("pid")
    if status.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    return not _exists(pid) or not is_locked(root / LOCK_NAME)


def is_locked(path: Path) -> bool:
    """Whether a process holds this lock; where locks cannot be asked for, it is taken to be held."""
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)  # which lets go of it, too


def hold(path: Path) -> None:
    """Let `is_locked` say of a file that it is in use, until this process ends; others may hold it, too."""
    if path in _held:
        return
    # Where there is no lock to be had, it may be deleted while it is read, which comes out.
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (ImportError, OSError):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return
    if len(_held) == _MOST_HELD:  # what was held longest has long been read
        let_go(next(iter(_held)))
    _held[path] = descriptor


def let_go(path: Path) -> None:
    """Take back `hold`."""
    descriptor = _held.pop(path, None)
    if descriptor is not None:
        os.close(descriptor)


_held: dict[Path, int] = {}
"""Descriptors of what this process holds."""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
