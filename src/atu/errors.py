"""The one error a user is meant to see: what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import errno
import re
import signal
from collections.abc import Iterable

EXIT_JOBS_FAILED = 1
EXIT_BUG = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

_MOST_NAMES = 60
"""That a message lists."""
_MEMORY = re.compile(
    r"not enough memory|can't allocate memory|cannot allocate memory|out of memory|failed to map segment|bad_alloc",
    re.IGNORECASE,
)
"""How torch, and the loader of its libraries, say that memory ran out: on a CPU there is no class of its own for it."""


_TAKEN = ("a part of this path is a file, not a folder", "choose another path")
_DENIED = ("permission denied", "choose a folder that you may use")
_SYSTEM = {
    errno.ENOSPC: ("the disk is full", "free some space and run the same command again"),
    errno.EDQUOT: ("your disk quota is used up", "free some space and run the same command again"),
    errno.EFBIG: ("the file would pass the size limit of this process or disk (see `ulimit -f`)", ""),
    errno.EROFS: ("the file system is read-only", "choose a folder that can be written"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.ENOTDIR: _TAKEN,
    errno.EEXIST: _TAKEN,
    errno.EISDIR: ("there is a folder of this name", "choose another path"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.ELOOP: ("its links go round in a circle", ""),
    errno.ENXIO: ("it is no ordinary file", ""),
    errno.EMFILE: ("too many files are open", "raise the limit (`ulimit -n 1024`) and run the same command again"),
    errno.ENFILE: ("too many files are open", "close other programs and run the same command again"),
}
"""What the system refuses, and what to do about it."""


class UserError(ValueError):
    """A fault of config, data or files that the user can mend. Printed as one line, exit code 2."""


class SignalEnd(SystemExit):
    """The system tells this process to end: it unwinds as after Ctrl-C, and says so on its way."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)  # as shells have it
        self.signal = signal.Signals(number).name
        """Such as `SIGTERM`."""


def missing_package(key: str, package: str, extra: str) -> UserError:
    """What is said where a setting needs a package of one of the project's extras, which is not installed."""
    return UserError(f"{key} needs the package {package}: run pip install '.[{extra}]' in the project's folder.")


def reason(error: Exception) -> str:
    """What an error says, in one line; one that no user is meant to see says its kind, too."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}".removesuffix(": ")


def in_one_line(error: Exception) -> str:
    """All that an error says, without line ends and the last full stop; its kind where it says nothing."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def first_line(error: Exception) -> str:
    """What an error says, without the full stop; its kind where that alone says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # transformers' checks of a config say in the second line what is wrong, and with what.
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    said = said if " " in said else f"{type(error).__name__}: {said}"
    return said[:300].rstrip(".")


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """The end of an error message: the nearest known name, or the known ones when none is near; of many the first."""
    names = sorted(known)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    if near:
        return f" Did you mean '{near[0]}'?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f" Known: {', '.join(names[:_MOST_NAMES])}{more}." if names else ""


def system_words(error: Exception) -> tuple[str, str]:
    """What the system, or Python for it, refuses, and what to do about it; empty where there is nothing to advise."""
    number = error.errno if isinstance(error, OSError) else None
    return _SYSTEM.get(number or 0, (getattr(error, "strerror", None) or str(error), ""))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, of the machine or of its GPU, ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError | ImportError | OSError) and _MEMORY.search(str(error)) is not None
