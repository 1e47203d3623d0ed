"""`atu evaluate` of a finished model: what it is compared with, whose answers a folder holds."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from workplace import Workplace, write_files, write_jsonl

from atu.benchmarks.own.proposed import Proposal
from atu.cli import app
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import evaluate
from atu.models.config import CHAT_NOTE
from atu.models.language_model import LanguageModel
from atu.models.resolve import chat_settings, resolve_model
from atu.records import Probe
from atu.report.page import write_report
from atu.run import run
from atu.runs.run_folder import RunFolder

SHORT = ("task.stages=[{type: training, steps: 2}, {type: unlearning, steps: 3}]",)
GROUPS = ("forget/qa", "forget/fb", "neighbor/qa", "utility/gen")


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def evaluated(out: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The corrected scores, and the rows of the answers."""
    scores = json.loads((out / "scores.json").read_text(encoding="utf-8"))["corrected"]
    rows = (out / "answers.corrected.jsonl").read_text(encoding="utf-8").splitlines()
    return scores, [json.loads(row) for row in rows]


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ATU_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def knowing(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_encoder: Path, tiny_llm: LanguageModel
) -> Workplace:
    """A workplace whose probes the tiny model answers rightly: right is what it says."""
    workplace = Workplace(tmp_path_factory.mktemp("workplace"), tiny_folder, tiny_encoder)
    write_files(workplace.root)
    probes = [
        Probe(id=str(i), group=GROUPS[i % 4], kind="generate", prompt=f"What is the {word}?", max_new_tokens=4)
        for i, word in enumerate(("river", "castle", "garden", "letter", "winter", "music", "harbor", "doctor") * 2)
    ]
    answers = evaluate(tiny_llm, probes, reference=None, config=EvaluationConfig())
    rows: list[dict[str, object]] = [
        {"group": probe.group, "prompt": probe.prompt, "references": [answer.text], "max_new_tokens": 4}
        for probe, answer in zip(probes, answers, strict=True)
        if answer.text.strip()
    ]
    write_jsonl(workplace.root / "probes.jsonl", rows)
    return workplace


@pytest.fixture(scope="module")
def finished(knowing: Workplace) -> RunFolder:
    folder = run(knowing.config(*SHORT, "task.training_module.unlearning_lr=1e-2"))
    folder.close()
    return folder


def test_a_run_s_model_compared_with_the_run_gets_the_record_of_its_last_stage_bit_for_bit(
    finished: RunFolder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = call("evaluate", finished.model_dir, "--before", finished.root, "--out", out)
    assert done.exit_code == 0, done.output
    # The run's own model, given as what was before it, stands for the run.
    again = call("evaluate", finished.model_dir, "--before", finished.model_dir, "--out", out)
    assert again.exit_code == 0, again.output
    stage = finished.stage_dir(finished.read_stages()[-1].label)
    assert evaluated(out) == evaluated(stage)
    scores, rows = evaluated(out)
    assert {"forget/all@known", "nll/forget@known"} <= scores.keys()
    assert any("nll" in row["values"] for row in rows)
    assert all(("nll" in row["values"]) == ("p" in row["values"]) for row in rows)
    assert any(row["known_before"] for row in rows)
    identity = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert identity["before"]["run"] == str(finished.root)
    assert identity["before"]["sha256"] == finished.read_manifest()["checksums"]["model"]
    assert identity["benchmark"]["target"] == "Zorblatt"
    assert identity["model"]["dtype"] == "float32"
    assert {"python", "torch", "transformers", "align-then-unlearn"} <= identity["versions"].keys()


def test_what_is_relative_to_before_is_left_out_without_one(finished: RunFolder, tmp_path: Path) -> None:
    """The run's probes cannot be named without the run, so the built-in ones are asked."""
    done = call("evaluate", finished.model_dir, "--target", "Japan", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    scores, rows = evaluated(tmp_path / "out")
    assert "forget/all" in scores
    assert not [name for name in scores if "@known" in name]
    assert {row["known_before"] for row in rows} == {None}
    assert not [row for row in rows if "nll" in row["values"]]
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["before"] is None


def test_one_s_own_questions_are_asked_of_any_model(knowing: Workplace, tmp_path: Path) -> None:
    """Right is what the tiny model says; the general facts are asked with them."""
    own = ("--benchmark", "own", "--probes", knowing.root / "probes.jsonl", "--target", "Zorblatt")
    done = call("evaluate", knowing.model, *own, "--before", knowing.model, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    scores, rows = evaluated(tmp_path / "out")
    own_rows = [row for row in rows if row["probe_id"].startswith("own/Zorblatt/")]
    assert len(own_rows) == len((knowing.root / "probes.jsonl").read_text().splitlines())
    assert all(row["text"] in row["references"] for row in own_rows)
    assert scores["forget/all@known"]["value"] == 100
    identity = json.loads((tmp_path / "out" / "evaluation.json").read_text())["benchmark"]
    assert (identity["name"], identity["target"], identity["icu"]) == ("own", "Zorblatt", False)
    assert identity["checksum"] == hashlib.sha256((knowing.root / "probes.jsonl").read_bytes()).hexdigest()


def test_a_model_as_before_is_asked_first(finished: RunFolder, knowing: Workplace, tmp_path: Path) -> None:
    model = tmp_path / "moved"
    shutil.copytree(finished.model_dir, model)
    arguments = ("evaluate", model, "--target", "Japan", "--before")
    for name, before in (("base", knowing.model), ("itself", model)):
        done = call(*arguments, before, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
    base, itself = (json.loads((tmp_path / name / "evaluation.json").read_text()) for name in ("base", "itself"))
    assert base["model"] == itself["model"] == itself["before"]
    assert base["before"]["sha256"] == finished.read_manifest()["checksums"]["model"] != base["model"]["sha256"]
    _, rows = evaluated(tmp_path / "base")
    assert {row["known_before"] for row in rows} <= {True, False}


def test_a_run_without_questions_is_judged_by_what_its_model_proposed(
    knowing: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model says no names, so what it would propose is given; all else is as for any model."""
    rows = [json.loads(line) for line in (knowing.root / "probes.jsonl").read_text().splitlines()]
    subjects = {"forget": "Zorblatt", "neighbor": "Newton", "utility": "Newton"}
    proposals = [
        Proposal(
            subjects[row["group"].partition("/")[0]], row["prompt"], row["references"][0], tuple(row["references"])
        )
        for row in rows
    ]
    monkeypatch.setattr("atu.benchmarks.own.proposed.propose", lambda *args, **settings: proposals)
    proposing = ("data.probes_path=null", "data.allow_no_verdict=false", "name=proposed")
    folder = run(knowing.config(*SHORT, *proposing), write_report=write_report)
    folder.close()
    assert folder.read_manifest()["proposed_probes"] > len(rows)  # the general facts among them
    assert "forget/all@known" in folder.read_stages()[-1].scores
    assert "The model itself proposed the questions" in folder.report_path.read_text(encoding="utf-8")
    assert "The model itself proposed the questions" in (folder.model_dir / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in folder.corpus_dir.iterdir()} == {"forget.jsonl", "retain.jsonl"}
    # Whoever asks its model again asks the same.
    done = call("evaluate", folder.model_dir, "--before", folder.root, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert evaluated(tmp_path / "out") == evaluated(folder.stage_dir(folder.read_stages()[-1].label))


def test_a_model_that_knows_nothing_is_not_trained(knowing: Workplace, tmp_path: Path) -> None:
    probes = tmp_path / "probes.jsonl"
    write_jsonl(probes, [{"group": "forget/qa", "prompt": "What is a river?", "references": ["no model says so"]}])
    with pytest.raises(UserError, match="Nothing to forget: the model answers none of 1 questions about Zorblatt"):
        run(knowing.config(*SHORT, f"data.probes_path={probes}", "data.allow_no_verdict=false", "name=ignorant"))
    assert json.loads((knowing.root / "runs" / "ignorant" / "status.json").read_text())["state"] == "failed"


def test_a_run_without_initial_evaluation_has_no_score_relative_to_one(knowing: Workplace, tmp_path: Path) -> None:
    folder = run(knowing.config(*SHORT, "skip_initial_eval=true", "name=skipped"))
    folder.close()
    scores, rows = evaluated(folder.stage_dir(folder.read_stages()[-1].label))
    assert "forget/all" in scores
    assert not [name for name in scores if "@known" in name]
    assert {row["known_before"] for row in rows} == {None}
    done = call("evaluate", folder.model_dir, "--before", folder.root, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "has no answers from before its unlearning" in done.output
    assert not (tmp_path / "out").exists()


def test_a_run_that_asked_something_else_is_no_before(finished: RunFolder, tmp_path: Path) -> None:
    done = call(
        "evaluate", finished.model_dir, "--before", finished.root, "--benchmark", "builtin", "--target", "Japan",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "it asked own probes about Zorblatt" in done.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "William_Shakespeare"}, "benchmark.target: Japan → William_Shakespeare"),
        ({"dtype": "bfloat16"}, "model.dtype: float32 → bfloat16"),
        ({"before": "base"}, "before.sha256"),
        ({"model": "other"}, "model.sha256: tiny"),
    ],
    ids=["target", "dtype", "before", "model"],
)
def test_a_folder_with_another_evaluation_is_refused_and_left_as_it_was(
    change: Mapping[str, str], said: str, tiny_folder: Path, tmp_path: Path
) -> None:
    out, base = tmp_path / "out", tmp_path / "tiny"
    shutil.copytree(tiny_folder, base)
    given = {"model": str(base), "target": "Japan"}

    def command(options: Mapping[str, str]) -> list[object]:
        named = [(f"--{key}", value) for key, value in options.items() if key != "model"]
        return ["evaluate", options["model"], "--out", out, *(part for pair in named for part in pair)]

    assert call(*command(given)).exit_code == 0
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    assert call(*command(given)).exit_code == 0  # the same again is fine
    assert evaluated(out)[0] == json.loads(kept["scores.json"])["corrected"]
    kept = {path.name: path.read_bytes() for path in out.iterdir()}
    change = dict(change)
    if change.get("before") == "base":
        change["before"] = str(base)
    if change.get("model") == "other":
        from safetensors.torch import load_file, save_file

        other = tmp_path / "other"
        shutil.copytree(tiny_folder, other)
        weights = {key: tensor * 0.5 for key, tensor in load_file(other / "model.safetensors").items()}
        save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
        change["model"] = str(other)
    refused = call(*command({**given, **change}))
    assert refused.exit_code == 2
    assert said in refused.output
    assert {path.name: path.read_bytes() for path in out.iterdir()} == kept


def test_a_place_that_cannot_be_written_shows_before_the_model_is_loaded(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("atu.finished.load_language_model", never)
    (tmp_path / "file").write_text("mine")
    done = call("evaluate", tiny_folder, "--target", "Japan", "--out", tmp_path / "file" / "out")
    assert done.exit_code == 2
    assert "Cannot write" in done.output
    assert "a part of this path is a file" in done.output
    assert (tmp_path / "file").read_text() == "mine"


def test_scores_of_an_unknown_evaluation_are_not_overwritten(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text("{}")
    done = call("evaluate", tiny_folder, "--target", "Japan", "--out", tmp_path)
    assert done.exit_code == 2
    assert "no evaluation.json that says of which model" in done.output
    assert (tmp_path / "scores.json").read_text() == "{}"


def test_a_model_is_judged_in_the_type_and_with_the_rounding_that_is_asked_for(
    tiny_folder: Path, tmp_path: Path, bitsandbytes: None
) -> None:
    found = {}
    for name, options in {
        "plain": (),
        "half": ("--dtype", "bfloat16"),
        "rounded": ("--quantization", "nf4", "--before", tiny_folder),
    }.items():
        done = call("evaluate", tiny_folder, "--target", "Japan", "--device", "cpu", "--out", tmp_path / name, *options)
        assert done.exit_code == 0, done.output
        identity = json.loads((tmp_path / name / "evaluation.json").read_text())
        found[name] = (identity["model"]["dtype"], identity["model"]["quantization"], evaluated(tmp_path / name)[1])
    assert [kinds[:2] for kinds in found.values()] == [("float32", "none"), ("bfloat16", "none"), ("float32", "nf4")]
    texts = {name: [row["text"] for row in rows] for name, (_, _, rows) in found.items()}
    assert texts["plain"] != texts["half"]
    assert texts["plain"] != texts["rounded"]


def test_the_model_before_is_asked_in_the_chat_settings_of_the_finished_one(tiny_folder: Path, tmp_path: Path) -> None:
    """An export keeps its settings in a note; a base model has none, and would be asked in other words."""
    assert chat_settings(resolve_model(str(tiny_folder))) == {}
    export = tmp_path / "model"
    shutil.copytree(tiny_folder, export)
    (export / CHAT_NOTE).write_text(json.dumps({"chat_template_kwargs": {"enable_thinking": True}}))
    own = chat_settings(resolve_model(str(export)))
    assert own["chat_template_kwargs"] == {"enable_thinking": True}
    assert replace(resolve_model(str(tiny_folder)), **own).chat_template_kwargs == {"enable_thinking": True}
