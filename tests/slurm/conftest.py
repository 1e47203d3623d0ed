"""A SLURM of one node for the tests of this folder, which `make test-slurm` runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """SLURM, whose commands then work in this process and its children."""
    if os.environ.get("ATU_TEST_SLURM") != "1":
        pytest.skip("`make test-slurm` runs it")
    folder = str(tmp_path_factory.mktemp("slurm"))
    up = subprocess.run([HERE / "up", folder], capture_output=True, text=True, timeout=300, check=False)
    if up.returncode == 3:
        pytest.skip(up.stderr.strip())
    assert up.returncode == 0, up.stderr
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = up.stdout.strip()
    yield
    subprocess.run([HERE / "down", folder], timeout=120, check=True)
    del os.environ["SLURM_CONF"]
    if before is not None:
        os.environ["SLURM_CONF"] = before
