"""`atu chat` asks the models before and after a run the same, and marks what differs."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from workplace import Workplace

from atu.chat import answer_all, marked
from atu.cli import app
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model
from atu.run import run

QUESTION = "What is the river?"


def call(folder: Path, typed: str, *more: str) -> Result:
    return CliRunner().invoke(app, ["chat", str(folder), *more], input=typed, env={"COLUMNS": "200"})


def test_words_are_marked_that_the_other_does_not_say() -> None:
    before, after = marked(["It was 1564 in Stratford", "It was long ago in Stratford"])

    assert [before.plain[span.start : span.end] for span in before.spans] == ["1564"]
    assert [after.plain[span.start : span.end] for span in after.spans] == ["long ago"]


def test_both_models_of_a_run_are_asked_each_line(workplace: Workplace) -> None:
    folder = run(workplace.config("task.stages=[{type: training, steps: 6}, {type: unlearning, steps: 4}]")).root
    models = [
        load_language_model(resolve_model(str(path)), device="cpu") for path in (workplace.model, folder / "model")
    ]
    expected = [answer_all(llm, [QUESTION], max_new_tokens=4)[0] for llm in models]

    done = call(folder, f"{QUESTION}\n\nWho wrote it?\n", "--max-new-tokens", "4")

    assert done.exit_code == 0, done.output
    assert done.output.count("before") == done.output.count("after") == 2
    assert f"> {QUESTION}" in done.output
    first = " ".join(done.output.split("> Who wrote it?")[0].split())
    for words in expected:
        assert all(word in first for word in words.split())


@pytest.mark.parametrize(
    ("given", "said"),
    [("config", "has no model yet: it is written when the run is done."), ("nothing", "is not a run folder")],
)
def test_what_is_no_finished_run_is_refused_in_one_line(workplace: Workplace, given: str, said: str) -> None:
    folder = workplace.root / "runs/tiny"
    if given == "config":
        done = run(workplace.config("task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 1}]"))
        (done.root / "model").rename(workplace.root / "elsewhere")

    refused = call(folder, "Hello\n")

    assert refused.exit_code == 2
    assert said in refused.output
    assert len(refused.output.strip().splitlines()) == 1
