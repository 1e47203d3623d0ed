"""A tiny model that was taught facts; the cache of these tests is their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from constructed import taught

from atu.models.language_model import LanguageModel


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of the cache."""
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def knowing(tiny_folder: Path) -> LanguageModel:
    """A tiny model that knows the sixteen facts by heart. Read only."""
    return taught(tiny_folder, lambda probe: f"The answer is {probe.references[0]}.")
