"""Options of generate_results.py, on the command line and in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from atu.errors import UserError
from atu.report.options import Options, read_options


def written(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "results.yaml").write_text(text, encoding="utf-8")
    return ["--config", str(tmp_path / "results.yaml")]


def test_nothing_given_is_the_local_folder_and_the_last_stage() -> None:
    options = read_options([])
    assert options == Options()
    assert (options.source, options.runs, options.stage, options.scoring) == (
        "local",
        Path("runs"),
        "last",
        "corrected",
    )
    assert options.output_dir == Path("results")


def test_the_command_line_of_each_source() -> None:
    wandb = read_options(["--source", "wandb", "--entity", "E", "--project", "P", "--run_ids", "a", "b", "--aggregate"])
    assert (wandb.entity, wandb.project, wandb.run_ids, wandb.aggregate) == ("E", "P", ["a", "b"], True)
    assert read_options(["--source", "json", "--json_path", "r.json"]).json_path == Path("r.json")


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    config = written(tmp_path, "scoring: released\nstage: matched:0.5\naggregate: true\nrun_names: [x, 3]\n")
    options = read_options([*config, "--stage", "last"])
    assert (options.stage, options.scoring, options.aggregate) == ("last", "released", True)
    assert options.run_names == ("x", "3")


def test_names_and_filters_are_in_the_file(tmp_path: Path) -> None:
    options = read_options(written(tmp_path, "method_names: {unlearning_atu: ATU}\nfilters: {targets: [Japan]}\n"))
    assert (options.method_names, options.filters) == ({"unlearning_atu": "ATU"}, {"targets": ["Japan"]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scorin: released\n", "Unknown key 'scorin'. Did you mean 'scoring'?"),
        ("help: true\n", "Unknown key 'help'."),
        ("scoring: both\n", "scoring: 'both' is not one of released, corrected."),
        ("stage: 3\n", "stage: expected a text, got 3."),
        ("aggregate: 'yes'\n", "aggregate: expected true or false, got 'yes'."),
        ("run_ids: x\n", "run_ids: expected a list, got 'x'."),
        ("method_names: [x]\n", "method_names: expected keys and values, got ['x']."),
        ("filters: {targets: Japan}\n", "filters.targets: expected a list, got 'Japan'."),
        ("filters: {target: [Japan]}\n", "there is no filter 'target'. Did you mean 'targets'?"),
        ("- x\n", "holds no keys."),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read_options(written(tmp_path, text))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--source json", "--source json needs --json_path FILE."),
        ("--source wandb --entity E", "--source wandb needs --entity NAME and --project NAME."),
        ("--source xml", "argument --source: invalid choice: 'xml'"),
        ("--outputdir x", "unrecognized arguments: --outputdir x. See generate_results.py --help."),
        ("--aggr", "unrecognized arguments: --aggr"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        read_options(arguments.split())
    assert message in str(error.value)
