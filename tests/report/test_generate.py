"""generate_results.py as a user calls it: every file is made, or none is and one line says why."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from scored_runs import points, save_comparison, save_run

from atu.errors import UserError
from atu.report.generate import generate
from atu.report.options import read_options

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "comparison_table.csv",
    "comparison_table.md",
    "comparison_table.tex",
    "table1_comparison.png",
    "figure4_neighbor_vs_forget.png",
    "figure4_neighbor_vs_forget.pdf",
    "figure5_utility_neighbor_vs_forget.png",
    "figure5_utility_neighbor_vs_forget.pdf",
    "figure6_forget_over_stages.png",
    "figure6_forget_over_stages.pdf",
    "paired_comparison.csv",
    "paired_comparison.md",
    "index.html",
}
CURVE = points((80, 90), (20, 60))


def make(*arguments: str | Path) -> None:
    generate(read_options([str(argument) for argument in arguments]))


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def call(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_everything_is_made_and_the_same_from_folders_and_from_their_file(tmp_path: Path) -> None:
    save_comparison(tmp_path / "runs")
    script = str(ROOT / "generate_results.py")
    result = call(script, "--aggregate", "--output_dir", "from folders", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "tables, figures and index.html: from folders\n"
    assert files(tmp_path / "from folders") == FILES
    assert call("-m", "atu", "report", "export", cwd=tmp_path).returncode == 0
    make(
        "--source", "json", "--json_path", tmp_path / "results_data.json", "--aggregate", "--output_dir", tmp_path / "b"
    )
    for name in FILES - {"index.html"}:
        assert (tmp_path / "from folders" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_pictures_are_pictures(tmp_path: Path) -> None:
    for layer in (0.4, 0.8):
        save_run(tmp_path / "runs", CURVE, layer=layer)
    save_run(tmp_path / "runs", CURVE, "$100_method & <more>")
    make("--runs", tmp_path / "runs", "--output_dir", tmp_path / "out")
    for path in (tmp_path / "out").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    for path in (tmp_path / "out").glob("*.pdf"):
        assert path.read_bytes().startswith(b"%PDF")


def test_numbers_without_curves_are_drawn_too(tmp_path: Path) -> None:
    value = {"GA": {"metrics": {"forget/fb": 17.8, "utility/gen": 64.3}, "config": {"method": "GA"}}}
    (tmp_path / "r.json").write_text(json.dumps(value))
    make("--source", "json", "--json_path", tmp_path / "r.json", "--output_dir", tmp_path / "out")
    assert files(tmp_path / "out") == FILES
    text = (tmp_path / "out" / "comparison_table.md").read_text()
    assert text.startswith("Scoring: not stated by the file. Shown: last stage of every run.")


def test_a_scoring_is_named_on_the_table(tmp_path: Path) -> None:
    save_run(tmp_path / "runs", CURVE, released=points((70, 80), (10, 50)))
    make("--runs", tmp_path / "runs", "--output_dir", tmp_path / "out", "--scoring", "released")
    text = (tmp_path / "out" / "comparison_table.md").read_text()
    assert text.startswith("Scoring: released. ")
    assert "| ATU | 10.0 | 50.0 | 80.0 |" in text


def test_files_of_other_names_stay_and_old_results_are_replaced(tmp_path: Path) -> None:
    save_run(tmp_path / "runs", CURVE)
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    (out / "comparison_table.csv").write_text("old")
    make("--runs", tmp_path / "runs", "--output_dir", out)
    assert files(out) == {*FILES, "notes.txt"}
    assert (out / "comparison_table.csv").read_text().startswith("METHOD,")


def test_a_run_cut_off_in_the_middle(tmp_path: Path) -> None:
    save_run(tmp_path / "runs", CURVE, state="running")
    result = call(str(ROOT / "generate_results.py"), cwd=tmp_path)
    assert result.stderr == (
        "error: There is no finished run to show. unlearning_atu-Japan-seed0 is left out: it is not done "
        "(interrupted), so its last stage is not its end.\n"
    )
    assert result.returncode == 2
    assert files(tmp_path) == {"runs"}
    save_run(tmp_path / "runs", CURVE, "unlearning_ga")
    result = call(str(ROOT / "generate_results.py"), cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr.startswith("note: unlearning_atu-Japan-seed0 is left out: it is not done (interrupted)")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--runs nothing", "There is no folder nothing."),
        ("--runs empty", "empty holds no runs: no folder in it has a config.yaml and stages."),
        ("--stage matched:half", "'half' is no level of forgetting: give the share of forget/all before that may be"),
        ("--stage matched:0.01", "No run has a point to show"),
        ("--run_names unlearning_at-Japan-seed0", "There is no run 'unlearning_at-Japan-seed0'. Did you mean"),
        ("--source json --json_path runs/none.json", "There is no file runs/none.json."),
        (
            "--scoring released",
            "There is no finished run to show. unlearning_atu-Japan-seed0 is left out: it has no rel",
        ),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_run(tmp_path / "runs", CURVE)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        make(*arguments.split())
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
    assert files(tmp_path) == {"runs", "empty"}


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    save_run(tmp_path / "runs", CURVE)
    (tmp_path / "out").write_text("a file")
    with pytest.raises(UserError, match=r"Cannot write .*out: a part of this path is a file"):
        make("--runs", tmp_path / "runs", "--output_dir", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"


def test_a_disk_that_fails_half_way_leaves_the_old_results(tmp_path: Path) -> None:
    save_run(tmp_path / "runs", CURVE)
    out = tmp_path / "out"
    make("--runs", tmp_path / "runs", "--output_dir", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    save_run(tmp_path / "runs", CURVE, "unlearning_ga")
    script = f"ulimit -f 20; exec {sys.executable} {ROOT / 'generate_results.py'} --output_dir out"
    result = call(
        "-c", f"import subprocess, sys; sys.exit(subprocess.run(['bash', '-c', {script!r}]).returncode)", cwd=tmp_path
    )
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("error: Cannot write out: ")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("arguments", [["--help"], ["--stage"], ["--source", "json"]])
def test_help_and_wrong_options_answer_without_the_drawing_libraries(arguments: list[str], tmp_path: Path) -> None:
    result = call("-X", "importtime", str(ROOT / "generate_results.py"), *arguments, cwd=tmp_path)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if "|" in line}
    assert "atu.report.generate" in imported
    assert not imported & {"matplotlib", "pandas", "scipy", "torch", "jinja2", "wandb"}
    assert result.returncode == (0 if arguments == ["--help"] else 2)
