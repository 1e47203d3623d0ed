"""A benchmark of a few lines and one line in the catalog is known to every command, to `data=`, to help and pages."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rivers import THINGS, Rivers
from typer.testing import CliRunner, Result
from workplace import Workplace

import atu.cli
import atu.entry.benchmark_options
from atu.benchmarks.catalog import BENCHMARKS
from atu.benchmarks.metrics import known_names
from atu.config import field_keys
from atu.entry.compose import compose_run
from atu.entry.help_text import help_text
from atu.errors import UserError
from atu.report.metrics import describe
from atu.report.page import write_report
from atu.run import run

SHORT = (
    "data.benchmark=rivers",
    "unlearning_target=Nile",
    "data.corpus.source=rivers",
    "data.corpus.num_question_rows=0",
    "data.corpus.num_neighbor_question_rows=0",
    "data.corpus.num_quiz_rows=0",
    "data.corpus.num_neighbor_quiz_rows=0",
    "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]",
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[typer.Typer]:
    """The `atu` command as it is made with one more line in the catalog."""
    with monkeypatch.context() as catalog:
        catalog.setitem(BENCHMARKS, "rivers", Rivers)
        yield made_anew()
    made_anew()


def made_anew() -> typer.Typer:
    importlib.reload(atu.entry.benchmark_options)
    return importlib.reload(atu.cli).app


def call(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def rivers_run(workplace: Workplace, *more: str) -> list[str]:
    """Overrides of a tiny run without what belongs to the benchmark 'own'."""
    owned = ("data", "unlearning_target", "data.probes_path", "data.corpus", "task.stages")
    kept = [part for part in workplace.overrides() if not part.partition("=")[0].startswith(owned)]
    return [*kept, *SHORT, "data.allow_no_verdict=true", *more]


def test_help_tells_of_it(app: typer.Typer) -> None:
    for command in ("evaluate", "attack"):
        shown = " ".join(call(app, command, "--help").output.split())
        assert "|".join(BENCHMARKS) in shown
        assert "rivers: How the questions are asked: short or long." in shown
    assert "rivers: Folder that `atu evaluate` wrote" in " ".join(call(app, "evaluate", "--help").output.split())


def test_its_keys_are_those_of_data(app: typer.Typer, tmp_path: Path) -> None:
    assert {"data.wording", "data.gold"} <= set(field_keys())
    config = compose_run(["data.benchmark=rivers", "unlearning_target=Nile", "data.wording=long"])
    assert config.data == Rivers.config_class(wording="long", corpus=config.data.corpus)
    with pytest.raises(UserError, match=r"^data\.wording belongs to benchmark 'rivers' \(data=rivers\)\.$"):
        compose_run(["data.wording=long"])
    with pytest.raises(UserError, match=r"data\.wording: 'wide' is not one of short, long"):
        compose_run(["data.benchmark=rivers", "unlearning_target=Nile", "data.wording=wide"])
    with pytest.raises(UserError, match=r"corpus\.source 'rivers' needs benchmark 'rivers', not 'builtin'"):
        compose_run(["data.corpus.source=rivers"])
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "rivers.yaml").write_text(
        "# @package _global_\ndefaults: [builtin@data, _self_]\ndata: {benchmark: rivers, wording: long}\n"
    )
    shown = help_text([f"--config-dir={tmp_path}", "data=rivers", "unlearning_target=Nile"])
    options = next(line for line in shown.splitlines() if "data: builtin, jsonl" in line)
    assert ", rivers, " in options
    assert "wording: long" in shown
    assert "gold: null" in shown
    assert "probes_path" not in shown


def test_its_scores_have_words_a_name_and_a_place(app: typer.Typer) -> None:
    assert "depth/way" in known_names()
    way = describe("depth/way")
    assert (way.label.en, way.arrow, way.unit) == ("Depth · way to the gold model", "↓", "points")


def test_a_run_trains_on_its_texts_and_is_judged_by_it(app: typer.Typer, workplace: Workplace) -> None:
    folder = run(compose_run(rivers_run(workplace, "data.wording=long")))
    folder.close()
    last = folder.read_stages()[-1]
    answers = folder.read_answers(last.label)
    assert {answer.group for answer in answers} == {"forget/qa", "neighbor/qa"}
    assert all(answer.prompt.endswith("Answer in a whole sentence.") for answer in answers)
    assert {"forget/all", "neighbor/all"} <= last.scores.keys()
    page = write_report(folder).read_text(encoding="utf-8")
    assert "What is the bridge of the Nile?" in page
    asked = call(app, "evaluate", folder.model_dir, "--before", folder.root, "--out", workplace.root / "again")
    assert asked.exit_code == 0, asked.output
    scores = json.loads((workplace.root / "again" / "scores.json").read_text())["corrected"]
    assert scores["forget/all"]["value"] == last.scores["forget/all"].value


def test_a_model_is_asked_and_compared_with_a_gold_model(
    app: typer.Typer, workplace: Workplace, tmp_path: Path
) -> None:
    asked = ("evaluate", workplace.model, "--benchmark", "rivers", "--target", "Nile", "--device", "cpu")
    done = call(app, *asked, "--out", tmp_path / "gold")
    assert done.exit_code == 0, done.output
    assert "depth/way" not in json.loads((tmp_path / "gold" / "scores.json").read_text())["corrected"]
    done = call(app, *asked, "--gold", tmp_path / "gold", "--out", tmp_path / "judged")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "judged" / "scores.json").read_text())["corrected"]["depth/way"]["value"] == 0.0
    identities = [json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("gold", "judged")]
    assert "gold" not in identities[0]["benchmark"]
    assert len(identities[1]["benchmark"]["gold"]) == 64
    other = call(app, *asked, "--wording", "long", "--gold", tmp_path / "gold", "--out", tmp_path / "long")
    assert other.exit_code == 2
    assert "has no answer of the gold model to 'rivers/Nile/forget/qa/0'" in other.output
    none = call(app, *asked, "--gold", tmp_path / "nothing", "--out", tmp_path / "none")
    assert none.exit_code == 2
    assert "holds no evaluation of a gold model: there is no answers.corrected.jsonl in it" in none.output
    builtin = call(app, "evaluate", workplace.model, "--target", "Japan", "--gold", "x", "--out", tmp_path / "b")
    assert builtin.exit_code == 2
    assert re.fullmatch(r"error: --gold is for --benchmark .* or rivers, not for builtin\.\n", builtin.output)


def test_a_model_is_attacked_by_its_questions(app: typer.Typer, workplace: Workplace, tmp_path: Path) -> None:
    done = call(
        app, "attack", workplace.model, "--before", workplace.model, "--benchmark", "rivers", "--target", "Nile",
        "--wording", "long", "--attacks", "phrasing", "--quick", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out" / "attacks.json").read_text())
    assert {row["score"]["n"] for row in rows if row["group"] == "fact/mean"} == {len(THINGS)}
