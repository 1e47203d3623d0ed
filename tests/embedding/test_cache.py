"""Arrays are computed once for what they are computed from, and need not fit into the memory."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from atu.embedding import cache as module
from atu.embedding.cache import Put, Wanted, built_arrays, cached_arrays
from atu.errors import UserError
from atu.storage.files import content_key

A, B = torch.arange(6.0).reshape(2, 3).T, torch.ones(2, 1)
"""The first is not contiguous."""


class Counted:
    """Builds the same arrays each time, row by row, and keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, missing: list[str], put: Put) -> None:
        self.asked.append(missing)
        for name in missing:
            array = {"a": A, "b": B}[name]
            for row in range(len(array)):
                put(name, array[row : row + 1])


def wanted(key: str = "key") -> dict[str, Wanted]:
    return {"a": Wanted(f"{key}-a", (3, 2)), "b": Wanted(f"{key}-b", (2, 1))}


def test_they_are_found_again_bit_for_bit(cache: Path) -> None:
    build = Counted()
    first, second = cached_arrays("room", wanted(), build), cached_arrays("room", wanted(), build)
    assert build.asked == [["a", "b"]]
    for name, expected in (("a", A), ("b", B)):
        assert torch.equal(first[name], expected)
        assert torch.equal(second[name], expected)
    files = sorted(path for path in cache.rglob("*") if path.is_file())
    # A name ends in the digest of what the file holds.
    digests = [hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files]
    names = [path.relative_to(cache).as_posix() for path in files]
    assert names == [f"room/key-{name}.{digest}.safetensors" for name, digest in zip("ab", digests, strict=True)]


def test_another_key_or_room_is_another_array() -> None:
    build = Counted()
    for room, key in (("room", "key"), ("room", "other"), ("elsewhere", "key")):
        cached_arrays(room, wanted(key), build)
    assert len(build.asked) == 3


def test_only_what_is_missing_is_built(cache: Path) -> None:
    build = Counted()
    cached_arrays("room", {"b": wanted()["b"]}, build)
    found = cached_arrays("room", wanted(), build)
    assert build.asked == [["b"], ["a"]]
    assert torch.equal(found["a"], A)
    assert torch.equal(found["b"], B)


def test_a_damaged_file_is_built_anew_with_one_line(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build = Counted()
    cached_arrays("room", wanted(), build)
    path, other = sorted((cache / "room").iterdir())
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-1] ^= 1  # the array is still one of this shape
    for damaged in (whole[:-1], b"", b"\xff" * 100, other.read_bytes(), bytes(flipped)):
        path.write_bytes(damaged)
        assert torch.equal(cached_arrays("room", wanted(), build)["a"], A)
        assert path.read_bytes() == whole
        assert capsys.readouterr().err == f"warning: {path} in the cache is damaged; it is made again.\n"


def test_a_build_that_fails_leaves_nothing(cache: Path) -> None:
    def fails(missing: list[str], put: Put) -> None:
        put("a", A[:1])
        raise UserError("no more")

    with pytest.raises(UserError, match="no more"):
        cached_arrays("room", wanted(), fails)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(UserError, match=r"^Cannot write the cache file .*set ATU_CACHE to another folder\.$"):
        cached_arrays("room", wanted(), Counted())


@pytest.mark.parametrize("limit", [1 << 30, 0])
def test_arrays_that_are_not_kept_are_the_same_in_memory_and_in_a_file(
    cache: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(module, "IN_MEMORY_BYTES", limit)
    found = built_arrays({"a": (3, 2), "b": (2, 1)}, Counted())
    assert torch.equal(found["a"], A)
    assert torch.equal(found["b"], B)
    assert not [path for path in cache.rglob("*") if path.is_file()]  # nothing that could be left over
    found["a"][0] = 5.0  # a copy of the page, as of any tensor
    assert found["a"][0].tolist() == [5.0, 5.0]


LARGE = """
import resource, torch
from atu.embedding import cache
rows, width = 1024, 16384                                     # 64 MiB
def build(missing, put):
    for name in missing:
        for start in range(0, rows, 64):
            put(name, torch.full((64, width), float(start)))
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # MiB
cache.IN_MEMORY_BYTES = 0
build_once = {"x": torch.zeros(1)}
before = peak()
shape = (rows, width)
kept = {"cached": lambda: cache.cached_arrays("room", {"x": cache.Wanted("k", shape)}, build),
        "unnamed": lambda: cache.built_arrays({"x": shape}, build)}[HOW]()["x"]
assert kept[::64, 0].tolist() == [float(start) for start in range(0, rows, 64)]
print(peak() - before)
"""


@pytest.mark.parametrize("how", ["cached", "unnamed"])
def test_a_large_array_is_never_in_memory_as_a_whole(cache: Path, how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"HOW = {how!r}\n{LARGE}"], capture_output=True, text=True, check=True, timeout=120
    )
    assert float(done.stdout) < 40.0  # of 64 MiB: pieces of 4 MiB, and the pages that were looked at


def test_a_key_is_the_content_and_not_its_order() -> None:
    assert content_key({"a": 1, "b": [2, 3]}) == content_key({"b": [2, 3], "a": 1})
    keys = [content_key(parts) for parts in ({"a": 1}, {"a": 2}, {"a": "1"}, {"a": [1]}, {"b": 1}, {"a": "ä"})]
    assert len(set(keys)) == 6
    assert all(len(key) == 64 for key in keys)
