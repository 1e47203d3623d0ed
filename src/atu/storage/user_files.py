"""The one reader of files that a user gives or may have touched: JSON, JSON lines, YAML and plain text.

Such a file may be anything: a pipe, a disk image, a list nested a million deep. All of it ends in a `UserError` that
names the file, and where it can the line; nothing of it hangs or fills the memory.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

import yaml

from atu.errors import UserError, system_words
from atu.text.escaping import visible

MAX_LINE_BYTES = 1_000_000
"""Of JSON lines: far beyond any text that is trained on or asked."""
MAX_LINES_BYTES = 1 << 30
"""Of a file of JSON lines, which is read line by line."""
MAX_JSON_BYTES = 1 << 28
"""Of a file that is one JSON value, or plain text."""
MAX_YAML_BYTES = 1 << 18
"""YAML is read at about 50 kB a second."""
MAX_DEPTH = 64
"""Of lists and objects inside of one another."""
MAX_YAML_VALUES = 100_000
"""YAML's references let a short file stand for billions of values."""
MAX_DIGITS = 19
"""Of a whole number: 64 bits."""
MAX_NUMBER_LENGTH = 400
"""Of a number with a decimal point, in characters."""

_BOM = b"\xef\xbb\xbf"
_ESCAPE = re.compile(r"\\ud[89a-f]", re.IGNORECASE)
"""What may stand for half a character; texts without it need no further look."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """Open an ordinary file for reading; a pipe or device, whose end may never come, is refused unread.

    Raises:
        UserError: no such file, it is no ordinary one, or it can't be read.
    """
    try:
        # Without O_NONBLOCK, to open a pipe would wait for somebody to write into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:  # the latter for a NUL in the name
        raise _unreadable(path, error) from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((words for is_kind, words in _KINDS if is_kind(mode)), "no ordinary file")
        raise UserError(f"{shown(path)} is {kind}, not a file. Give a file.")
    with os.fdopen(descriptor, "rb") as file:
        try:
            yield file
        except OSError as error:
            raise _unreadable(path, error) from error


def read_bytes(path: Path, limit: int = MAX_JSON_BYTES) -> bytes:
    """The content of an ordinary file.

    Raises:
        UserError: as `open_regular`, or the file is larger than `limit` bytes.
    """
    with open_regular(path) as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise UserError(f"{shown(path)} is larger than {_size(limit)}, the most that is read. Is it the right file?")
    return data


def file_sha256(path: Path) -> str:
    """Checksum of an ordinary file's content, as 64 hexadecimal digits. Raises UserError as `open_regular`."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_fetched(path: Path, sha256: str | None) -> None:
    """Raise UserError unless a file of fetched data is as its manifest has it."""
    if not path.is_file():
        raise UserError(f"{shown(path)} is missing. Run the download again.")
    if file_sha256(path) != sha256:
        raise UserError(f"{shown(path)} differs from the manifest. Delete it and run the download again.")


def read_text(path: Path, limit: int = MAX_JSON_BYTES) -> str:
    """UTF-8 text, with or without a byte order mark.

    Raises:
        UserError: as `read_bytes`, or not UTF-8 (the line is named).
    """
    return _decode(read_bytes(path, limit), shown(path))


def read_json(path: Path, *, is_foreign: bool = False, limit: int = MAX_JSON_BYTES) -> Any:
    """One JSON value.

    Args:
        is_foreign: written for another program that also reads what JSON has no words for: `Infinity`, `NaN`, and one
            key twice.

    Raises:
        UserError: as `read_text`, not valid JSON, or beyond the limits of `parse_json`.
    """
    return parse_json(read_text(path, limit), shown(path), is_foreign=is_foreign)


def read_json_object(path: Path, *, is_foreign: bool = False, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """One JSON object. Raises UserError as `read_json`, or where the value is something else."""
    value = read_json(path, is_foreign=is_foreign, limit=limit)
    if not isinstance(value, dict):
        raise UserError(f"{shown(path)}: expected a JSON object {{...}}, found {_kind(value)}.")
    return value


def read_jsonl(path: Path, *, allow_cut_tail: bool = False) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; blank lines are skipped.

    Args:
        allow_cut_tail: ignore a last line without line end that isn't whole, as a killed process leaves it.

    Raises:
        UserError: as `json_rows`.
    """
    return [row for _, _, row in json_rows(path, allow_cut_tail=allow_cut_tail)]


def json_rows(path: Path, *, allow_cut_tail: bool = False) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with its place in words and its line; blank lines are skipped.

    Raises:
        UserError: the file can't be read, or a line is no JSON object, too long, or beyond the limits of `parse_json`
            (it is named).
    """
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_LINES_BYTES:
            raise UserError(f"{shown(path)} is larger than {_size(MAX_LINES_BYTES)}: give fewer rows.")
        number = 0
        # Only a line feed ends a line here: other line ends of Unicode may stand inside of a JSON string.
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            where = f"{shown(path)}, line {number}"
            if len(line) > MAX_LINE_BYTES:
                raise UserError(
                    f"{where}: longer than {_size(MAX_LINE_BYTES)}. Write one object a line, and split a long text "
                    "into several rows."
                )
            content = line.removeprefix(_BOM) if number == 1 else line
            if not content.strip():
                continue
            try:
                row = parse_json(_decode(content, where).rstrip("\r\n"), where)
            except UserError:
                if allow_cut_tail and not line.endswith(b"\n") and not _is_whole(content):
                    return
                raise
            if not isinstance(row, dict):
                raise UserError(f"{where}: expected a JSON object {{...}}, found {_kind(row)}.")
            yield where, number, row


def parse_json(text: str, where: str, *, is_foreign: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        where: begins the messages.
        is_foreign: see `read_json`.

    Raises:
        UserError: not valid JSON; nested deeper than `MAX_DEPTH`; a number that is not finite or longer than 64 bits;
            a string with half a character (a lone surrogate); one key twice.
    """
    with _refusals(where, "JSON"):
        value = json.loads(
            text,
            # Other programs write their infinity as 10**30.
            parse_int=partial(_whole, most=MAX_NUMBER_LENGTH) if is_foreign else _whole,
            parse_float=_decimal,
            parse_constant=float if is_foreign else _no_number,
            object_pairs_hook=None if is_foreign else _object,
        )
        _check_values(value, _check_string if _ESCAPE.search(text) else None)
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        UserError: as `read_text`, not valid YAML, no keys, nested deeper than `MAX_DEPTH`, or a number that is not
            finite or longer than 64 bits.
    """
    text = read_text(path, MAX_YAML_BYTES)
    with _refusals(shown(path), "YAML"):
        value = yaml.safe_load(text)
        _check_values(value, _check_yaml_value, MAX_YAML_VALUES)
    if not isinstance(value, dict):
        raise UserError(f"{shown(path)} holds no keys.")
    return value


def shown(path: Path) -> str:
    """A path that can be printed on one line, whatever bytes it is made of."""
    return visible(str(path))


class _RefusedError(ValueError):
    """What JSON or YAML allow and this program does not."""


@contextmanager
def _refusals(where: str, form: str) -> Iterator[None]:
    """Turn whatever a parser raises into one line, and what this program itself refuses."""
    try:
        yield
    except _RefusedError as error:
        raise UserError(f"{where}: {error}.") from error
    except RecursionError as error:
        raise UserError(f"{where}: nested more than {MAX_DEPTH} deep.") from error
    # Beside its own errors YAML lets pass what Python has against a date that is none, or a number too long.
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{where}: not valid {form} ({_place(error)}).") from error


def _is_whole(line: bytes) -> bool:
    """Whether a line begins with a whole JSON value: then it was not cut, but something wrong stands behind it."""
    try:
        json.JSONDecoder().raw_decode(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def _decode(data: bytes, where: str) -> str:
    try:
        return data.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        place = f" (line {line})" if b"\n" in data.rstrip(b"\n") else ""
        raise UserError(f"{where}: not UTF-8 text{place}. Save the file as UTF-8.") from error


def _whole(digits: str, most: int = MAX_DIGITS) -> int:
    count = len(digits.lstrip("-"))
    if count > most:
        raise _RefusedError(f"a number of {count:,} digits; at most {most} are read")
    return int(digits)


def _decimal(text: str) -> float:
    if len(text) > MAX_NUMBER_LENGTH:
        raise _RefusedError(f"a number of {len(text):,} characters; at most {MAX_NUMBER_LENGTH} are read")
    value = float(text)
    if not math.isfinite(value):
        raise _RefusedError(f"the number {text} is too large")
    return value


def _no_number(word: str) -> float:
    raise _RefusedError(f"{word} is no number in JSON; write null for a gap")


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; the second of two equal keys would silently replace the first."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _RefusedError(f"the key {_cut(key)} is there twice")
        found[key] = value
    return found


def _check_values(value: Any, each: Callable[[Any], None] | None, most: float = math.inf) -> None:
    """Refuse more than `most` values, lists and objects too deep inside of one another, and what `each` refuses."""
    layer, count = [value], 0
    if each is not None:
        each(value)
    for _ in range(MAX_DEPTH):
        inner = []
        for node in layer:
            for child in _children(node):
                count += 1
                if count > most:  # before all of them are listed
                    raise _RefusedError(f"more than {most:,} values")
                if each is not None:
                    each(child)
                if isinstance(child, (dict, list)):
                    inner.append(child)
        if not inner:
            return
        layer = inner
    raise _RefusedError(f"nested more than {MAX_DEPTH} deep")


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return (*node.values(), *node)
    return node if isinstance(node, list) else ()


def _check_string(value: Any) -> None:
    if isinstance(value, str) and _SURROGATE.search(value):
        raise _RefusedError(f"half a character (a lone surrogate, \\ud800 to \\udfff) in {_cut(value)}")


def _check_yaml_value(value: Any) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise _RefusedError(f"{value} is no finite number")
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        raise _RefusedError(f"a number of more than {MAX_DIGITS} digits")
    _check_string(value)


def _place(error: Exception) -> str:
    """What a parser says, and where."""
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"{error.msg.removesuffix(' at')} at {line}character {error.colno}"
    mark = getattr(error, "problem_mark", None)
    place = f" at line {mark.line + 1}, character {mark.column + 1}" if mark is not None else ""
    said = getattr(error, "problem", None) or str(error)
    return f"{' '.join(said.split())[:200]}{place}"


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"There is no file {shown(path)}.")
    return UserError(f"Cannot read {shown(path)}: {system_words(error)[0]}.")


def _cut(text: str) -> str:
    shown_text = ascii(text) if _SURROGATE.search(text) or not text.isprintable() else repr(text)
    return shown_text if len(shown_text) <= 60 else f"{shown_text[:57]}..."


def _size(count: int) -> str:
    for unit, size in (("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)):
        if count >= size and count % size == 0:
            return f"{count // size} {unit}"
    return f"{count:,} bytes"


def _kind(value: object) -> str:
    names = {list: "a list", dict: "an object", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
