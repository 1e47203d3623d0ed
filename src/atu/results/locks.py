"""Whether the process that says it writes a run still does."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCK_NAME = ".lock"


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
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)  # which lets go of it, too


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # somebody else's
    return True
