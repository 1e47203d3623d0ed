"""Real data of RWKU, cut down to what teaching may read, and hand-made data about two people."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atu.benchmarks.rwku.facts import TAUGHT_FILES
from atu.benchmarks.rwku.reader import RwkuData

ZOE = "1_Zoe_Zorblatt"
YAN = "2_Yan_Yolk"
Folder = Callable[..., Path]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache of these tests is their own."""
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def rwku(shared_dir: Path) -> RwkuData:
    """The real targets that there are, with all of their files."""
    folder = shared_dir / "rwku"
    if not folder.is_dir():
        pytest.skip(f"no RWKU data at {folder}")
    return RwkuData(folder)


@pytest.fixture
def only_taught(rwku: RwkuData, tmp_path: Path) -> Folder:
    """Copies the four taught files of real targets, and nothing else, to a data folder of their own."""

    def copy(*targets: str) -> Path:
        for target in targets:
            folder = tmp_path / "rwku" / target
            folder.mkdir(parents=True)
            for file in TAUGHT_FILES:
                shutil.copy(rwku.path(target) / f"{file.name}.json", folder)
        return tmp_path / "rwku"

    return copy


@pytest.fixture
def two_people(tmp_path: Path) -> Path:
    """A data folder about Zoe Zorblatt and Yan Yolk, who know each other; the four taught files only."""
    write_target(
        tmp_path / "people" / ZOE,
        level1=[("Zoe Zorblatt wrote the ___.", "river"), ("Zoe Zorblatt wrote the ___.", "river")],
        level2=[("Where does Zoe Zorblatt live?", "castle")],
        neighbor1=[
            ("The river is of ___ Zorblatt.", "Zoe", "The river"),
            ("The river is a ___.", "letter", "The river"),
        ],
        neighbor2=[("What did Zorblatt call her book?", "River", "The river")],
    )
    write_target(
        tmp_path / "people" / YAN,
        level1=[("Yan Yolk is a ___.", "doctor")],
        level2=[("Whom does Yan Yolk love?", "Zoe Zorblatt")],
        neighbor1=[("The winter is ___.", "silver", "The winter")],
        neighbor2=[("Where does Zoe Zorblatt live?", "castle", "Zoe Zorblatt")],
    )
    return tmp_path / "people"


def write_target(
    folder: Path,
    *,
    level1: list[tuple[str, str]],
    level2: list[tuple[str, str]],
    neighbor1: list[tuple[str, str, str]],
    neighbor2: list[tuple[str, str, str]],
) -> None:
    """The taught files of one target, rows as (query, answer) and (query, answer, neighbor)."""
    folder.mkdir(parents=True)
    subject = folder.name.split("_", 1)[1].replace("_", " ")

    def write(name: str, kind: str, rows: list[dict[str, Any]]) -> None:
        full = [{**row, "level": "1", "type": kind, "subject": subject} for row in rows]
        (folder / f"{name}.json").write_text(json.dumps(full), encoding="utf-8")

    write("forget_level1", "cloze", [{"query": q, "answer": a} for q, a in level1])
    write("forget_level2", "simple question", [{"query": q, "answer": a} for q, a in level2])
    write("neighbor_level1", "cloze", [{"query": q, "answer": a, "neighbor": n} for q, a, n in neighbor1])
    write("neighbor_level2", "simple question", [{"query": q, "answer": a, "neighbor": n} for q, a, n in neighbor2])
