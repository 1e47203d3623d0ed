"""Arrays are computed once for what they are computed from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from atu.embedding.cache import cached_arrays
from atu.errors import UserError
from atu.results.files import content_key


class Counted:
    """Builds the same arrays each time, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> dict[str, Tensor]:
        self.count += 1
        return {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(2, dtype=torch.bfloat16)}


def test_they_are_found_again_bit_for_bit(cache: Path) -> None:
    build = Counted()
    first, second = cached_arrays("room", "key", build), cached_arrays("room", "key", build)
    assert build.count == 1
    for name in first:
        assert torch.equal(first[name], second[name])
        assert first[name].dtype == second[name].dtype
    assert [path.relative_to(cache).as_posix() for path in cache.rglob("*.*")] == ["room/key.safetensors"]


def test_another_key_or_room_is_another_array() -> None:
    build = Counted()
    for room, key in (("room", "key"), ("room", "other"), ("elsewhere", "key")):
        cached_arrays(room, key, build)
    assert build.count == 3


def test_a_damaged_file_is_built_anew(cache: Path) -> None:
    build = Counted()
    cached_arrays("room", "key", build)
    path = cache / "room" / "key.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[:-1], b"", b"\xff" * 100):
        path.write_bytes(damaged)
        assert torch.equal(cached_arrays("room", "key", build)["a"], build()["a"])
        assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written(cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(UserError, match=r"^Cannot write the cache file .*set ATU_CACHE to another folder\.$"):
        cached_arrays("room", "key", Counted())


def test_a_key_is_the_content_and_not_its_order() -> None:
    assert content_key({"a": 1, "b": [2, 3]}) == content_key({"b": [2, 3], "a": 1})
    keys = [content_key(parts) for parts in ({"a": 1}, {"a": 2}, {"a": "1"}, {"a": [1]}, {"b": 1}, {"a": "ä"})]
    assert len(set(keys)) == 6
    assert all(len(key) == 64 for key in keys)
