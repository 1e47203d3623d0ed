"""Small target folders in RWKU's format."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .sample_rows import Rows, target_rows

MakeTarget = Callable[..., Path]


@pytest.fixture
def make_target(tmp_path: Path) -> MakeTarget:
    """Writes `rwku/Target/<folder>/` (or another root) and returns the data folder."""

    def make(folder: str, *, root: str = "rwku/Target", name: str | None = None, **changed: Rows | None) -> Path:
        name = name or folder.split("_", 1)[1].replace("_", " ")
        path = tmp_path / root / folder
        path.mkdir(parents=True)
        for file, rows in {**target_rows(name), **changed}.items():
            if rows is not None:
                (path / f"{file}.json").write_text(json.dumps(rows, indent=4), encoding="utf-8")
        return tmp_path / root.split("/")[0]

    return make


@pytest.fixture
def two_targets(make_target: MakeTarget) -> Path:
    """A data folder with 1_Stephen_King and 2_Confucius."""
    make_target("1_Stephen_King")
    return make_target("2_Confucius")
