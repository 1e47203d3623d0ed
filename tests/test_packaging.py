"""What `pip install` gives: a wheel that carries its config and data and works from any folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]


def run_python(*arguments: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    result = run_python("-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=ROOT)
    assert result.returncode == 0, result.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site packages")
    arguments = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(folder), str(wheel)]
    result = run_python("-m", "pip", *arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_the_wheel_carries_every_file_of_the_source_and_of_the_config(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    config = {
        f"atu/_config/{path.relative_to(ROOT / 'config').as_posix()}"
        for path in (ROOT / "config").rglob("*")
        if path.is_file()
    }
    metadata = {name for name in packed if ".dist-info/" in name}
    assert packed - metadata == source | config
    assert any(name.endswith("licenses/LICENSE") for name in metadata)


def test_the_installed_command_answers_from_any_folder(installed: Path, tmp_path: Path) -> None:
    result = run_python("-m", "atu", "--help", cwd=tmp_path, path=installed)
    assert result.returncode == 0, result.stderr
    assert "evaluate" in result.stdout


def test_the_installed_package_composes_its_own_config(installed: Path, tmp_path: Path) -> None:
    result = run_python("-m", "atu", "train", "--cfg", "job", cwd=tmp_path, path=installed)
    assert result.returncode == 0, result.stderr
    assert "unlearning_target: William_Shakespeare" in result.stdout
    code = "from atu.storage.config_dir import config_dir; print(config_dir())"
    assert run_python("-c", code, cwd=tmp_path, path=installed).stdout.strip() == str(installed / "atu" / "_config")


def test_the_installed_config_passes_its_checks(installed: Path, tmp_path: Path) -> None:
    # A wrong value is found by our checks, which come after composition and before torch.
    result = run_python("-m", "atu", "train", "seed=-1", cwd=tmp_path, path=installed)
    assert result.stderr == "error: seed must lie in 0..4294967295, not -1.\n"


def test_the_installed_package_brings_its_sweeper(installed: Path, tmp_path: Path) -> None:
    result = run_python("-m", "atu", "train", "-m", "seed=-1", "name=a", cwd=tmp_path, path=installed)
    assert result.stderr == "failed: a: seed must lie in 0..4294967295, not -1. (runs/a)\n"
    assert result.returncode == 1


def locked() -> dict[str, list[str]]:
    """Each requirement of the lock, with the hashes of its files."""
    found: dict[str, list[str]] = {}
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if not line.startswith("#"):
            requirement, *hashes = line.split(" --hash=")
            found[requirement.strip()] = [one.strip() for one in hashes]
    return found


def test_the_lock_names_no_index_and_no_cuda_package() -> None:
    requirements = locked()
    assert all("==" in line and "://" not in line and not line.startswith("-") for line in requirements)
    assert not [line for line in requirements if line.startswith(("nvidia", "cuda", "triton"))]


def test_everything_in_the_lock_but_torch_has_the_hashes_of_its_files() -> None:
    requirements = locked()
    (torch,) = [requirement for requirement in requirements if requirement.startswith("torch==")]
    assert requirements.pop(torch) == []  # which of its builds fits is a question of the machine
    assert len(requirements) > 100
    for requirement, hashes in requirements.items():
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), requirement


def test_the_lock_serves_every_python_that_the_project_runs_on() -> None:
    # Where a release runs on some of them only, the lock names another for the rest, told apart by a marker.
    for version in ("3.11", "3.12", "3.13"):
        environment = {"python_version": version, "python_full_version": f"{version}.0", "sys_platform": "linux"}
        chosen = [one.name for one in map(Requirement, locked()) if not one.marker or one.marker.evaluate(environment)]
        assert sorted(set(chosen)) == sorted(chosen)
        assert {"torch", "transformers", "numpy", "scipy", "contourpy"} <= set(chosen)


def test_the_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {Requirement(line).name.lower() for lines in lists for line in lines}
    assert wanted - {project["name"]} <= {Requirement(line).name for line in locked()}


def test_the_development_extra_brings_all_others() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    itself = next(one for one in map(Requirement, extras["dev"]) if one.name == "align-then-unlearn")
    assert itself.extras == extras.keys() - {"dev"}


def test_what_docs_and_messages_tell_to_install_can_be_installed() -> None:
    """The project is on no registry: its extras are installed from its folder."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    told = set()
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("src/**/*.py"),
        *ROOT.glob("config/**/*.yaml"),
    ]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"pip install \S*align-then-unlearn", text), path
        told |= {extra for names in re.findall(r"pip install '\.\[([\w,]+)\]'", text) for extra in names.split(",")}
    assert told == {"eval", "wandb", "tensorboard", "quantize"}
    assert told <= set(extras)
