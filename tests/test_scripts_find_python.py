"""The scripts of a checkout find the Python that has the project's packages, or say in one line how to get there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SYSTEM = "/usr/bin:/bin"


def program(path: Path, text: str) -> Path:
    """An executable shell script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def bare_python(path: Path) -> Path:
    """A Python without any package, as a system's own may be."""
    return program(path, f'exec "{sys.executable}" -S "$@"')


def whole_python(path: Path) -> Path:
    """The Python of these tests, which has the project's packages."""
    return program(path, f'exec "{sys.executable}" "$@"')


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts and the sources, without a .venv."""
    root = tmp_path / "check out"
    (root / "data" / "rwku").mkdir(parents=True)
    for name in ("data/rwku/download_rwku_data.sh", "launch_training.py", "generate_results.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "src").symlink_to(ROOT / "src")
    return root


def run(command: list[str], cwd: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": path, "HOME": os.environ.get("HOME", "/"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def verify(checkout: Path, path: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The download script, asked to compare what was downloaded: nothing."""
    return run(["bash", "data/rwku/download_rwku_data.sh", "--verify"], checkout, path, **environment)


def assert_it_ran(result: subprocess.CompletedProcess[str], checkout: Path) -> None:
    where = checkout / "data" / "rwku"
    assert result.stderr.lower() == f"error: {where} has no manifest.json: nothing was downloaded into it.\n".lower()
    assert result.returncode == 2


def test_the_download_takes_the_checkout_s_venv(checkout: Path, tmp_path: Path) -> None:
    bare_python(tmp_path / "bin" / "python3")
    whole_python(checkout / ".venv" / "bin" / "python")
    assert_it_ran(verify(checkout, f"{tmp_path}/bin:{SYSTEM}"), checkout)


def test_the_download_takes_an_activated_environment(checkout: Path, tmp_path: Path) -> None:
    whole_python(tmp_path / "bin" / "python3")
    assert_it_ran(verify(checkout, f"{tmp_path}/bin:{SYSTEM}"), checkout)


def test_the_download_takes_the_python_that_it_is_told(checkout: Path, tmp_path: Path) -> None:
    bare_python(tmp_path / "bin" / "python3")
    python = whole_python(tmp_path / "elsewhere" / "python")
    assert_it_ran(verify(checkout, f"{tmp_path}/bin:{SYSTEM}", PYTHON=str(python)), checkout)


def test_the_download_takes_an_installed_atu(checkout: Path, tmp_path: Path) -> None:
    for name in ("python3", "python"):
        bare_python(tmp_path / "bin" / name)
    program(tmp_path / "bin" / "atu", f'PYTHONPATH="{ROOT}/src" exec "{sys.executable}" -m atu "$@"')
    assert_it_ran(verify(checkout, f"{tmp_path}/bin:{SYSTEM}"), checkout)


def test_the_download_without_any_of_them_is_one_line(checkout: Path, tmp_path: Path) -> None:
    for name in ("python3", "python"):
        bare_python(tmp_path / "bin" / name)
    result = verify(checkout, f"{tmp_path}/bin:{SYSTEM}")
    assert result.stderr == (
        f"error: no Python here has what this project needs: run `make setup` in {checkout}, or set PYTHON to one that "
        "has.\n"
    )
    assert result.returncode == 2


@pytest.mark.parametrize("script", ["launch_training.py", "generate_results.py"])
@pytest.mark.parametrize("sources", [True, False], ids=["with the sources", "without"])
def test_a_python_without_the_packages_is_told_in_one_line(
    script: str, sources: bool, checkout: Path, tmp_path: Path
) -> None:
    python = bare_python(tmp_path / "bin" / "python")
    environment = {"PYTHONPATH": str(ROOT / "src")} if sources else {}
    result = run([str(python), script, "--help"], checkout, SYSTEM, **environment)
    assert result.stderr.startswith(f"error: {sys.executable} lacks '")
    assert result.stderr.endswith(
        "which this project needs: run `make setup` once, then `. .venv/bin/activate` in each new shell.\n"
    )
    assert result.stderr.count("\n") == 1
    assert result.returncode == 2
