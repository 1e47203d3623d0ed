"""LUME: its files, both scorings, the organisers' aggregate by hand, a run, and what cannot be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from harness_tasks import write_choices
from typer.testing import CliRunner, Result
from workplace import Workplace, write_jsonl

from atu.benchmarks.lume import corrected, released
from atu.benchmarks.lume.benchmark import LumeBenchmark
from atu.benchmarks.lume.config import LumeConfig
from atu.benchmarks.lume.probes import accepted
from atu.benchmarks.lume.reader import LumeData
from atu.benchmarks.lume.scorers import exact_match, final_score, membership_interval, task_aggregate
from atu.benchmarks.metrics import known_names
from atu.cli import app
from atu.entry.compose import compose_run
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.models.language_model import LanguageModel
from atu.records import Answer, Score
from atu.report.metrics import describe
from atu.run import run

NAMES = ("Ann", "Bob", "Cyd", "Dan")


def write_lume(folder: Path, *, with_members: bool = True) -> Path:
    """Two documents of each task on each side, as LUME's files have them, and the organisers' membership texts."""
    for side, names in (("forget", NAMES[:2]), ("retain", NAMES[2:])):
        rows: list[dict[str, object]] = []
        for name in names:
            story, person = f'"{name}-1"', f"{name}-2"
            rows += [
                {"id": f"{story}sc1", "input": f"{name} came to", "output": "the old river town.", "task": "Task1"},
                {"id": f"{story}qa0", "input": f"Where did {name} come?", "output": "The river town", "task": "Task1"},
                {"id": f"{person}sc1", "input": f"{name} was born", "output": "on March 6, 1983.", "task": "Task2"},
                {"id": f"{person}qa0", "input": f"When was {name} born?", "output": "1983-03-06", "task": "Task2"},
                {"id": f"{person}qa1", "input": f"{name}'s number?", "output": "900463278", "task": "Task2"},
                {"id": f"{name}3sc1", "input": f"{name} (born 1970)", "output": "is a painter.", "task": "Task3"},
                {"id": f"{name}3qa0", "input": f"What is {name}?", "output": "A painter", "task": "Task3"},
            ]
        write_jsonl(folder / f"{side}.jsonl", rows)
    if with_members:
        (folder / "mia_data").mkdir(exist_ok=True)
        for name, people in (("member", NAMES[:2]), ("nonmember", NAMES[2:])):
            write_jsonl(
                folder / "mia_data" / f"{name}.jsonl",
                [{"id": n, "document": f"{one} is a painter of rivers."} for n, one in enumerate(people)],
            )
    return folder


@pytest.fixture
def lume(tmp_path: Path) -> Path:
    (tmp_path / "lume").mkdir()
    return write_lume(tmp_path / "lume")


def benchmark_of(folder: Path, **keys: Any) -> LumeBenchmark:
    return LumeBenchmark(LumeConfig(data_dir=str(folder), **keys))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answers_with(benchmark: LumeBenchmark, scores: dict[str, float]) -> list[Answer]:
    """Every probe answered; the score is that of its group."""
    return [
        Answer.to(probe, text="x", score=scores.get(probe.group, 0.0), values={"loss": 1.0 + number})
        if probe.kind == "likelihood"
        else Answer.to(probe, text="x", score=scores[probe.group], values={})
        for number, probe in enumerate(benchmark.probes("forget"))
    ]


def test_the_rows_become_probes_and_texts(lume: Path) -> None:
    benchmark = benchmark_of(lume)
    probes = benchmark.probes("forget")
    assert len(probes) == 2 * 14 + 4
    first = probes[0]
    assert (first.id, first.group) == ("lume/forget/forget/Ann-1sc1", "forget/regurgitation_1")
    assert (first.prompt, first.references) == ("Ann came to", ("the old river town.",))
    assert {probe.group for probe in probes} == set(LumeBenchmark.groups)
    few = benchmark_of(lume, tasks=("2",), limit=1).probes("forget")
    assert [probe.id.split("/")[-1] for probe in few[:6]] == [
        "Ann-2sc1", "Ann-2qa0", "Ann-2qa1", "Cyd-2sc1", "Cyd-2qa0", "Cyd-2qa1",
    ]  # fmt: skip
    texts = benchmark_of(lume, tasks=("1",)).texts(benchmark.target("forget"), writer="x", seed=0)
    assert [(text.prompt, text.text) for text in texts.forget[:2]] == [
        (None, "Ann came to the old river town."),
        ("Where did Ann come?", "The river town"),
    ]
    assert len(texts.retain) == 4


def test_answers_in_the_forms_of_its_own_texts() -> None:
    assert accepted("900463278") == ("900463278", "900-46-3278")
    assert accepted("7216253765") == ("7216253765", "721-625-3765")
    assert accepted("1983-03-06") == ("1983-03-06", "March 6, 1983", "6 March 1983")
    assert accepted("1983-02-31") == ("1983-02-31",)
    assert accepted("Madera") == ("Madera",)


def test_released_rules_of_a_row() -> None:
    assert exact_match("Madera", " madera\n") == 1
    assert exact_match("Madera", "Madera.") == 0
    assert exact_match("Madera", "") == 0
    assert exact_match("nan", "") == 1  # an empty text comes back from the CSV file as that


def test_the_organisers_aggregates_by_hand() -> None:
    """Terms 0.5 (forget, five times), 0.8 (once) and 0.25 (retain, six times): 12 / (5/0.5 + 1/0.8 + 6/0.25)."""
    forget = [0.5] * 5 + [0.2]
    assert task_aggregate(forget, [0.25] * 6) == pytest.approx(12 / (10 + 1.25 + 24))
    assert task_aggregate([1.0], [0.9]) == 0
    auc = Score(value=60, n=8, low=45, high=90)
    assert membership_interval(auc) == Score(value=pytest.approx(80), n=8, low=pytest.approx(20), high=100)
    above = membership_interval(Score(value=75, n=8, low=70, high=90))
    assert (above.low, above.value, above.high) == (pytest.approx(20), pytest.approx(50), pytest.approx(60))
    parts = [Score(value=v, n=2, low=v - 10, high=v + 5) for v in (30, 60, 90)]
    assert final_score(parts) == Score(value=60, n=6, low=50, high=65)


def test_scores_from_answers_and_a_gold_model(lume: Path, tmp_path: Path) -> None:
    """Answers whose groups have one score each; regurgitation pools the rows of all tasks."""
    pytest.importorskip("sklearn", reason="the membership score needs scikit-learn: pip install '.[eval]'")
    benchmark = benchmark_of(lume)
    means = {f"forget/{kind}_{task}": 0.5 for kind in ("regurgitation", "knowledge") for task in "123"}
    means |= {f"neighbor/{kind}_{task}": 0.25 for kind in ("regurgitation", "knowledge") for task in "123"}
    means["forget/knowledge_2"] = 0.2
    scores = benchmark.judge({"corrected": answers_with(benchmark, means)}, samples=30)["corrected"].scores
    assert scores["lume/task_aggregate"].value == pytest.approx(100 * 12 / (10 + 1.25 + 24))
    assert scores["lume/task_aggregate"].n == 28
    assert scores["forget/regurgitation"].value == 50
    assert scores["forget/knowledge"].value == pytest.approx(100 * (2 * 0.5 + 4 * 0.2 + 2 * 0.5) / 8)
    assert scores["privacy/auc_loss"].value == 100
    assert scores["lume/mia"].value == 0
    assert "lume/final" not in scores  # without MMLU
    assert scores.keys() <= known_names()
    assert all(describe(name).meaning.zh != describe("no/such").meaning.zh for name in scores)
    assert "lume/task_aggregate" not in benchmark_of(lume, tasks=("1",)).judge(
        {"corrected": answers_with(benchmark_of(lume, tasks=("1",)), means)}, samples=30
    )["corrected"].scores  # fmt: skip
    gold = tmp_path / "gold"
    gold.mkdir()
    better = {**means, "forget/regurgitation_1": 0.2}
    rows = [json.loads(json.dumps(row.__dict__, default=list)) for row in answers_with(benchmark, better)]
    write_jsonl(gold / "answers.corrected.jsonl", rows)
    judged = benchmark_of(lume, gold=str(gold)).judge({"corrected": answers_with(benchmark, means)}, samples=30)
    assert judged["corrected"].scores["lume/gap"].value == pytest.approx(100 * 0.3 / 6)
    assert describe("lume/gap").direction == "lower"


def test_released_and_corrected_ask_as_they_say(tiny_llm: LanguageModel, lume: Path) -> None:
    pytest.importorskip("rouge_score", reason="LUME's ROUGE needs rouge-score: pip install '.[eval]'")
    benchmark = benchmark_of(lume)
    probes = [replace(probe, max_new_tokens=24) for probe in benchmark.probes("forget")]
    config = EvaluationConfig(scoring="both", batch_size=4, bootstrap_samples=20)
    told: list[int] = []
    found = benchmark.ask(
        tiny_llm,
        probes,
        reference="itself",
        as_loaded=True,
        config=config,
        progress=lambda done, _: told.append(done),
    )
    assert told == sorted(told)
    assert [answer.probe_id for answer in found["corrected"]] == [probe.id for probe in probes]
    assert [answer.probe_id for answer in found["released"]] == [probe.id for probe in probes]
    by_id = {name: {answer.probe_id: answer for answer in rows} for name, rows in found.items()}
    first = probes[0]
    old, new = by_id["released"][first.id], by_id["corrected"][first.id]
    prompt = corrected.prompt(tiny_llm, first)
    assert prompt.ids == released.prompt(tiny_llm, first).ids
    whole = replace(first, max_new_tokens=256)
    assert corrected.prompt(tiny_llm, whole).max_new_tokens == len(tiny_llm.encode(" the old river town.")) + 16
    assert old.text.startswith(new.text[:10])
    question = next(probe for probe in probes if probe.group == "forget/knowledge_2")
    assert released.prompt(tiny_llm, question).ids == tuple(tiny_llm.encode(question.prompt))
    assert by_id["released"][question.id].score == 0
    member = next(probe for probe in probes if probe.group == "privacy/members")
    assert by_id["released"][member.id].values.keys() == {"loss"}
    assert by_id["corrected"][member.id].values.keys() == {"loss", "zlib", "min_k", "min_k++"}
    assert by_id["corrected"][member.id].values["loss"] == pytest.approx(by_id["released"][member.id].values["loss"])
    assert {"lume/task_aggregate", "lume/mia"} <= benchmark.judge(found, samples=20)["released"].scores.keys()


def test_an_answer_within_a_sentence_is_right_in_corrected_alone(tiny_llm: LanguageModel, lume: Path) -> None:
    benchmark = benchmark_of(lume)
    born = next(probe for probe in benchmark.probes("forget") if probe.prompt == "When was Ann born?")
    said = "Ann was born on March 6, 1983."
    assert benchmark.score(born, said) == 1
    assert benchmark.score(born, "Ann was born on March 7, 1983.") == 0
    new = tiny_llm.encode(said)
    assert released.written(tiny_llm, born, new).score == 0
    assert released.written(tiny_llm, born, tiny_llm.encode(" 1983-03-06")).score == 1


@pytest.mark.skipif(find_spec("lm_eval") is None, reason="needs lm-evaluation-harness: pip install '.[lm-eval]'")
def test_mmlu_makes_the_final_score(
    workplace: Workplace, lume: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a task file of that name; the last of the organisers' three parts."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    done = call(
        "evaluate", workplace.model, "--benchmark", "lume", "--data", lume, "--device", "cpu", "--limit", 1,
        "--utility-tasks", write_choices(tmp_path, "mmlu"), "--scoring", "corrected", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())["corrected"]
    parts = [scores[name]["value"] for name in ("lume/task_aggregate", "lume/mia", "utility/mmlu")]
    assert scores["lume/final"]["value"] == pytest.approx(sum(parts) / 3)


def test_a_run_forgets_its_texts(workplace: Workplace, lume: Path) -> None:
    owned = ("data", "unlearning_target", "data.probes_path", "data.corpus", "task.stages", "name")
    kept = [part for part in workplace.overrides() if not part.partition("=")[0].startswith(owned)]
    stages = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]"
    folder = run(
        compose_run([*kept, "data=lume", f"data.data_dir={lume}", "data.limit=1", "data.allow_no_verdict=true", stages])
    )
    folder.close()
    last = folder.read_stages()[-1]
    assert {"forget/all", "neighbor/regurgitation_3", "forget/knowledge@known"} & last.scores.keys()
    assert last.scores["forget/all"].n == 7


def test_data_come_from_a_copy_and_are_checked(lume: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("data", "lume", "--from", lume, "--out", out)
    assert done.exit_code == 0, done.output
    assert "forget.jsonl: 14 rows" in done.output
    assert LumeData(out).rows("retain") == LumeData(lume).rows("retain")
    assert len(LumeData(out).membership_texts()["members"]) == 2
    assert call("data", "lume", "--out", out, "--verify").output == "4 files equal the manifest.\n"
    (out / "retain.jsonl").write_text("{}")
    assert "retain.jsonl differs from the manifest" in call("data", "lume", "--out", out, "--verify").output
    none = call("data", "lume", "--from", tmp_path, "--out", tmp_path / "none")
    assert none.exit_code == 2
    assert "has no forget.jsonl and retain.jsonl" in none.output


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "a", "input": "x", "output": "y", "task": "Task1"}, "the id 'a' must end in sc or qa and a number"),
        ({"id": "asc1", "input": "x", "output": "y", "task": "Task4"}, "the task 'Task4' is none of Task1"),
        ({"id": "asc1", "input": "x", "output": " ", "task": "Task1"}, "'output' must be a text that is not empty"),
        ({"question": "x", "answer": "y"}, "'id' must be a text that is not empty. Is this LUME's data?"),
    ],
)
def test_a_broken_row_is_one_line(row: dict[str, object], message: str, lume: Path) -> None:
    write_jsonl(lume / "forget.jsonl", [row])
    with pytest.raises(UserError, match=r"forget\.jsonl, line 1: ") as error:
        benchmark_of(lume).probes("forget")
    assert message in str(error.value)


def test_what_is_missing_is_one_line(lume: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .* Fetch it with `atu data lume`"):
        benchmark_of(tmp_path / "none")
    with pytest.raises(UserError, match="LUME has no target 'task9': its only one is 'forget'"):
        benchmark_of(lume).target("task9")
    (lume / "retain.jsonl").unlink()
    with pytest.raises(UserError, match=r"has no retain\.jsonl\. Fetch it"):
        benchmark_of(lume).probes("forget")


def test_the_real_files(shared_dir: Path) -> None:
    """Counts of the public repository: 866 and 867 documents."""
    folder = shared_dir / "lume"
    if not folder.is_dir():
        pytest.skip(f"no LUME at {folder}")
    data = LumeData(folder)
    rows = {side: data.rows(side) for side in ("forget", "retain")}
    assert {side: len(found) for side, found in rows.items()} == {"forget": 2732, "retain": 2734}
    assert count(rows["forget"]) == {("1", "sc"): 243, ("1", "qa"): 243, ("2", "sc"): 250, ("2", "qa"): 1250,
                                     ("3", "sc"): 373, ("3", "qa"): 373}  # fmt: skip
    assert len({row.document for row in rows["forget"]}) == 866
    assert len({row.document for row in rows["retain"]}) == 867


def made_answer(truth: str, number: int) -> str:
    """What a model may have written: the truth, in capitals, nothing, a word that pandas reads so, half, more."""
    words = truth.split()
    return (
        f" {truth}",
        truth.upper(),
        "",
        "None",
        f"{' '.join(words[: len(words) // 2])} and other words",
        " ".join(reversed(words)),
        f"{truth}\nQuestion: what else?",
    )[number % 7]


ORGANISERS: dict[str, float] = {
    "forget/regurgitation": 54.41415461213145,
    "forget/regurgitation_1": 54.82518320684798,
    "forget/regurgitation_2": 55.78371158890326,
    "forget/regurgitation_3": 52.63356904064308,
    "forget/knowledge": 38.21428571428571,
    "forget/knowledge_1": 40.0,
    "forget/knowledge_2": 39.5,
    "forget/knowledge_3": 30.0,
    "neighbor/regurgitation": 53.274495561784704,
    "neighbor/regurgitation_1": 51.77240848523177,
    "neighbor/regurgitation_2": 53.973277029343215,
    "neighbor/regurgitation_3": 54.07780117077918,
    "neighbor/knowledge": 37.142857142857146,
    "neighbor/knowledge_1": 30.0,
    "neighbor/knowledge_2": 40.0,
    "neighbor/knowledge_3": 30.0,
    "lume/task_aggregate": 45.91593635609135,
}
"""What the organisers' evaluator makes of `made_answer` for the first 40 documents of each task and side; percent."""


def test_the_organisers_evaluator_gives_the_same_numbers(shared_dir: Path) -> None:
    """Its own code, as a participant published it, run on these answers written to its CSV files."""
    pytest.importorskip("rouge_score", reason="LUME's ROUGE needs rouge-score: pip install '.[eval]'")
    if not (shared_dir / "lume").is_dir():
        pytest.skip(f"no LUME at {shared_dir / 'lume'}")
    benchmark = benchmark_of(shared_dir / "lume", limit=40)
    answers = [
        Answer.to(probe, text="", score=released.row_score(probe, text)[0], values={})
        for number, probe in enumerate(benchmark.probes("forget"))
        for text in [made_answer(probe.references[0], number)]
    ]
    scores = benchmark.judge({"released": answers}, samples=10)["released"].scores
    assert {name: scores[name].value for name in ORGANISERS} == pytest.approx(ORGANISERS, abs=1e-9)


def count(rows: Sequence[Any]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        found[row.task, row.kind] = found.get((row.task, row.kind), 0) + 1
    return found
