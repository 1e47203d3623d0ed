"""RWKU asked of the tiny random model: both scorings, every task, and everything that can go wrong on the way."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from atu.benchmarks.rwku import asking, corrected, released
from atu.benchmarks.rwku.asking import Observation
from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.config import RwkuConfig, Task
from atu.benchmarks.rwku.prompts import TASKS
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe, Scoring
from atu.runs.rows import read_answers
from atu.runs.run_folder import write_evaluation

from .conftest import MakeTarget

KING = "1_Stephen_King"
BOTH = EvaluationConfig(scoring="both", batch_size=4, bootstrap_samples=20)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def llm(tiny_llm: LanguageModel) -> LanguageModel:
    """The tiny model with room for BBH's prompts. Read only."""
    return changed(tiny_llm)


def changed(llm: LanguageModel, **fields: Any) -> LanguageModel:
    """A copy with weights of its own and 4,096 positions."""
    llm = dataclasses.replace(llm, model=copy.deepcopy(llm.model), **fields)
    llm.model.config.max_position_embeddings = 4096
    return llm


def always_says(llm: LanguageModel, token: int) -> LanguageModel:
    """A copy whose best next token is always this one."""
    llm = changed(llm)
    llm.model.get_output_embeddings().register_forward_hook(
        lambda module, args, logits: logits.index_fill(-1, torch.tensor([token]), 1e3)
    )
    return llm


def asked(llm: LanguageModel, benchmark: RwkuBenchmark, config: EvaluationConfig = BOTH) -> dict[str, list[Answer]]:
    return dict(benchmark.ask(llm, benchmark.probes(KING), reference=None, as_loaded=False, config=config))


def probe_of(benchmark: RwkuBenchmark, group: str) -> Probe:
    return next(probe for probe in benchmark.probes(KING) if probe.group == group)


@pytest.fixture
def benchmark(two_targets: Path) -> RwkuBenchmark:
    return RwkuBenchmark(RwkuConfig(data_dir=str(two_targets)))


def test_every_probe_of_all_twelve_files_is_answered_under_both_scorings(
    llm: LanguageModel, benchmark: RwkuBenchmark
) -> None:
    probes, answers = benchmark.probes(KING), asked(llm, benchmark)
    assert {probe.id.split("/")[2] for probe in probes} == {
        file.name for parts in TASKS.values() for file, _, _ in parts
    }
    for scoring in ("released", "corrected"):
        assert [answer.probe_id for answer in answers[scoring]] == [probe.id for probe in probes]
    names = benchmark.judge(answers, samples=5)
    for name in ("forget/all", "neighbor/all", "mia/fm", "mia/rt", *(f"utility/{kind}" for kind in UTILITY)):
        assert name in names["released"].scores
        assert name in names["corrected"].scores


UTILITY = ("gen", "rea", "tru", "fac", "flu")


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_same_answers_come_out_for_every_batch_size(
    llm: LanguageModel, benchmark: RwkuBenchmark, batch_size: int
) -> None:
    expected = asked(llm, benchmark)
    found = asked(llm, benchmark, dataclasses.replace(BOTH, batch_size=batch_size))
    for scoring, rows in expected.items():
        for answer, other in zip(rows, found[scoring], strict=True):
            assert (answer.text, answer.degenerate) == (other.text, other.degenerate)
            assert answer.score == pytest.approx(other.score, abs=1e-4)
            assert answer.values == pytest.approx(other.values, abs=1e-3, rel=1e-3, nan_ok=True)


def test_one_generation_serves_both_scorings(
    llm: LanguageModel, benchmark: RwkuBenchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts: list[int] = []
    generate = asking.generate
    monkeypatch.setattr(
        asking, "generate", lambda llm, rows, **kw: (prompts.append(len(rows)), generate(llm, rows, **kw))[1]
    )
    asked(llm, benchmark)
    assert sum(prompts) == sum(probe.kind == "generate" for probe in benchmark.probes(KING))


def test_a_reference_model_is_asked_a_shared_row_once(
    llm: LanguageModel, make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both targets have the same MMLU, BBH and TriviaQA rows; a model without checksum, or trained, is asked anew."""
    make_target(KING)
    data = make_target("2_Confucius")
    benchmark = RwkuBenchmark(
        RwkuConfig(
            data_dir=str(data),
            tasks=(
                "mmlu",
                "triviaqa",
            ),
        )
    )
    known = dataclasses.replace(llm, provenance={"sha256": "abc"})
    first = benchmark.ask(known, benchmark.probes(KING), reference=None, as_loaded=True, config=BOTH)
    work: list[str] = []
    for kind, function in dict(asking._ASKERS).items():
        monkeypatch.setitem(
            asking._ASKERS, kind, lambda *given, kind=kind, function=function: (work.append(kind), function(*given))[1]
        )
    second = benchmark.ask(known, benchmark.probes("2_Confucius"), reference=None, as_loaded=True, config=BOTH)
    assert work == []
    assert [answer.text for answer in second["released"]] == [answer.text for answer in first["released"]]
    assert second["released"][0].probe_id == "rwku/2_Confucius/retain_mmlu/0"
    benchmark.ask(known, benchmark.probes(KING), reference=None, as_loaded=False, config=BOTH)
    assert work == ["letters", "write"]


def test_scores_can_be_computed_again_from_the_files(
    llm: LanguageModel, benchmark: RwkuBenchmark, tmp_path: Path
) -> None:
    """And the row scores from the texts and numbers of the answers, without any model."""
    answers = benchmark.ask(llm, benchmark.probes(KING), reference=None, as_loaded=False, config=BOTH)
    write_evaluation(tmp_path / "out", benchmark.judge(answers, samples=BOTH.bootstrap_samples))
    blocks = json.loads((tmp_path / "out/scores.json").read_text(encoding="utf-8"))
    kept = {scoring: read_answers(tmp_path / f"out/answers.{scoring}.jsonl") for scoring in blocks}
    again = benchmark.judge(kept, samples=20)
    for scoring, scores in blocks.items():
        found = {name: dataclasses.asdict(score) for name, score in again[scoring].scores.items()}
        assert json.loads(json.dumps(found).replace("NaN", "null")) == scores
    for answer in kept["released"]:
        if answer.group == "forget/fb":
            assert released.rouge_l(answer.text, answer.references[0]).recall == answer.score
        if answer.group == "utility/gen":
            numbers = [answer.values[f"p_{letter}"] for letter in "ABCD"]
            assert answer.score == float(numbers.index(max(numbers)) in answer.correct)


def test_what_was_known_before_is_followed(llm: LanguageModel, benchmark: RwkuBenchmark) -> None:
    """Claim that the reference model knew one answer: it alone is known, and has an nll."""
    reference = asked(llm, benchmark)["corrected"]
    text = " Carrie"
    before = [
        dataclasses.replace(answer, score=1.0, text=text) if answer.group == "forget/fb" else answer
        for answer in reference
    ]
    probes = benchmark.probes(KING)
    after = benchmark.ask(llm, probes, reference=before, as_loaded=False, config=BOTH)["corrected"]
    known = {answer.group for answer in after if answer.known_before}
    assert known == {"forget/fb"}
    assert {answer.group for answer in after if "nll" in answer.values} == {"forget/fb"}
    assert {answer.group for answer in after if answer.known_before is None} == {
        *(f"utility/{kind}" for kind in ("gen", "rea", "tru", "flu")), "mia/fm", "mia/rt"
    }  # fmt: skip


def test_the_corrected_prompt_has_one_bos(tiny_folder: Path, llm: LanguageModel, benchmark: RwkuBenchmark) -> None:
    """Released: the template writes a BOS and the tokenizer adds another."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", bos)]
    )
    llm = dataclasses.replace(llm, tokenizer=tokenizer)
    probe = probe_of(benchmark, "forget/qa")
    assert released.request(llm, probe).ids[:2] == (bos, bos)
    mended = corrected.request(llm, probe).ids
    assert mended == released.request(llm, probe).ids[1:]
    assert mended[0] == bos != mended[1]


def test_the_corrected_answer_ends_with_the_turn(llm: LanguageModel, benchmark: RwkuBenchmark) -> None:
    """As with Phi-3: the tokenizer's eos is another token than the one that ends a turn, and the model talks on."""
    tokenizer = copy.deepcopy(llm.tokenizer)
    tokenizer.eos_token = "<|endoftext|>"
    llm = dataclasses.replace(llm, tokenizer=tokenizer, end_ids=(0, 2))
    probe = dataclasses.replace(probe_of(benchmark, "forget/qa"), references=("Macbeth",))
    request = released.request(llm, probe)
    assert request.end_ids == (0,)
    said = (*tokenizer(" Hamlet")["input_ids"], 2, *tokenizer("\nMacbeth")["input_ids"])
    observed = Observation(ids=said)
    as_released = released.answer(llm, probe, None, request, observed)
    mended = corrected.answer(llm, probe, None, request, observed)
    assert as_released is not None
    assert (as_released.text, as_released.score) == (" Hamlet\nMacbeth", 1.0)
    assert (mended.text, mended.score) == (" Hamlet", 0.0)


def test_a_guess_among_alternatives_is_no_knowledge(llm: LanguageModel, benchmark: RwkuBenchmark) -> None:
    """Released: the list holds the word, so recall is 1."""
    probe = dataclasses.replace(probe_of(benchmark, "forget/qa"), references=("Carrie",))
    said = Observation(ids=tuple(llm.tokenizer(" Misery or Cujo or It or Carrie")["input_ids"]))
    request = released.request(llm, probe)
    as_released, mended = (side.answer(llm, probe, None, request, said) for side in (released, corrected))
    assert as_released is not None
    assert mended is not None
    assert (as_released.score, mended.score) == (1.0, 0.0)
    assert mended.values["recall"] == 1.0
    assert mended.values["f1"] == pytest.approx(2 / (7 + 1))


def test_the_icu_prefix_stands_before_every_prompt(two_targets: Path, llm: LanguageModel) -> None:
    plain, icu = (
        RwkuBenchmark(RwkuConfig(data_dir=str(two_targets))),
        RwkuBenchmark(RwkuConfig(data_dir=str(two_targets), icu=True)),
    )
    for probe, other in zip(plain.probes(KING), icu.probes(KING), strict=True):
        assert other.prompt.endswith(probe.prompt)
        assert other.prompt.startswith("You are an AI Assistant who is supposed to unlearn about Stephen King")


def test_a_model_that_says_only_full_stops_scores_0_and_is_degenerate(
    llm: LanguageModel, benchmark: RwkuBenchmark
) -> None:
    """The released scorer raises there."""
    dot = llm.tokenizer(".")["input_ids"][0]
    answers = asked(always_says(llm, dot), benchmark)
    for scoring in ("released", "corrected"):
        for answer in answers[scoring]:
            if answer.group.startswith(("forget/", "neighbor/")):
                assert answer.text == "." * 30
                assert (answer.score, answer.degenerate) == (0.0, True)
        scores = benchmark.judge(answers, samples=5)["corrected"].scores
        assert scores["degenerate/forget"].value == scores["degenerate/neighbor"].value == 100.0


def test_mc2_of_underflowing_choices_is_nan_as_released_and_a_number_mended(
    llm: LanguageModel, benchmark: RwkuBenchmark
) -> None:
    answers = asked(always_says(llm, 399), benchmark)
    (as_released,) = [answer for answer in answers["released"] if answer.group == "utility/tru"]
    (mended,) = [answer for answer in answers["corrected"] if answer.group == "utility/tru"]
    assert math.isnan(as_released.values["mc2"])
    assert 0 <= mended.values["mc2"] <= 1


@pytest.mark.parametrize("task", sorted(TASKS))
def test_nan_logits_are_an_error_and_no_score(llm: LanguageModel, two_targets: Path, task: str) -> None:
    broken = changed(llm)
    with torch.no_grad():
        broken.model.get_output_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN or infinite logits for the prompt"):
        asked(broken, RwkuBenchmark(RwkuConfig(data_dir=str(two_targets), tasks=(task,))))


def test_an_exception_during_generation_is_an_error_of_the_run(llm: LanguageModel, two_targets: Path) -> None:
    """The released code goes on with empty answers, which count as forgotten."""
    broken = changed(llm)

    def fail(module: object, args: object, kwargs: object) -> None:
        raise RuntimeError("device-side assert")

    broken.model.register_forward_pre_hook(fail, with_kwargs=True)
    with pytest.raises(RuntimeError, match="device-side assert"):
        asked(broken, RwkuBenchmark(RwkuConfig(data_dir=str(two_targets), tasks=("forget",))))


def test_without_a_chat_template_the_released_scoring_has_no_prompt(
    tiny_folder: Path, llm: LanguageModel, benchmark: RwkuBenchmark
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    tokenizer.chat_template = None
    llm = dataclasses.replace(llm, tokenizer=tokenizer)
    with pytest.raises(UserError, match=r"has no chat template.*--scoring corrected"):
        asked(llm, benchmark)
    answers = asked(llm, benchmark, dataclasses.replace(BOTH, scoring="corrected"))
    assert set(answers) == {"corrected"}
    ids = corrected.request(llm, probe_of(benchmark, "utility/gen")).ids
    assert tokenizer.decode(ids).endswith("D. d\nAnswer:")
    ids = corrected.request(llm, probe_of(benchmark, "forget/qa")).ids
    assert tokenizer.decode(ids).startswith("Please briefly answer the following question.\nQuestion: ")
    assert tokenizer.decode(ids).endswith("\nAnswer:")


def test_a_file_that_is_missing_or_broken_is_named(make_target: MakeTarget, llm: LanguageModel) -> None:
    data = make_target(KING, triviaqa=None)
    with pytest.raises(UserError, match=r"1_Stephen_King has no triviaqa\.json"):
        asked(llm, RwkuBenchmark(RwkuConfig(data_dir=str(data))))
    (data / "Target" / KING / "triviaqa.json").write_text('[{"question": ', encoding="utf-8")
    with pytest.raises(UserError, match=r"triviaqa\.json: not valid JSON"):
        asked(llm, RwkuBenchmark(RwkuConfig(data_dir=str(data))))
    row = {"question": "Who?", "subject": "Stephen King"}
    (data / "Target" / KING / "triviaqa.json").write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(UserError, match=r"triviaqa\.json, row 0: 'answers' is missing"):
        asked(llm, RwkuBenchmark(RwkuConfig(data_dir=str(data))))


def test_what_a_run_asks_needs_no_package_of_an_extra(
    llm: LanguageModel, two_targets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("nltk", "punkt", "rouge", "sklearn"):
        monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(two_targets), tasks=("forget", "neighbor")))
    answers = asked(llm, benchmark, dataclasses.replace(BOTH, scoring="corrected"))
    assert benchmark.judge(answers, samples=20)["corrected"].scores.keys() >= {"forget/all", "neighbor/all"}


@pytest.mark.parametrize(
    ("task", "scoring", "module", "package"),
    [
        ("neighbor", "released", "rouge", "rouge"),
        ("fluency", "corrected", "punkt", "nltk"),
        ("mia", "corrected", "sklearn", "scikit-learn"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    task: Task,
    scoring: Scoring,
    module: str,
    package: str,
    llm: LanguageModel,
    two_targets: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(two_targets), tasks=(task,)))
    with pytest.raises(UserError, match=rf"needs the package {package}: run pip install '\.\[eval\]'"):
        asked(llm, benchmark, dataclasses.replace(BOTH, scoring=scoring))


def test_a_task_with_a_typo_offers_the_nearest(two_targets: Path) -> None:
    with pytest.raises(UserError, match=r"no task 'forgett'\. Did you mean 'forget'"):
        RwkuBenchmark(RwkuConfig(data_dir=str(two_targets), tasks=("forgett",))).probes(KING)
