"""A model before MUSE: scores, a gold model, open-unlearning's files, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result
from workplace import Workplace

from atu.benchmarks.muse.benchmark import MuseBenchmark
from atu.benchmarks.muse.config import MuseConfig, MuseCorpusConfig
from atu.benchmarks.muse.log import log_files
from atu.benchmarks.muse.summary import muse_scores
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.entry.compose import compose_run
from atu.evaluation.config import EvaluationConfig
from atu.models.language_model import LanguageModel
from atu.records import Answer
from atu.report.page import write_report
from atu.run import run

WRITTEN = {
    "forget_knowmem_ROUGE": "forget/knowmem",
    "retain_knowmem_ROUGE": "neighbor/knowmem",
    "forget_verbmem_ROUGE": "forget/verbmem",
}


def evaluate(model: Path, data: Path, out: Path, *more: object) -> Result:
    from atu.cli import app

    common = ["evaluate", model, "--benchmark", "muse", "--data", data, "--out", out, "--device", "cpu"]
    return CliRunner().invoke(app, [str(part) for part in (*common, *more)])


def scores_of(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return found


def test_a_model_is_asked_and_compared_with_a_gold_model(
    tiny_folder: Path, muse_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    done = evaluate(tiny_folder, muse_dir, tmp_path / "gold", "--corpus", "news")
    assert done.exit_code == 0, done.output
    gold = scores_of(tmp_path / "gold")
    assert {"forget/knowmem", "forget/verbmem", "neighbor/knowmem"} <= gold["corrected"].keys() & gold[
        "released"
    ].keys()
    assert gold["released"]["memorization/strength"]["n"] == 2
    assert "privacy/leak" in gold["released"]  # as if a gold model's AUC were 50%
    assert not {"privacy/leak", "privacy/gap", "privacy/auc_reference"} & gold["corrected"].keys()

    done = evaluate(tiny_folder, muse_dir, tmp_path / "judged", "--corpus", "news", "--gold", tmp_path / "gold")
    assert done.exit_code == 0, done.output
    judged = scores_of(tmp_path / "judged")
    for scoring in ("corrected", "released"):
        assert judged[scoring]["privacy/leak"]["value"] == judged[scoring]["privacy/gap"]["value"] == 0.0
        assert judged[scoring]["privacy/auc_reference"]["value"] == 50.0

    log = tmp_path / "gold" / "MUSE_EVAL.json"
    done = evaluate(tiny_folder, muse_dir, tmp_path / "logged", "--corpus", "news", "--gold", log, "--tasks", "privacy")
    assert done.exit_code == 0, done.output
    logged = scores_of(tmp_path / "logged")
    assert logged["released"]["privacy/leak"]["value"] == 0.0
    assert "privacy/leak" not in logged["corrected"]  # two rules do not compare
    identities = [json.loads((tmp_path / n / "evaluation.json").read_text()) for n in ("gold", "judged", "logged")]
    assert len({identity["benchmark"].get("gold") for identity in identities}) == 3


def test_what_is_refused(tiny_folder: Path, muse_dir: Path, tmp_path: Path) -> None:
    def refused(*more: object) -> str:
        result = evaluate(tiny_folder, muse_dir, tmp_path / "out", *more)
        assert result.exit_code == 2
        assert not (tmp_path / "out").exists()
        return result.output

    assert refused("--corpus", "bbc") == "error: collection: 'bbc' is not one of news, books.\n"
    assert "MUSE has no corpus 'books' in" in refused("--corpus", "books")
    assert refused("--corpus", "news", "--target", "books") == (
        "error: The target is 'books', but --corpus (data.collection) is 'news'.\n"
    )
    assert "name it by --target" in refused()
    assert "has no model card" in refused()
    assert "holds no evaluation of a gold model" in refused("--corpus", "news", "--gold", tmp_path / "none")
    other = tmp_path / "other.json"
    other.write_text(
        '{"mia_min_k": {"forget": {"value_by_index": {"0": {"score": 1.0}}}, "holdout": {"value_by_index": {}}}}'
    )
    said = refused("--corpus", "news", "--gold", other)
    assert "has 1 texts of 'forget' for min_k, where 4 are asked: it is of another corpus." in said
    other.write_text('{"forget_knowmem_ROUGE": {"agg_value": 0.5}}')
    assert "it has no mia_min_k, which is compared." in refused("--corpus", "news", "--gold", other)


def test_gradients_are_computed_where_they_are_asked_for(tiny_llm: LanguageModel, muse_dir: Path) -> None:
    benchmark = MuseBenchmark(MuseConfig(data_dir=str(muse_dir), tasks=("privacy",), gradnorm=True))
    answers = benchmark.ask(
        tiny_llm, benchmark.probes("news"), reference=None, as_loaded=False, config=EvaluationConfig(scoring="both")
    )
    for rows in answers.values():
        assert all(row.values["gradnorm"] > 0 for row in rows)
    scores = benchmark.judge(answers, samples=20)
    assert all("privacy/auc_gradnorm" in judgement.scores for judgement in scores.values())


def test_what_was_known_before_is_held_on_to(tiny_llm: LanguageModel, muse_dir: Path) -> None:
    """The reference's right answer, read again behind the same prompt by the same model."""
    benchmark = MuseBenchmark(MuseConfig(data_dir=str(muse_dir), tasks=("retain", "verbatim")))
    probes = benchmark.probes("news")
    config = EvaluationConfig()
    known = [
        Answer.to(probe, text=probe.references[0], score=1.0, values={}) if probe.id.endswith("/0") else
        Answer.to(probe, text="", score=0.0, values={})
        for probe in probes
    ]  # fmt: skip
    rows = benchmark.ask(tiny_llm, probes, reference=known, as_loaded=False, config=config)["corrected"]
    assert [row.known_before for row in rows] == [probe.id.endswith("/0") for probe in probes]
    assert all(("nll" in row.values) == bool(row.known_before) for row in rows)


def test_its_texts_are_cut_into_pieces(tiny_llm: LanguageModel, muse_dir: Path) -> None:
    from atu.benchmarks.build import build_corpus

    corpus = MuseCorpusConfig(
        source="muse", max_input_length=40, num_question_rows=0, num_neighbor_question_rows=0, num_quiz_rows=0,
        num_neighbor_quiz_rows=0, forget_texts="sust/forget_2",
    )  # fmt: skip
    benchmark = MuseBenchmark(MuseConfig(data_dir=str(muse_dir), corpus=corpus))
    given = benchmark.texts(benchmark.target("news"), writer="any", seed=0)
    whole = "\n\n".join(text.text for text in given.forget)
    built = build_corpus(benchmark, tiny_llm, benchmark.target("news"), seed=0, progress=lambda what: None)
    pieces = [*built.forget, *built.held_out_forget]
    assert "".join(sorted("".join(piece.text for piece in pieces))) == "".join(sorted(whole))
    assert {len(tiny_llm.encode(piece.text)) for piece in pieces} <= set(range(1, 41))
    assert all(piece.text in whole for piece in pieces)
    assert "Eve" in whole


@pytest.fixture(scope="session")
def golden(shared_dir: Path) -> dict[str, Any]:
    """open-unlearning's log of the untaught SmolLM2 on the sample."""
    path = shared_dir / "golden" / "tofu" / "out" / "muse_base.eval.json"
    if not path.is_file():
        pytest.skip(f"no golden results at {path}")
    log: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return log


def golden_answers(golden: dict[str, Any]) -> list[Answer]:
    def answer(group: str, number: str, text: str, score: float, **values: float) -> Answer:
        return Answer(
            probe_id=f"muse/news/{group}/{number}", group=group, prompt="", text=text, score=score, degenerate=False,
            references=("",), values=values,
        )  # fmt: skip

    found = []
    strengths = golden["extraction_strength"]["value_by_index"]
    for name, group in WRITTEN.items():
        for number, row in golden[name]["value_by_index"].items():
            more = {"strength": strengths[number]["score"]} if group == "forget/verbmem" else {}
            recalls = {key: row[key] for key in ("rouge1_recall", "rougeL_recall")}
            found.append(answer(group, number, row["generation"], row["rougeL_f1"], **recalls, **more))
    for side, group in (("forget", MEMBERS), ("holdout", OTHERS)):
        for number, row in golden["mia_min_k"][side]["value_by_index"].items():
            found.append(answer(group, number, "", 0.0, min_k=row["score"], loss=0.0))
    return found


def test_scores_of_the_golden_rows_are_the_golden_ones(golden: dict[str, Any]) -> None:
    rows = golden_answers(golden)
    scores = muse_scores(rows, None, samples=20, is_released=True)
    found = log_files(rows, scores)["MUSE_SUMMARY.json"]
    expected = {name: metric["agg_value"] for name, metric in golden.items()}
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    for name, group in WRITTEN.items():
        assert scores[group].value == pytest.approx(100 * expected[name], abs=1e-10)
    log = log_files(rows, scores)["MUSE_EVAL.json"]
    by_index = "value_by_index"
    assert log["mia_min_k"]["forget"][by_index] == golden["mia_min_k"]["forget"][by_index]
    assert log["extraction_strength"]["value_by_index"] == golden["extraction_strength"]["value_by_index"]


@pytest.mark.model
def test_golden_rows(smollm2: LanguageModel, shared_dir: Path, golden: dict[str, Any], tmp_path: Path) -> None:
    """Some rows of every metric by the real model: texts, ROUGE, extraction strength and Min-K."""
    sample = shared_dir / "muse"
    for name, file, count in (
        ("knowmem/forget_qa", "news-knowmem-forget_qa", 1),
        ("knowmem/forget_qa_icl", "news-knowmem-forget_qa_icl", 8),
        ("knowmem/retain_qa", "news-knowmem-retain_qa", 1),
        ("knowmem/retain_qa_icl", "news-knowmem-retain_qa_icl", 8),
        ("verbmem/forget", "standin-verbmem-forget", 1),
        ("privleak/forget", "standin-privleak-forget", 1),
        ("privleak/holdout", "standin-privleak-holdout", 1),
    ):
        path = tmp_path / "news" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(json.loads((sample / f"{file}.json").read_text(encoding="utf-8"))[:count]))
    benchmark = MuseBenchmark(MuseConfig(data_dir=str(tmp_path)))
    config = EvaluationConfig(scoring="released")
    # The questions about what stays are asked as the others are.
    probes = [probe for probe in benchmark.probes("news") if probe.group != "neighbor/knowmem"]
    rows = benchmark.ask(smollm2, probes, reference=None, as_loaded=False, config=config)["released"]
    groups = {group: [row for row in rows if row.group == group] for group in (*WRITTEN.values(), MEMBERS, OTHERS)}
    for name, group in WRITTEN.items():
        for number, row in enumerate(groups[group]):
            expected = golden[name]["value_by_index"][str(number)]
            assert row.text == expected["generation"]
            assert row.score == pytest.approx(expected["rougeL_f1"], abs=1e-12)
            assert row.values["rouge1_recall"] == pytest.approx(expected["rouge1_recall"], abs=1e-12)
    for number, row in enumerate(groups["forget/verbmem"]):
        expected = golden["extraction_strength"]["value_by_index"][str(number)]["score"]
        assert row.values["strength"] == pytest.approx(expected, abs=1e-12)
    for side, group in (("forget", MEMBERS), ("holdout", OTHERS)):
        for number, row in enumerate(groups[group]):
            expected = golden["mia_min_k"][side]["value_by_index"][str(number)]["score"]
            assert row.values["min_k"] == pytest.approx(expected, abs=1e-5)


def test_a_run_trains_on_its_texts_and_is_judged_by_it(workplace: Workplace, muse_dir: Path) -> None:
    owned = ("data", "unlearning_target", "task.stages")
    kept = [part for part in workplace.overrides() if not part.partition("=")[0].startswith(owned)]
    chosen = (
        "data=muse", f"data.data_dir={muse_dir}", "unlearning_target=news", "data.corpus.max_input_length=48",
        "data.tasks=[forget,retain,privacy]", "evaluation.scoring=both", "data.allow_no_verdict=true",
        "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]",
    )  # fmt: skip
    folder = run(compose_run([*kept, *chosen]))
    folder.close()
    last = folder.read_stages()[-1]
    assert {"forget/knowmem", "neighbor/knowmem", "privacy/auc_min_k"} <= last.scores.keys()
    assert {answer.group for answer in folder.read_answers(last.label)} == {
        "forget/knowmem", "neighbor/knowmem", MEMBERS, OTHERS,
    }  # fmt: skip
    page = write_report(folder).read_text(encoding="utf-8")
    assert "Who is mayor of Arl?" in page


def test_a_model_is_attacked_by_its_questions(tiny_folder: Path, muse_dir: Path, tmp_path: Path) -> None:
    from atu.cli import app

    asked = (
        "attack",
        tiny_folder,
        "--before",
        tiny_folder,
        "--benchmark",
        "muse",
        "--corpus",
        "news",
        "--data",
        muse_dir,
    )
    more = ("--attacks", "phrasing", "--quick", "--out", tmp_path / "out")
    done = CliRunner().invoke(app, [str(part) for part in (*asked, *more)])
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out" / "attacks.json").read_text())
    assert {row["score"]["n"] for row in rows if row["group"] == "fact/mean"} == {3}
