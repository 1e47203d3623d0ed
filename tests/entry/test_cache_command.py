"""`atu cache` from the command line."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from atu.cli import app
from atu.storage.cache import new_file
from atu.storage.locks import hold, let_go


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files of 2 kB each in one room, of which one was used 40 days ago, and a larger one in another."""
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("ATU_CACHE_LIMIT", raising=False)
    for room, key, num_bytes, days in (
        ("answers", "a", 2000, 40),
        ("answers", "b", 2000, 0),
        ("windows", "c", 10**6, 0),
    ):
        with new_file(room, key, ".x") as new:
            new.partial.write_bytes(b"x" * num_bytes)
        assert new.path is not None
        let_go(new.path)
        os.utime(new.path, (time.time() - days * 86400,) * 2)
    return tmp_path / "cache"


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["cache", *arguments])


def test_it_shows_where_the_cache_is_and_what_takes_how_much(cache: Path) -> None:
    shown = call().stdout.splitlines()
    assert shown[0] == f"{cache}: 1 MB of at most 50 GB (ATU_CACHE_LIMIT)"
    assert [line.split()[:4] for line in shown[1:]] == [["windows", "1", "1", "MB"], ["answers", "2", "4", "kB"]]


def test_a_folder_with_a_hostile_name_is_shown_on_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "a\nb\x1b[31m"))
    assert call().stdout == f"{tmp_path}/a b\ufffd[31m: 0 bytes of at most 50 GB (ATU_CACHE_LIMIT)\n"
    assert call("clear").stdout == f"0 deleted, 0 bytes: {tmp_path}/a b\ufffd[31m\n"


def test_a_room_is_cleared_and_what_is_old(cache: Path) -> None:
    assert call("clear", "answers", "--older-than", "30").stdout == f"1 deleted, 2 kB: {cache}\n"
    assert [path.name[0] for path in (cache / "answers").iterdir()] == ["b"]
    assert call("clear", "answers").stdout == f"1 deleted, 2 kB: {cache}\n"
    assert call("clear").stdout == f"1 deleted, 1 MB: {cache}\n"
    assert call().stdout == f"{cache}: 0 bytes of at most 50 GB (ATU_CACHE_LIMIT)\n"


def test_what_is_in_use_stays(cache: Path) -> None:
    path = next((cache / "windows").iterdir())
    hold(path)
    try:
        assert call("clear").stdout == f"2 deleted, 4 kB; 1 in use, or not to be deleted by you, stay: {cache}\n"
    finally:
        let_go(path)
    assert path.exists()


def test_mistakes_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = call("clear", "window")
    assert (wrong.exit_code, wrong.stderr) == (2, "error: The cache has no 'window'. Did you mean 'windows'?\n")
    monkeypatch.setenv("ATU_CACHE_LIMIT", "much")
    wrong = call()
    assert wrong.exit_code == 2
    assert wrong.stderr == ("error: ATU_CACHE_LIMIT='much' is no size: write one such as 50GB or 500MB, or none.\n")
