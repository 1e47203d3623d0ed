"""RESULTS_GUIDE.md: every command in it runs, in its order, in a folder with runs.

A block marked ```sh is run here, ```yaml NAME and ```json NAME are the files that the commands read. A block marked
```sh wandb needs a wandb server.
"""

from __future__ import annotations

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from scored_runs import save_comparison

from atu.report.tables import COLUMNS, DEGENERATE, GENERAL, LIKELIHOODS

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


def run(words: list[str], cwd: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """Exit code of a command of the guide, run in this process: the drawing libraries are imported once."""
    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", words[1:] if words[0] == "python" else words)
    try:
        if words[0] == "python":
            runpy.run_path(str(ROOT / words[1]), run_name="__main__")
        else:
            assert words[0] == "atu"
            runpy.run_module("atu", run_name="__main__")
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    save_comparison(folder / "runs")
    for name, text in files(GUIDES[0]).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize("words", commands(GUIDES[0]), ids=" ".join)
def test_every_command_runs(
    words: list[str], workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if "results_data.json" in words:  # the command before it in the guide
        assert run(["atu", "report", "export"], workplace, monkeypatch) == 0
    assert run(words, workplace, monkeypatch) == 0, capsys.readouterr().err


def test_both_guides_have_the_same_commands_and_files() -> None:
    assert len(commands(GUIDES[0])) >= 9
    for kind in ("sh", "sh wandb"):
        assert commands(GUIDES[0], kind) == commands(GUIDES[1], kind)
    assert files(GUIDES[0]).keys() == files(GUIDES[1]).keys()


@pytest.mark.parametrize("guide", GUIDES)
def test_the_guide_explains_every_column(guide: str) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    for column in (*COLUMNS, GENERAL, DEGENERATE, *LIKELIHOODS):
        (row,) = (line for line in text.splitlines() if line.startswith("|") and f"`{column.name}`" in line)
        assert f"| {column.metric.arrow} |" in row
