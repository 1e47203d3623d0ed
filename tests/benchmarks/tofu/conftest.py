"""A folder of small TOFU files, and the reference implementation's outputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from .sample_files import write_tofu


@pytest.fixture
def tofu_dir(tmp_path: Path) -> Path:
    """TOFU's files in small."""
    return write_tofu(tmp_path / "tofu")


@pytest.fixture(scope="session")
def tofu_golden(shared_dir: Path) -> Path:
    """The folder of the reference implementation's outputs on this project's model."""
    folder = shared_dir / "golden" / "tofu"
    if not folder.is_dir():
        pytest.skip(f"no outputs of the reference implementation at {folder}")
    return folder
