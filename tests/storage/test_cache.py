"""What the cache gives back is what was put there; it stays within its limit and never loses what is in use."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock

from atu.errors import UserError
from atu.models.packaged import build_once
from atu.storage.cache import cache_limit, delete, entries, find_file, make_room, new_file
from atu.storage.locks import hold, let_go

DAY = 86400.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the cache."""
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ATU_CACHE_LIMIT", raising=False)
    return tmp_path / "cache"


def put(key: str, num_bytes: int = 1000, *, room: str = "answers", days_ago: float = 0.0) -> Path:
    """A file of that size that nobody uses, last used so long ago."""
    with new_file(room, key, ".txt") as new:
        new.partial.write_bytes(b"x" * num_bytes)
    assert new.path is not None
    let_go(new.path)
    age(new.path, days_ago)
    return new.path


def age(path: Path, days: float) -> None:
    os.utime(path, (time.time() - days * DAY,) * 2)


def test_what_was_put_is_found_by_its_key() -> None:
    path = put("a")
    assert find_file("answers", "a", ".txt") == path
    assert find_file("answers", "b", ".txt") is None
    assert find_file("corpora", "a", ".txt") is None


def test_a_flipped_bit_is_one_line_and_the_file_is_gone(capsys: pytest.CaptureFixture[str]) -> None:
    path = put("a")
    path.write_bytes(b"y" + b"x" * 999)
    assert find_file("answers", "a", ".txt") is None
    assert capsys.readouterr().err == f"warning: {path} in the cache is damaged; it is made again.\n"
    assert not path.exists()


def test_a_block_that_fails_leaves_nothing(cache: Path) -> None:
    with pytest.raises(KeyError), new_file("answers", "a", ".txt") as new:
        new.partial.write_bytes({}["half"])
    assert not list((cache / "answers").iterdir())


def test_a_folder_is_built_again_where_a_bit_of_it_is_another(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    built = []

    def build(partial: Path) -> None:
        built.append(partial)
        (partial / "config.json").write_text("{}")
        (partial / "below").mkdir()
        (partial / "below" / "weights").write_bytes(b"01")

    folder = cache / "models" / "m"
    for file in ("config.json", "below/weights", "digests.json"):
        build_once(folder, build)
        count = len(built)
        build_once(folder, build)
        assert len(built) == count
        data = bytearray((folder / file).read_bytes())
        data[0] ^= 1
        (folder / file).write_bytes(data)
        capsys.readouterr()
        build_once(folder, build)
        assert len(built) == count + 1
        assert capsys.readouterr().err == (
            f"warning: {folder / file} in the cache is damaged; the folder is made again.\n"
        )
    (folder / "digests.json").unlink()  # as an older version left it
    build_once(folder, build)
    assert (folder / "digests.json").is_file()


def test_a_damaged_folder_that_cannot_be_built_again_stays(cache: Path) -> None:
    folder = cache / "models" / "m"
    build_once(folder, lambda partial: (partial / "weights").write_bytes(b"01") and None)
    (folder / "weights").write_bytes(b"02")

    def refuse(partial: Path) -> None:
        raise UserError("no network")

    with pytest.raises(UserError, match="no network"):
        build_once(folder, refuse)
    assert [path.name for path in (cache / "models").iterdir() if path.is_dir()] == ["m"]
    assert (folder / "weights").read_bytes() == b"02"


def test_the_longest_unused_go_when_a_new_one_passes_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    old, older, oldest = (put(key, days_ago=days) for key, days in (("a", 1), ("b", 2), ("c", 3)))
    assert find_file("answers", "c", ".txt") == oldest  # used now
    let_go(oldest)
    monkeypatch.setenv("ATU_CACHE_LIMIT", "0.0031MB")
    new = put("d", 1500)
    # 4,500 bytes; 3,100 may stay: two of 1,000 must go, those that were not used for longest.
    assert (old.exists(), older.exists(), oldest.exists(), new.exists()) == (False, False, True, True)


def test_the_new_one_stays_even_where_it_alone_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATU_CACHE_LIMIT", "1kB")
    first, second = put("a", 2000), put("b", 2000)
    assert (first.exists(), second.exists()) == (False, True)


USER = """
import sys, time
from pathlib import Path
from atu.models.packaged import build_once
from atu.storage.cache import cache_root, find_file
assert find_file("answers", "a", ".txt")
build_once(cache_root() / "models" / "m", lambda partial: None)
print("ready", flush=True)
time.sleep(60)
"""


def test_what_another_process_uses_is_never_deleted(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = put("a"), cache / "models" / "m"
    build_once(folder, lambda partial: (partial / "weights").write_bytes(b"0" * 1000) and None)
    let_go(folder / "digests.json")
    with subprocess.Popen([sys.executable, "-c", USER], stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        age(path, 9)
        age(folder, 9)
        monkeypatch.setenv("ATU_CACHE_LIMIT", "1kB")
        put("b", 5000)
        assert path.exists()
        assert (folder / "weights").exists()
        assert [delete(entry) for entry in entries() if entry.path in (path, folder)] == [False, False]
        user.kill()
    make_room(cache)
    assert not path.exists()
    assert not folder.exists()


def test_what_the_dead_left_unfinished_goes_and_nothing_outside_of_the_rooms(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cache / "answers").mkdir(parents=True)
    dead, alive, foreign = cache / "answers" / ".a.1.partial", cache / "answers" / ".b.1.partial", cache / "thesis.tex"
    for path, days in ((dead, 2.0), (alive, 0.0), (foreign, 900.0)):
        path.write_bytes(b"x" * 2000)
        age(path, days)
    monkeypatch.setenv("ATU_CACHE_LIMIT", "1kB")
    put("c", 10)
    assert (dead.exists(), alive.exists(), foreign.exists()) == (False, True, True)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", 50 * 10**9), ("500MB", 5 * 10**8), ("1.5 tb", 1_500_000_000_000), ("7B", 7), ("none", None)],
)
def test_a_limit_has_a_unit(text: str, limit: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATU_CACHE_LIMIT", text)
    assert cache_limit() == limit


@pytest.mark.parametrize("text", ["50", "much", "-1GB", "infGB", "1e9GB", "9" * 400 + "GB"])
def test_what_is_no_limit_is_named(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATU_CACHE_LIMIT", text)
    with pytest.raises(UserError, match=r"is no size: write one such as 50GB or 500MB, or none\."):
        find_file("answers", "a", ".txt")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
def test_a_lock_that_another_has_leaves_no_file_open(cache: Path) -> None:
    path = put("a")
    with FileLock(path):
        before = len(list(Path("/proc/self/fd").iterdir()))
        hold(path)
        assert len(list(Path("/proc/self/fd").iterdir())) == before
