"""generate_results.py from a wandb server: the guide's commands, and the same table as from the runs' folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from scored_runs import points, save_run
from test_results_guide import GUIDES, commands, run
from wandb_server import ENTITY, WandbServer

from atu.report.sync import sync
from atu.runs.run_folder import RunFolder


@pytest.fixture
def workplace(tmp_path: Path, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two methods with two seeds each, in folders and in wandb's project P."""
    monkeypatch.setenv("WANDB_PROJECT", "P")
    for seed in (0, 1):
        curves = {
            "unlearning_atu": points((70, 74), (20 + seed, 68)),
            "unlearning_ga": points((70, 74), (10, 20 + seed)),
        }
        for method, curve in curves.items():
            sync(RunFolder(root=save_run(tmp_path / "runs", curve, method, seed=seed)))
    return tmp_path


def test_wandb_gives_the_table_of_the_folders_and_the_guides_commands_run(
    workplace: Path, wandb_server: WandbServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first_id = next(iter(wandb_server.projects["P"]))
    real = {"E": ENTITY, "1a2b3c4d": first_id}
    for words in commands(GUIDES[0], "sh wandb"):
        assert run([real.get(word, word) for word in words], workplace, monkeypatch) == 0, capsys.readouterr().err
    local = ["python", "generate_results.py", "--aggregate", "--output_dir", "local"]
    assert run(local, workplace, monkeypatch) == 0
    assert run(["atu", "report", "export"], workplace, monkeypatch) == 0
    of_json = ["--source", "json", "--json_path", "results_data.json", "--output_dir", "json"]
    assert run([*local[:3], *of_json], workplace, monkeypatch) == 0
    tables = [(workplace / folder / "comparison_table.csv").read_text() for folder in ("results", "local", "json")]
    assert tables[0] == tables[1] == tables[2]
    assert tables[0].count("\n") > 3


def test_a_wrong_entity_is_one_line_and_leaves_nothing(
    workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["python", "generate_results.py", "--source", "wandb", "--entity", "nobody", "--project", "P"]
    assert run(words, workplace, monkeypatch) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: wandb cannot give nobody/P: ")
    assert error.count("\n") == 1
    assert not (workplace / "results").exists()
