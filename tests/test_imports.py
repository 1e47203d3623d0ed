"""Every module imports with the core dependencies alone, and config imports without torch."""

from __future__ import annotations

import ast
import importlib.metadata
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

from atu import extras

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    module.name for module in pkgutil.walk_packages([str(ROOT / "src")]) if not module.name.endswith("__main__")
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def package_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~ \[]", line)[0].lower() for line in requirements}


CORE = package_names(PROJECT["dependencies"])
EXTRAS = {extra: package_names(lines) for extra, lines in PROJECT["optional-dependencies"].items() if extra != "dev"}
OPTIONAL = set().union(*EXTRAS.values())
PROVIDERS = {
    module: {name.lower().replace("_", "-") for name in names}
    for module, names in importlib.metadata.packages_distributions().items()
}
"""Module → the packages that have it."""


def imported_packages(path: Path) -> set[str]:
    """Top-level packages that a file imports anywhere, also inside functions."""
    packages: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            packages.add(node.module.partition(".")[0])
    return packages


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n{code}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_all_modules_import_without_the_development_and_optional_packages() -> None:
    # What the extras bring must not be needed to run: their packages cannot be imported here.
    dev = [
        *(module for module, packages in PROVIDERS.items() if packages and packages <= OPTIONAL),
        "pytest",
        "hypothesis",
        "beartype",
        "importlinter",
        "mypy",
        "ruff",
        "hatchling",
        "sentence_transformers",
    ]
    assert {"bitsandbytes", "nltk", "punkt", "rouge", "sklearn", "tensorboard", "wandb"} <= set(dev)
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in dev)
    imports = "".join(f"import {name}\n" for name in MODULES)
    result = run_python(blocked + imports)
    assert result.returncode == 0, result.stderr


def test_every_package_that_the_source_imports_is_a_declared_dependency() -> None:
    for path in [*(ROOT / "src").rglob("*.py"), *ROOT.glob("*.py")]:
        for package in imported_packages(path) - set(sys.stdlib_module_names) - {"atu", "__future__"}:
            assert PROVIDERS.get(package, set()) & (CORE | OPTIONAL), f"{path}: {package} is no dependency in pyproject"


@pytest.mark.parametrize("package", [extras.BITSANDBYTES, extras.NLTK, extras.ROUGE, extras.SCIKIT_LEARN])
def test_what_a_message_names_is_in_its_extra(package: extras.Package) -> None:
    assert package.name in EXTRAS[package.extra]
    assert all(PROVIDERS[module] & EXTRAS[package.extra] for module in package.modules)


def test_a_benchmark_is_known_to_the_catalog_alone() -> None:
    """And to what else is about RWKU's data: its download."""
    folders = {path.parent.name for path in (ROOT / "src/atu/benchmarks").glob("*/__init__.py")}
    assert {"builtin", "own", "rwku"} <= folders
    allowed = {folder: ["atu.benchmarks.catalog"] for folder in folders}
    allowed["rwku"] += ["atu.cli", "atu.entry"]
    graph = grimp.build_graph("atu")
    for folder, importers in allowed.items():
        found = graph.find_modules_that_directly_import(f"atu.benchmarks.{folder}", as_package=True)
        strange = {name for name in found if not name.startswith((f"atu.benchmarks.{folder}", *importers))}
        assert not strange, f"{folder} is imported by {strange}"


LIGHT = (
    "atu.api",
    "atu.cli",
    "atu.entry",
    "atu.launch",
    "atu.report",
    "atu.runs",
    "atu.storage",
    "atu.sweep",
    "atu.text",
)
"""Modules and rooms that are there before torch is."""


def test_light_modules_bring_no_torch() -> None:
    light = [name for name in MODULES if name.startswith(LIGHT) or name.endswith(".config")]
    assert len(light) >= 60
    # One after another, so that the first that brings it is named.
    imports = "".join(f"import {name}\nassert 'torch' not in sys.modules, {name!r}\n" for name in light)
    result = run_python(f"{imports}print({{'torch', 'transformers', 'accelerate'}} & set(sys.modules))")
    assert result.stdout.strip() == "set()", result.stderr


def test_a_run_brings_only_what_it_uses() -> None:
    """peft comes with adapters, scikit-learn with attacks: each takes seconds."""
    result = run_python(
        "import atu.run\nprint({'bitsandbytes', 'nltk', 'peft', 'rouge', 'sklearn'} & set(sys.modules))"
    )
    assert result.stdout.strip() == "set()", result.stderr
