"""`digests.json` names what is damaged, and itself where it is no record of files any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from atu.storage.digests import (
    DIGESTS_NAME,
    DamagedError,
    find_damage,
    read_digests,
    sealed,
    unsealed,
    write_digests,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("a")
    write_digests(tmp_path)
    return tmp_path


def test_a_folder_as_it_was_written_has_no_damage(folder: Path) -> None:
    assert find_damage(folder) == []
    (folder / "a.txt").write_text("b")
    assert find_damage(folder) == ["a.txt"]


@pytest.mark.parametrize("text", ["{}", '{"files": []}', '{"files": {"a.txt": "00"}}', '{"files": {"a.txt": {}}}', "["])
def test_a_record_without_files_is_damaged_itself(folder: Path, text: str) -> None:
    (folder / DIGESTS_NAME).write_text(text)
    assert find_damage(folder) == [DIGESTS_NAME]
    with pytest.raises(DamagedError, match=r"digests\.json is damaged"):
        read_digests(folder)


def test_a_flipped_bit_in_the_name_of_the_check_is_damage() -> None:
    row = sealed({"step": 3, "value": 0.5})
    assert unsealed(row) == {"step": 3, "value": 0.5}
    for place in range(len("check")):
        for bit in range(7):
            letters = bytearray(b"check")
            letters[place] ^= 1 << bit
            flipped = {"step": 3, "value": 0.5, letters.decode("ascii"): row["check"]}
            with pytest.raises(ValueError, match="the name of its check is damaged"):
                unsealed(flipped)
    # A row of an older version has none, whatever else is sixteen letters long.
    assert unsealed({"name": "0123456789abcdef"}) == {"name": "0123456789abcdef"}
