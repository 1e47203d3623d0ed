"""TOFU's targets, probes and texts, and every command on a tiny model."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from workplace import Workplace

from atu.benchmarks.build import build_corpus
from atu.benchmarks.metrics import known_names
from atu.benchmarks.tofu.benchmark import TofuBenchmark
from atu.benchmarks.tofu.config import TofuConfig
from atu.cli import app
from atu.entry.compose import compose_run
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.models.language_model import LanguageModel
from atu.report.metrics import describe
from atu.run import run

from .sample_files import NAMES, ROWS, perturbed_rows, write_rows


def benchmark(folder: Path, **keys: object) -> TofuBenchmark:
    return TofuBenchmark(TofuConfig(split="forget01", data_dir=str(folder), **keys))  # type: ignore[arg-type]


def test_the_authors_of_a_split_are_the_target(tofu_dir: Path) -> None:
    target = benchmark(tofu_dir).target("forget01")
    assert target.aliases == target.concepts == NAMES[:2]
    assert target.neighbors == NAMES[2:]
    assert target.name == "Ada Zorn, Bela Quist"
    with pytest.raises(
        UserError, match=r"^data\.split is forget01, so 'forget05' is no target: set data\.split=forget05"
    ):
        benchmark(tofu_dir).target("forget05")
    with pytest.raises(UserError, match=r"'forget1' is no target: Did you mean 'forget10'\?"):
        benchmark(tofu_dir).target("forget1")


def test_probes(tofu_dir: Path) -> None:
    probes = benchmark(tofu_dir).probes("forget01")
    assert [(probe.id, probe.group) for probe in probes[::ROWS]] == [
        ("tofu/forget01/forget/0", "forget/qa"),
        ("tofu/forget01/retain/0", "neighbor/qa"),
        ("tofu/forget01/real_authors/0", "utility/real_authors"),
        ("tofu/forget01/world_facts/0", "utility/world_facts"),
        ("tofu/forget01/members/0", "privacy/members"),
        ("tofu/forget01/others/0", "privacy/others"),
    ]
    assert (probes[1].prompt, probes[1].references) == (
        "What did Ada Zorn write in year 1?",
        ("In year 1 Ada Zorn wrote book 1.",),
    )
    some = benchmark(tofu_dir, tasks=("privacy",)).probes("forget01")
    assert {probe.group for probe in some} == {"privacy/members", "privacy/others"}
    asked = benchmark(tofu_dir, icu=True).probes("forget01")[0].prompt
    assert "unlearn about Ada Zorn, Bela Quist" in asked
    assert asked.endswith("What did Ada Zorn write in year 0?")


def test_all_rows_are_trained_on(tofu_dir: Path, tiny_llm: LanguageModel) -> None:
    config = compose_run(["data=tofu", "data.split=forget01", f"data.data_dir={tofu_dir}"])
    assert config.unlearning_target == "forget01"
    found = TofuBenchmark(config.data)  # type: ignore[arg-type]
    corpus = build_corpus(found, tiny_llm, found.target("forget01"), seed=0, progress=lambda _: None)
    assert (len(corpus.forget), len(corpus.retain)) == (40, 80)
    assert (len(corpus.held_out_forget), len(corpus.held_out_retain)) == (4, 8)
    assert set(corpus.held_out_forget) < set(corpus.forget)
    assert {text.subject for text in corpus.forget} == set(NAMES[:2])
    assert ("What did Ada Zorn write in year 3?", "In year 3 Ada Zorn wrote book 3.") in {
        (text.prompt, text.text) for text in corpus.forget
    }


@pytest.mark.parametrize("template", [None, "plain"])
def test_answers_do_not_depend_on_the_batch(tofu_dir: Path, tiny_llm: LanguageModel, template: str | None) -> None:
    judge = benchmark(tofu_dir, template=template)
    probes = [replace(probe, max_new_tokens=8) for probe in judge.probes("forget01") if probe.id.endswith("/1")]
    found = []
    for batch_size in (1, 50):
        config = EvaluationConfig(scoring="both", batch_size=batch_size)
        found.append(judge.ask(tiny_llm, probes, reference=None, as_loaded=False, config=config))
    for one, other in zip(
        found[0]["released"] + found[0]["corrected"], found[1]["released"] + found[1]["corrected"], strict=True
    ):
        assert (one.probe_id, one.text) == (other.probe_id, other.text)
        assert dict(one.values) == pytest.approx(dict(other.values), abs=1e-4)


def test_what_an_attack_changed_is_asked_for_its_text_alone(tofu_dir: Path, tiny_llm: LanguageModel) -> None:
    judge = benchmark(tofu_dir)
    probe = judge.probes("forget01")[0]
    changed = replace(probe, id=f"{probe.id}#caps", prompt=probe.prompt.upper())
    config = EvaluationConfig(scoring="corrected")
    [answer] = judge.ask(tiny_llm, [changed], reference=None, as_loaded=False, config=config)["corrected"]
    assert "avg_loss" not in answer.values
    assert 0 <= answer.values["rougeL_recall"] <= 1
    assert [judge.score(changed, text) for text in ("book 0", "wrote book")] == [0.5, 1.0]


def test_a_template_that_is_not_there(tofu_dir: Path, tiny_llm: LanguageModel) -> None:
    tokenizer = copy.deepcopy(tiny_llm.tokenizer)
    tokenizer.chat_template = None
    llm = replace(tiny_llm, tokenizer=tokenizer)
    judge = benchmark(tofu_dir, template="chat")
    with pytest.raises(UserError, match=r"The tokenizer of tiny has no chat template: set data\.template=plain"):
        judge.ask(llm, judge.probes("forget01"), reference=None, as_loaded=False, config=EvaluationConfig())


def test_the_attack_by_gradients_is_run_where_it_is_wanted(tofu_dir: Path, tiny_llm: LanguageModel) -> None:
    judge = benchmark(tofu_dir, tasks=("privacy",), gradnorm=True)
    config = EvaluationConfig(scoring="both")
    answers = judge.ask(tiny_llm, judge.probes("forget01"), reference=None, as_loaded=False, config=config)
    for scoring, judgement in judge.judge(answers, samples=5).items():
        assert judgement.scores["privacy/auc_gradnorm"].n == 2 * ROWS, scoring
        assert all(answer.values["gradnorm"] > 0 for answer in judgement.answers)


def test_every_score_has_words_of_its_own(tofu_dir: Path, workplace: Workplace) -> None:
    names = known_names()
    for name in names:
        if name.startswith(("tofu", "memorization/", "privacy/")):
            metric = describe(name)
            assert metric.label.en != name, name
            assert metric.meaning.zh, name
    assert describe("tofu/forget_quality").arrow == "↑"
    assert describe("tofu_parts/retain_Q_A_ROUGE").arrow == "↑"
    assert describe("tofu_parts/retain_Q_A_PERT_Prob").arrow == "·"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_commands(workplace: Workplace, tofu_dir: Path, tmp_path: Path) -> None:
    """A model, the same against itself as the gold model, the log in place of the model, and wrong gold models."""
    asked = ("--benchmark", "tofu", "--split", "forget01", "--data", tofu_dir)
    model = ("evaluate", workplace.model, *asked, "--device", "cpu")
    assert_done(call(*model, "--out", tmp_path / "gold"))
    assert_done(call(*model, "--gold", tmp_path / "gold", "--out", tmp_path / "judged"))
    scores = json.loads((tmp_path / "judged" / "scores.json").read_text())
    assert set(scores["corrected"]) | set(scores["released"]) <= known_names()
    for scoring in ("released", "corrected"):
        assert scores[scoring]["tofu/forget_quality"]["value"] == 1.0
        assert scores[scoring]["privacy/leak"]["value"] == pytest.approx(0.0, abs=1e-6)
        assert scores[scoring]["privacy/auc_reference"]["value"] == 50.0
        assert all(score["low"] <= score["value"] <= score["high"] for score in scores[scoring].values())
    assert "privacy/leak" not in json.loads((tmp_path / "gold" / "scores.json").read_text())["corrected"]
    summary = json.loads((tmp_path / "judged" / "TOFU_SUMMARY.json").read_text())
    assert summary["forget_quality"] == 1.0
    assert summary["extraction_strength"] == scores["released"]["memorization/strength"]["value"] / 100

    log = tmp_path / "judged" / "TOFU_EVAL.json"
    assert_done(call("evaluate", log, *asked, "--gold", log, "--out", tmp_path / "log"))
    assert json.loads((tmp_path / "log" / "TOFU_EVAL.json").read_text()) == json.loads(log.read_text())
    assert not (tmp_path / "log" / "answers.corrected.jsonl").exists()

    again = call("evaluate", log, *asked, "--before", workplace.model, "--out", tmp_path / "no")
    assert again.output == f"error: --before is for a model, and {log} is a file of results.\n"
    lost = call(*model, "--gold", tmp_path / "nothing", "--out", tmp_path / "no")
    assert lost.exit_code == 2
    assert "nothing holds no evaluation of a gold model" in lost.output
    unasked = call(*model, "--gold", workplace.model, "--out", tmp_path / "no")
    assert f"{workplace.model} is a model: ask it first (atu evaluate" in unasked.output
    lost = call("evaluate", tmp_path / "lost.json", *asked, "--out", tmp_path / "no")
    assert f"There is no file {tmp_path / 'lost.json'}." in lost.output
    builtin = call("evaluate", log, "--target", "Japan", "--out", tmp_path / "no")
    assert "the benchmark 'builtin' evaluates models, and no file of results" in builtin.output
    plain = call(*model, "--template", "plain", "--gold", tmp_path / "gold", "--out", tmp_path / "no")
    assert "gold was asked with template None, this model is to be asked with plain" in plain.output
    write_rows(tofu_dir / "forget01_perturbed.json", perturbed_rows("Bela Quist"))
    other = call(*model, "--gold", tmp_path / "gold", "--out", tmp_path / "no")
    assert "has no answer of the gold model to 'tofu/forget01/forget/0'" in other.output
    assert call(*model, "--gold", log, "--out", tmp_path / "no").output.startswith(
        f"error: {log} is of another split or data set"
    )
    wrong = call(
        "evaluate", workplace.model, "--benchmark", "tofu", "--split", "forget02", "--data", tofu_dir, "--out", "no"
    )
    assert "split: 'forget02' is not one of forget01, forget05, forget10" in wrong.output
    lost = call(*model[:4], "--split", "forget10", "--data", tofu_dir, "--out", tmp_path / "no")
    assert "has no forget10.json. Fetch it with `atu data tofu`" in lost.output


def assert_done(result: Result) -> None:
    assert result.exit_code == 0, result.output


def test_a_model_is_attacked_by_its_questions(workplace: Workplace, tofu_dir: Path, tmp_path: Path) -> None:
    done = call(
        "attack", workplace.model, "--before", workplace.model, "--benchmark", "tofu", "--split", "forget01", "--data",
        tofu_dir, "--attacks", "phrasing", "--quick", "--out", tmp_path / "out",
    )  # fmt: skip
    assert_done(done)
    rows = json.loads((tmp_path / "out" / "attacks.json").read_text())
    assert {row["score"]["n"] for row in rows if row["group"] == "fact/mean"} == {ROWS}


def test_a_run_forgets_a_split(workplace: Workplace, tofu_dir: Path) -> None:
    words = [part for part in workplace.overrides() if not part.startswith(("data", "unlearning_target", "task"))]
    config = compose_run(
        [
            *words,
            "data=tofu",
            "data.split=forget01",
            f"data.data_dir={tofu_dir}",
            "data.tasks=[forget,retain]",
            "task=unlearning_npo",
            "task.stages=[{type: unlearning, steps: 2}]",
        ]
    )
    folder = run(config)
    folder.close()
    last = folder.read_stages()[-1]
    assert {"forget/all", "neighbor/all", "tofu/forget_truth_ratio", "memorization/strength"} <= last.scores.keys()
    card = (folder.model_dir / "README.md").read_text()
    assert "Ada Zorn, Bela Quist" in card
