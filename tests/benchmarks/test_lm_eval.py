"""lm-evaluation-harness as a judge: its own task files, our model, answers row by row; no network is there."""

from __future__ import annotations

import json
import socket
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from harness_tasks import CHOICES, THINGS, write_choices, write_task
from typer.testing import CliRunner, Result
from workplace import Workplace

from atu.benchmarks.lm_eval import tasks
from atu.benchmarks.lm_eval.benchmark import LmEval
from atu.benchmarks.lm_eval.config import LmEvalConfig
from atu.benchmarks.lm_eval.summary import task_scores
from atu.benchmarks.lm_eval.tasks import Group, load, probe_of
from atu.cli import app
from atu.entry.compose import compose_run
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.likelihood import Completion, token_logprobs
from atu.models.language_model import LanguageModel
from atu.records import Answer
from atu.report.page import write_report
from atu.run import run

HAS_HARNESS = find_spec("lm_eval") is not None
needs_harness = pytest.mark.skipif(
    not HAS_HARNESS,
    reason="lm-evaluation-harness is not installed: pip install '.[lm-eval]'",
)


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, and a cache of data sets of one's own."""

    def refuse(*_: object) -> NoReturn:
        raise OSError("there is no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    if HAS_HARNESS:
        import datasets

        monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")


def ask(llm: LanguageModel, *names: str, **config: Any) -> tuple[LmEval, list[Answer]]:
    benchmark = LmEval(LmEvalConfig(tasks=names, **config))
    evaluation = EvaluationConfig(batch_size=3, bootstrap_samples=20)
    found = benchmark.ask(llm, benchmark.probes("x"), reference=None, as_loaded=True, config=evaluation)
    return benchmark, found["corrected"]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def logprobs_of(answer: Answer) -> list[float]:
    return [value for name, value in answer.values.items() if name.startswith("logprob_")]


@needs_harness
def test_each_row_has_the_likelihood_of_each_choice_and_the_likeliest_counts(
    tiny_llm: LanguageModel, tmp_path: Path
) -> None:
    benchmark, answers = ask(tiny_llm, write_choices(tmp_path, "wmdp_mine"))
    assert [answer.group for answer in answers] == ["forget/wmdp_mine"] * len(THINGS)
    for number, (thing, answer) in enumerate(zip(THINGS, answers, strict=True)):
        prompt = f"What of the {thing}?\nAnswer:"
        assert (answer.prompt, answer.references, answer.correct) == (prompt, tuple(CHOICES), (number % 4,))
        wholes = [tiny_llm.encode_behind(prompt, f" {choice}") for choice in CHOICES]
        completions = [Completion(prompt=whole.prompt, ids=whole.ids) for whole in wholes]
        sums = [sum(row) for row in token_logprobs(tiny_llm, completions, batch_size=4)]
        assert logprobs_of(answer) == pytest.approx(sums, rel=1e-5)
        assert answer.values["choice"] == sums.index(max(sums))
        assert answer.text == CHOICES[sums.index(max(sums))]
        assert answer.score == answer.values["acc"] == float(answer.values["choice"] == number % 4)
    scores = benchmark.judge({"corrected": answers}, samples=20)["corrected"].scores
    right = sum(answer.score for answer in answers)
    assert scores["forget/wmdp_mine"].value == pytest.approx(100 * right / len(THINGS))
    assert scores["forget/wmdp_mine"].n == len(THINGS)
    assert scores["forget/wmdp_mine"].low <= scores["forget/wmdp_mine"].value <= scores["forget/wmdp_mine"].high
    assert scores["forget/wmdp_mine_acc_norm"].n == len(THINGS)
    assert tiny_llm.model.training is False
    assert tiny_llm.tokenizer.pad_token == "<|im_end|>"


@needs_harness
def test_a_part_of_the_rows_is_answered_as_the_whole(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    """As several processes do, each of which asks its share."""
    benchmark, answers = ask(tiny_llm, write_choices(tmp_path, "mine"))
    config = EvaluationConfig(batch_size=3)
    told: list[tuple[int, int]] = []
    for share in (slice(1, 5, 3), slice(0, 2)):
        part = benchmark.ask(
            tiny_llm,
            benchmark.probes("x")[share],
            reference=answers,
            as_loaded=False,
            config=config,
            progress=lambda done, total: told.append((done, total)),
        )["corrected"]
        assert [(a.probe_id, a.text, a.score) for a in part] == [(a.probe_id, a.text, a.score) for a in answers[share]]
        assert [a.known_before for a in part] == [a.score == 1 for a in answers[share]]
    assert told[-1] == (2, 2)


@needs_harness
@pytest.mark.parametrize(("by_size", "value"), [(True, 100 * 3 / 7), (False, (100 * 1 / 5 + 100 * 2 / 2) / 2)])
def test_a_group_weighs_its_tasks_as_the_harness_does(by_size: bool, value: float, tmp_path: Path) -> None:
    """As MMLU's subjects: 1 of 5 and 2 of 2 right; by rows that is 3 of 7."""
    files = (write_choices(tmp_path, "long"), write_choices(tmp_path, "short", THINGS[:2]))
    loaded = load(LmEvalConfig(tasks=files))
    loaded = replace(loaded, groups=(Group(name="both", tasks=("long", "short"), metrics={"acc": by_size}),))
    right = {"long/0", "short/0", "short/1"}
    answers = [
        Answer.to(probe_of(row, "x"), text="", score=hit, values={"choice": 0.0, "acc": hit, "acc_norm": 0.0})
        for name, row in loaded.rows.items()
        for hit in [float(name in right)]
    ]
    scores = task_scores(answers, loaded, samples=50)
    assert scores["utility/both"].value == pytest.approx(value)
    assert scores["utility/both"].n == 7
    assert scores["utility/long"].value == 20
    assert scores["utility/short_acc_norm"].value == 0
    partly = task_scores([answer for answer in answers if "long" in answer.probe_id], loaded, samples=50)
    assert "utility/both" not in partly


@needs_harness
def test_a_written_answer_is_kept_and_scored_by_the_filters_of_the_task(
    tiny_llm: LanguageModel, tmp_path: Path
) -> None:
    rows: list[dict[str, object]] = [{"question": thing, "answer": "never said"} for thing in THINGS[:2]]
    first = [{"function": "regex", "regex_pattern": "(.)"}, {"function": "take_first"}]
    task = write_task(
        tmp_path,
        "write",
        rows,
        output_type="generate_until",
        doc_to_text="{{question}}",
        doc_to_target="{{answer}}",
        generation_kwargs={"until": ["\n"], "max_gen_toks": 4, "do_sample": False},
        metric_list=[{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        filter_list=[{"name": "first", "filter": first}, {"name": "all", "filter": [{"function": "take_first"}]}],
    )
    benchmark, answers = ask(tiny_llm, task)
    assert [(a.group, a.prompt, a.references, a.score) for a in answers] == [
        ("utility/write", row["question"], ("never said",), 0.0) for row in rows
    ]
    assert all(answer.text for answer in answers)
    assert answers[0].values == {"exact_match,first": 0.0, "exact_match,all": 0.0}
    scores = benchmark.judge({"corrected": answers}, samples=20)["corrected"].scores
    assert {"utility/write", "utility/write_exact_match_all", "degenerate/utility"} <= scores.keys()


@needs_harness
def test_worked_examples_a_limit_and_the_chat_template(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    task = write_choices(tmp_path, "mine", fewshot_split="test", fewshot_config={"sampler": "first_n"})
    _, answers = ask(tiny_llm, task, num_fewshot=1, limit=2)
    assert len(answers) == 2
    assert answers[1].prompt.startswith("What of the river?\nAnswer: Tokyo\n\n")
    _, chatting = ask(tiny_llm, task, limit=2, apply_chat_template=True)
    head = tiny_llm.render("What of the river?\nAnswer:")
    assert head.endswith("assistant\n")
    whole = tiny_llm.encode_behind(head[:-1], "\nTokyo")  # the harness counts white space to what follows it
    (row,) = token_logprobs(tiny_llm, [Completion(prompt=whole.prompt, ids=whole.ids)], batch_size=1)
    assert logprobs_of(chatting[0])[0] == pytest.approx(sum(row), rel=1e-5)


@needs_harness
@pytest.mark.model
def test_the_wmdp_sample_as_the_reference_implementation_scores_it(
    smollm2: LanguageModel, shared_dir: Path, tmp_path: Path
) -> None:
    import lm_eval.tasks

    golden = shared_dir / "golden" / "tofu" / "out" / "wmdp_base.eval.json"
    if not golden.is_file():
        pytest.skip(f"no golden results at {golden}")
    rows = json.loads(golden.read_text())["wmdp_cyber_sample"]["wmdp_cyber_sample"]
    task = yaml.safe_load((shared_dir / "wmdp" / "lm-eval-task.yaml").read_text())
    task["include"] = str(Path(lm_eval.tasks.__file__).parent / "wmdp" / task["include"])
    task["dataset_kwargs"]["data_files"]["test"] = str(shared_dir / "wmdp" / "cyber_sample.jsonl")
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    benchmark, answers = ask(smollm2, str(tmp_path / "task.yaml"))
    scores = benchmark.judge({"corrected": answers}, samples=100)["corrected"].scores
    assert scores["forget/wmdp_cyber_sample"].value == 37.5
    for answer, row in zip(answers, rows, strict=True):
        assert answer.prompt == row["arguments"][0][0]
        assert answer.score == row["acc"]
        assert answer.correct == (row["target"],)
        # Sums of float32 over 49,152 logits: 3e-5 was seen between the two versions of the harness.
        assert logprobs_of(answer) == pytest.approx([value for value, _ in row["filtered_resps"]], abs=2e-4)


@needs_harness
def test_the_command_writes_scores_and_answers(workplace: Workplace, tmp_path: Path) -> None:
    task = write_choices(tmp_path, "wmdp_mine")
    done = call(
        "evaluate", workplace.model, "--benchmark", "lm-eval", "--tasks", task, "--limit", 3, "--device", "cpu",
        "--batch-size", 2, "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["corrected"]
    assert scores["forget/wmdp_mine"]["n"] == 3
    rows = (tmp_path / "out" / "answers.corrected.jsonl").read_text().splitlines()
    assert [len(json.loads(row)["references"]) for row in rows] == [4, 4, 4]
    identity = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert identity["benchmark"]["limit"] == 3
    assert identity["benchmark"]["target"] == "lm-eval"


@needs_harness
def test_it_judges_a_run(workplace: Workplace, tmp_path: Path) -> None:
    forget, utility = write_choices(tmp_path, "wmdp_mine"), write_choices(tmp_path, "other", THINGS[:2])
    kept = [part for part in workplace.overrides() if not part.startswith(("data=", "data.probes_path"))]
    stages = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]"
    folder = run(compose_run([*kept, "data=lm-eval", f"data.tasks=['{forget}','{utility}']", stages]))
    folder.close()
    last = folder.read_stages()[-1]
    assert {"forget/wmdp_mine", "forget/all", "utility/other", "forget/all@known"} >= {
        name for name in last.scores if "/all" in name
    }
    assert last.scores["utility/other"].n == 2
    assert "What of the garden?" in write_report(folder).read_text(encoding="utf-8")


@needs_harness
def test_what_cannot_be_is_one_line(tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lm_eval.tasks
    from lm_eval.tasks import TaskManager

    def says(text: str, *names: str, **config: Any) -> None:
        with pytest.raises(UserError) as error:
            LmEval(LmEvalConfig(tasks=names, **config)).probes("x")
        assert str(error.value) == text

    index = TaskManager(include_defaults=False, include_path=str(Path(lm_eval.tasks.__file__).parent / "wmdp"))
    monkeypatch.setattr(tasks, "_manager", lambda _: index)  # the whole one takes seconds
    says("data.tasks names no task: give some of lm-eval, such as --tasks wmdp_cyber,mmlu.")
    says(f"data.tasks: there is no task file {tmp_path}/none.yaml.", f"{tmp_path}/none.yaml")
    says("data.tasks: lm-eval has no task 'wmpd_cyber'. Near names: wmdp_cyber, wmdp_chem.", "wmpd_cyber")
    says("data.tasks: lm-eval has no task 'qqzz_*'. `lm-eval ls tasks` lists all.", "qqzz_*")
    lost = write_choices(tmp_path, "lost")
    (tmp_path / "lost.jsonl").unlink()
    with pytest.raises(UserError, match=r"^lm-eval task '.*lost\.yaml' cannot be read: .*lost\.jsonl[^\n]*\.$"):
        LmEval(LmEvalConfig(tasks=(lost,))).probes("x")
    perplexity = [{"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False}]
    says(
        "lm-eval task 'odd' gives perplexity: no mean over rows where more is better, so there is no score with an "
        "interval to take.",
        write_choices(tmp_path, "odd", metric_list=perplexity),
    )
    with pytest.raises(UserError, match="icu is not for benchmark 'lm-eval'"):
        LmEvalConfig(icu=True)
    benchmark, answers = ask(tiny_llm, write_choices(tmp_path, "mine"))
    reworded = [replace(benchmark.probes("x")[0], prompt="What, please, of the river?")]
    with pytest.raises(UserError, match="cannot ask 'lm-eval/x/mine/0' as 'What, please, of the river"):
        benchmark.ask(tiny_llm, reworded, reference=None, as_loaded=True, config=EvaluationConfig())
    assert answers


@needs_harness
def test_choices_cannot_be_attacked(workplace: Workplace, tmp_path: Path) -> None:
    done = call(
        "attack", workplace.model, "--before", workplace.model, "--benchmark", "lm-eval", "--attacks", "sample",
        "--tasks", write_choices(tmp_path, "wmdp_mine"), "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 2
    assert "lm-eval asks no question about 'lm-eval' that a model answers in its own words" in done.output


def test_without_the_package_it_says_how_to_get_it(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    done = call("evaluate", workplace.model, "--benchmark", "lm-eval", "--tasks", "mmlu", "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert "benchmark lm-eval needs the package lm-eval: run pip install '.[lm-eval]'" in done.output
