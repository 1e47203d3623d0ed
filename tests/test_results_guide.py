"""RESULTS_GUIDE.md: every command in it runs, in its order, in a folder with runs.

A block marked ```sh is run here, ```yaml NAME and ```json NAME are the files that the commands read. A block marked
```sh wandb needs a wandb server.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from scored_runs import save_comparison

from atu.results.tables import COLUMNS, DEGENERATE, GENERAL

ROOT = Path(__file__).resolve().parents[1]
GUIDES = ("RESULTS_GUIDE.md", "RESULTS_GUIDE.zh-CN.md")


def blocks(guide: str) -> list[tuple[str, str]]:
    """Fenced blocks of a guide: what stands behind the fence, and the text."""
    text = (ROOT / guide).read_text(encoding="utf-8")
    return re.findall(r"^```(\w.*?)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def commands(guide: str, kind: str = "sh") -> list[list[str]]:
    """Command lines of the blocks of one kind, without their comments."""
    lines = [line for info, text in blocks(guide) if info == kind for line in text.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def files(guide: str) -> dict[str, str]:
    """Files that the guide shows."""
    return {info.split()[1]: text for info, text in blocks(guide) if info.startswith(("yaml ", "json "))}


def run(words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the guide with this interpreter and this source."""
    program = {"python": [sys.executable], "atu": [sys.executable, "-m", "atu"]}[words[0]]
    arguments = [str(ROOT / word) if word == "generate_results.py" else word for word in words[1:]]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run([*program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    save_comparison(folder / "runs")
    for name, text in files(GUIDES[0]).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("words", commands(GUIDES[0]), ids=" ".join)
def test_every_command_runs(words: list[str], workplace: Path) -> None:
    if "results_data.json" in words and not (workplace / "results_data.json").exists():
        run(["atu", "report", "export"], workplace)
    result = run(words, workplace)
    assert result.returncode == 0, result.stderr


def test_both_guides_have_the_same_commands_and_files() -> None:
    assert len(commands(GUIDES[0])) >= 9
    for kind in ("sh", "sh wandb"):
        assert commands(GUIDES[0], kind) == commands(GUIDES[1], kind)
    assert files(GUIDES[0]).keys() == files(GUIDES[1]).keys()


@pytest.mark.parametrize("guide", GUIDES)
def test_the_guide_explains_every_column(guide: str) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    for column in (*COLUMNS, GENERAL, DEGENERATE):
        (row,) = (line for line in text.splitlines() if line.startswith("|") and f"`{column.name}`" in line)
        assert f"| {column.metric.arrow} |" in row
