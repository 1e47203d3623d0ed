"""Atomic writing and JSON lines, with full disks and killed processes."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atu.errors import UserError
from atu.storage.files import append_jsonl, publish_folder, write_json_atomic, write_jsonl_atomic, write_text_atomic
from atu.storage.user_files import read_json, read_jsonl


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which may break its limits."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_writes_and_makes_parents(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text_atomic(path, "old")
    write_text_atomic(path, "neu ü")
    assert path.read_bytes() == "neu ü".encode()
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_json_reads_back_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json_atomic(path, {"a": [1, 2.5, None, "莎士比亚"]})
    assert read_json(path) == {"a": [1, 2.5, None, "莎士比亚"]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(path, {"a": math.nan})
    assert read_json(path) == {"a": [1, 2.5, None, "莎士比亚"]}


FULL = """
import resource, sys
from pathlib import Path
from atu.errors import UserError
from atu.storage.files import append_jsonl, write_text_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
path = Path(sys.argv[1])
try:
    if sys.argv[2] == "write":
        write_text_atomic(path, "x" * 2000)
    else:
        append_jsonl(path, [{"text": "x" * 300}] * 5)
except UserError as error:
    print(error)
"""


def test_size_limit_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    done = run_python(FULL, path, "write")
    assert done.stdout == f"Cannot write {path}: the file would pass the size limit of this process or disk "\
        "(see `ulimit -f`).\n"  # fmt: skip
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_append_that_does_not_fit_leaves_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    append_jsonl(path, [{"a": 1}])
    done = run_python(FULL, path, "append")
    assert "size limit" in done.stdout
    assert path.read_text() == '{"a": 1}\n'


FULL_DISK = """
import sys
from pathlib import Path
from atu.errors import UserError
from atu.storage.files import append_jsonl, write_text_atomic
folder = Path(sys.argv[1])
write_text_atomic(folder / "a.txt", "old")
append_jsonl(folder / "b.jsonl", [{"a": 1}])
for write in (
    lambda: write_text_atomic(folder / "a.txt", "x" * 200_000),
    lambda: append_jsonl(folder / "b.jsonl", [{"a": "x" * 200_000}]),
):
    try:
        write()
    except UserError as error:
        print(error)
names = sorted(path.name for path in folder.iterdir())
print(names, (folder / "a.txt").read_text(), (folder / "b.jsonl").read_text())
"""


def test_full_disk(tmp_path: Path) -> None:
    """A real file system of 64 KiB, mounted in a namespace of its own."""
    mount = f"mount -t tmpfs -o size=64k tmpfs {tmp_path}"
    is_allowed = (
        shutil.which("unshare")
        and not subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode
    )
    if not is_allowed:
        pytest.skip("needs to mount a small file system (unshare -rm), which this machine does not allow")
    done = subprocess.run(
        [
            "unshare",
            "-rm",
            "sh",
            "-c",
            f'{mount} && exec "$0" -c "$1" "$2"',
            sys.executable,
            FULL_DISK,
            tmp_path,
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    what_to_do = "the disk is full; free some space and run the same command again."
    assert done.stdout.splitlines() == [
        f"Cannot write {tmp_path}/a.txt: {what_to_do}",
        f"Cannot write {tmp_path}/b.jsonl: {what_to_do}",
        "['a.txt', 'b.jsonl'] old {\"a\": 1}",
        "",
    ]


WRITER = """
import sys
from pathlib import Path
from atu.storage.files import write_text_atomic
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for letter in "ab":
        write_text_atomic(path, letter * 3_000_000)
"""


def test_killed_writer_leaves_whole_content(tmp_path: Path) -> None:
    path, moments = tmp_path / "a.txt", random.Random(0)
    path.write_text("a" * 3_000_000)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(moments.uniform(0.0, 0.15))
            writer.send_signal(signal.SIGKILL)
        text = path.read_text()
        assert text in ("a" * 3_000_000, "b" * 3_000_000)


def test_read_only_place_is_one_clear_line() -> None:
    if not Path("/sys").is_dir():
        pytest.skip("needs a file system that nobody can write to (/sys)")
    with pytest.raises(UserError, match=r"^Cannot write /sys/atu/a\.txt: .*choose a folder"):
        write_text_atomic(Path("/sys/atu/a.txt"), "x")


def test_a_file_in_the_path_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file, not a folder"):
        write_text_atomic(tmp_path / "file" / "a.txt", "x")


def test_jsonl_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_jsonl_atomic(path, [{"text": "line\u2028separator and\nline end"}])
    append_jsonl(path, [{"b": 1}, {"c": 2}])
    append_jsonl(path, [])
    assert read_jsonl(path) == [{"text": "line\u2028separator and\nline end"}, {"b": 1}, {"c": 2}]


def test_jsonl_skips_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"b": 2}')
    assert read_jsonl(path) == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"a": 1', r"line 2: not valid JSON \(Expecting ',' delimiter at character 8\)"),
        ("[1]", r"line 2: expected a JSON object \{...\}, found a list"),
        ("7", "line 2: expected a JSON object {...}, found a number"),
    ],
)
def test_broken_line_is_named(tmp_path: Path, line: str, fault: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n{{"b": 2}}\n')
    with pytest.raises(UserError, match=fault):
        read_jsonl(path, allow_cut_tail=True)


def test_text_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": "\xff"}\n')
    with pytest.raises(UserError, match="line 1: not UTF-8 text"):
        read_jsonl(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no file .*a\.jsonl"):
        read_jsonl(tmp_path / "a.jsonl")


def test_cut_tail_only_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    # Cut in the middle of a two-byte letter, as a killed process may leave it.
    path.write_bytes(b'{"a": 1}\n{"b": "\xc3')
    assert read_jsonl(path, allow_cut_tail=True) == [{"a": 1}]
    with pytest.raises(UserError, match="line 2"):
        read_jsonl(path)


@pytest.mark.parametrize("tail", [b'{"b": "', b"x" * 200_000])
def test_append_after_a_cut_tail_drops_it(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + tail)
    append_jsonl(path, [{"c": 3}])
    assert path.read_bytes() == b'{"a": 1}\n{"c": 3}\n'


def test_append_of_nan_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_jsonl(path, [{"a": 1}, {"a": math.inf}])
    assert not path.exists()


def test_published_folder_is_renamed_whole(tmp_path: Path) -> None:
    partial = tmp_path / "model.partial"
    (partial / "sub").mkdir(parents=True)
    (partial / "sub" / "a").write_text(json.dumps(1))
    publish_folder(partial, tmp_path / "model")
    assert (tmp_path / "model" / "sub" / "a").read_text() == "1"
    assert not partial.exists()


def test_published_folder_never_covers_another(tmp_path: Path) -> None:
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    with pytest.raises(UserError, match="Cannot write"):
        publish_folder(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old" / "a").read_text() == "old"


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text_atomic(tmp_path / "a", "x")
    finally:
        os.umask(old)
    # 0666 less the umask: a group on a shared cluster can read the run.
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
