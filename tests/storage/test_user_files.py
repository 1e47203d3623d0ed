"""Whatever lies where a file should be: its content, or one line that names file and fault."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from atu.errors import UserError
from atu.storage.user_files import (
    MAX_JSON_BYTES,
    MAX_LINE_BYTES,
    MAX_LINES_BYTES,
    json_rows,
    read_bytes,
    read_json,
    read_json_object,
    read_jsonl,
    read_text,
    read_yaml,
    shown,
)

DEEP = "[" * 100_000 + "]" * 100_000


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "file"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "not valid JSON (Expecting value at character 1)"),
        ('{"a":\n 1,}', "not valid JSON ("),
        (DEEP, "nested more than 64 deep"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested more than 64 deep"),
        ("9" * 20, "a number of 20 digits; at most 19 are read"),
        ("-" + "9" * 5000, "a number of 5,000 digits; at most 19 are read"),
        ("0." + "3" * 5000, "a number of 5,002 characters; at most 400 are read"),
        ("1e999", "the number 1e999 is too large"),
        ("NaN", "NaN is no number in JSON; write null for a gap"),
        ('{"a": -Infinity}', "-Infinity is no number in JSON; write null for a gap"),
        (r'["\ud800"]', r"half a character (a lone surrogate, \ud800 to \udfff) in '\ud800'"),
        (r'{"\uDFFF": 1}', r"half a character (a lone surrogate, \ud800 to \udfff) in '\udfff'"),
        ('{"a": 1, "a": 2}', "the key 'a' is there twice"),
        (b'{"a": "\xff"}', "not UTF-8 text. Save the file as UTF-8"),
        (b'{"a":\n "\xff"}', "not UTF-8 text (line 2). Save the file as UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8 text. Save the file as UTF-8"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_json_that_is_refused(tmp_path: Path, content: bytes | str, fault: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UserError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: {fault}")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError) as caught:
        read_jsonl(written(tmp_path, b'{"b": 1}\n' + path.read_bytes().replace(b"\n", b" ") + b" x"))
    assert str(caught.value).startswith(f"{path}, line 2: ")


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b'\xef\xbb\xbf{"a": 1.5}', {"a": 1.5}),
        (r'"\ud83d\ude00 \ud7ff"', "😀 \ud7ff"),
        (r'"a backslash: \\ud800"', r"a backslash: \ud800"),
        ("[" * 64 + "]" * 64, json.loads("[" * 64 + "]" * 64)),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_json_that_is_read(tmp_path: Path, content: bytes | str, value: object) -> None:
    assert read_json(written(tmp_path, content)) == value


def test_files_of_other_programs_may_say_infinity_and_a_key_twice(tmp_path: Path) -> None:
    path = written(tmp_path, f'{{"limit": Infinity, "a": 1, "a": 2, "longest": {10**30}}}')
    assert read_json_object(path, is_foreign=True) == {"limit": float("inf"), "a": 2, "longest": 10**30}


@pytest.mark.parametrize("value", ["[]", "3", '"a"', "null", "true"])
def test_what_is_no_object_where_one_belongs(tmp_path: Path, value: str) -> None:
    path = written(tmp_path, value)
    with pytest.raises(UserError, match=r"expected a JSON object \{\.\.\.\}, found "):
        read_json_object(path)
    with pytest.raises(UserError, match=r"line 1: expected a JSON object \{\.\.\.\}, found "):
        read_jsonl(path)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("a: [", "not valid YAML ("),
        ("a: !!python/name:os.system", "not valid YAML ("),
        ("a: 2024-99-99", "not valid YAML ("),
        ("a: .inf", "inf is no finite number"),
        ("a: [.nan]", "nan is no finite number"),
        ("a: " + "[" * 2000, "nested more than 64 deep"),
        ("a: " + "[" * 70 + "]" * 70, "nested more than 64 deep"),
        ("a: " + "9" * 20, "a number of more than 19 digits"),
        ("a: " + "9" * 5000, "not valid YAML ("),
        ('a: "\\ud800"', "half a character"),
        ("- a", "holds no keys"),
        ("", "holds no keys"),
        (
            "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)),
            "more than 100,000 values",
        ),
        (b"a: \xff", "not UTF-8 text"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_yaml_that_is_refused(tmp_path: Path, content: bytes | str, fault: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(str(path))
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_pipe_a_device_and_a_folder_are_refused_unread(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")):
        for read in (read_bytes, read_text, read_json, read_jsonl, read_yaml):
            with pytest.raises(UserError) as caught:
                read(path)
            assert str(caught.value) == f"{path} is {kind}, not a file. Give a file."


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("none", "There is no file {root}/none."),
        ("x" * 300, "Cannot read {root}/" + "x" * 300 + ": the name is too long."),
        ("circle", "Cannot read {root}/circle: its links go round in a circle."),
        ("file/under", "Cannot read {root}/file/under: a part of this path is a file, not a folder."),
        ("nul\0", "Cannot read {root}/nul\\x00: embedded null byte."),
        ("new\nline", "There is no file {root}/new\\nline."),
        (os.fsdecode(b"\xff"), "There is no file {root}/\\udcff."),
    ],
)
def test_a_path_that_leads_nowhere(tmp_path: Path, name: str, fault: str) -> None:
    written(tmp_path, "")
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(UserError) as caught:
        read_text(tmp_path / name)
    assert str(caught.value) == fault.format(root=tmp_path)


def test_a_line_or_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, b'{"a": 1}\n' + b"x" * (MAX_LINE_BYTES + 1))
    rows = json_rows(path)
    assert next(rows)[2] == {"a": 1}
    with pytest.raises(UserError, match=r"line 2: longer than 1,000,000 bytes\. Write one object a line"):
        next(rows)
    for size in (MAX_JSON_BYTES + 1, MAX_LINES_BYTES + 1):
        with path.open("r+b") as file:
            file.truncate(size)  # all holes
    with pytest.raises(UserError, match="is larger than 1 GB: give fewer rows"):
        read_jsonl(path)
    with pytest.raises(UserError, match="is larger than 256 kB, the most that is read"):
        read_yaml(path)


def test_a_path_is_shown_on_one_line_that_can_be_encoded() -> None:
    text = shown(Path(os.fsdecode(b"a\xff\n\x1b[31m") + "é"))
    assert text == "a\\udcff\\n\\x1b[31mé"
    assert text.encode("utf-8")
