"""The guard at every entry: whatever goes wrong ends as one line on stderr and an exit code that is not 0.

With `HYDRA_FULL_ERROR=1` in the environment the traceback is shown instead.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from atu.errors import (
    EXIT_BROKEN_PIPE,
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_USER_ERROR,
    SignalEnd,
    UserError,
    is_out_of_memory,
    system_words,
)
from atu.processes.environment import is_speaker
from atu.storage.files import cache_root
from atu.text.escaping import visible

# Read before `_run_hydra` sets it for Hydra.
_WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"
_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
_MAX_LENGTH = 2000
"""Of a message, in characters."""


@contextmanager
def exit_codes(hint: str) -> Iterator[None]:
    """Turn every exception into one line on stderr and an exit code, Ctrl-C into `hint` and exit code 130.

    A mistake of the user, a file or a machine that does not serve: 2. A bug of this program: 1, and its traceback lies
    in the file that the line names. A reader of the output that has gone (`| head -1`) ends it without a word: 141.
    """
    try:
        _prepare_streams()
        with _unwound_by_signals():
            yield
        _flush()
    except SignalEnd as end:
        _drop_output()
        if is_speaker():
            _print(f"\nended by {end.signal}. {hint}")
        raise SystemExit(
            end.code
        ) from None  # so that a guard around this one does not say it again, with a hint that is less exact
    except KeyboardInterrupt:
        _drop_output()
        if is_speaker():
            _print(f"\ninterrupted. {hint}")
        raise SystemExit(EXIT_INTERRUPTED) from None
    except SystemExit:
        _drop_output()
        raise
    except Exception as error:
        exit_with(error)


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise SignalEnd; one that is ignored (nohup), or that somebody handles, stays so."""
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield
        return
    numbers = [number for number in _ENDING if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, frame: object) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)  # what is said on the way out is said whole
        raise SignalEnd(number)

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def exit_with(error: Exception) -> NoReturn:
    """End the process as `exit_codes` says."""
    if _WANTS_TRACEBACK:
        raise error
    message, code = explain(error), EXIT_USER_ERROR if is_foreseen(error) else EXIT_BUG
    if isinstance(error, OSError) and error.filename is None and not _takes_output():
        message = f"Cannot write the output: {error.strerror}."
        code = EXIT_BROKEN_PIPE if isinstance(error, BrokenPipeError) else EXIT_USER_ERROR
    _drop_output()
    if is_speaker() and code != EXIT_BROKEN_PIPE:
        _print(f"error: {message}")
    raise SystemExit(code) from None


def is_foreseen(error: Exception) -> bool:
    """Whether the fault lies with the user, a file or the machine, and not with this program."""
    return isinstance(error, UserError) or _explained(error) is not None


def explain(error: Exception) -> str:
    """What a user is told of an exception, in one line. Of a bug, the traceback is written to a file."""
    if isinstance(error, UserError):
        return as_message(str(error))
    known = _explained(error)
    if known is not None:
        return as_message(known)
    what = as_message(f"{type(error).__name__}: {error}")[:300]
    path = _keep_traceback(error)
    if path is None:
        return f"This is a bug of the program, please report it: {what}. HYDRA_FULL_ERROR=1 shows where it is."
    return f"This is a bug of the program ({what}). Please report it with the file {path}, which says where it is."


def as_message(text: str) -> str:
    """On one line, without control characters, and not endless."""
    text = visible(re.sub(r"\s*[\r\n\v\f\x1c-\x1e\x85\u2028\u2029]+\s*", " ", text.strip()))
    return text if len(text) <= _MAX_LENGTH else f"{text[: _MAX_LENGTH - 3]}..."


def _explained(error: Exception) -> str | None:
    """What a fault of a file or of the machine means; None for one of this program."""
    if is_out_of_memory(error):
        return (
            "Not enough memory. Close other programs, or take smaller batches, a smaller model or adapters: "
            "docs/memory.md says what needs how much."
        )
    if isinstance(error, OSError) and error.strerror:
        _, advice = system_words(error)
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        where = f" ({', '.join(names)})" if names else ""
        return f"{error.strerror}{where}{f': {advice}' if advice else ''}."
    if isinstance(error, RecursionError):
        return "Something that was given is nested too deeply to be read."
    if isinstance(error, UnicodeError):
        return f"A text or a name that was given is no valid Unicode: {error}."
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error):
        return f"The GPU refuses: {str(error).splitlines()[0]}. Try device=cpu, or another GPU."
    return None


def _prepare_streams() -> None:
    """See that nothing that is printed can fail for its letters, and that no file takes the place of a closed stream.

    Raises:
        UserError: there is no working directory any more.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")
    try:
        Path.cwd()
    except OSError as error:
        raise UserError("The working directory does not exist any more: change to another one.") from error


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _takes_output() -> bool:
    """Whether stdout can be written; tried with an empty line, since what failed once is forgotten."""
    try:
        print(flush=True)
    except OSError:
        return False
    return True


def _drop_output() -> None:
    """Let go of what cannot be written, else the interpreter tries again at its end, and complains."""
    try:
        _flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print(line: str) -> None:
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def _keep_traceback(error: Exception) -> Path | None:
    """Write the traceback where it can be found; None where nothing can be written."""
    text = "".join(traceback.format_exception(error))
    for folder in (cache_root() / "tracebacks", None):
        with suppress(OSError):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix="atu-", suffix=".txt", dir=folder, text=True)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return Path(name)
    return None
