"""The cache of these tests is their own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the cache."""
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
