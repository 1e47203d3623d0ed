"""All rows of the golden target that need no model: rendered prompts, their ids, cuts and row scores."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from printed_scores import printed
from transformers import PreTrainedTokenizerBase

from atu.benchmarks.rwku import released_scorers as released
from atu.benchmarks.rwku.files import TRUTHFUL
from atu.benchmarks.rwku.fluency import text_fluency
from atu.benchmarks.rwku.prompts import TASKS, build_probes, join_answer_prefix
from atu.benchmarks.rwku.reader import RwkuData
from atu.evaluation.membership import zlib_bytes
from atu.records import Probe
from atu.storage.user_files import read_jsonl

TARGET = "1_Stephen_King"
DATA_FILES = {"mmlu": "retain_mmlu", "bbh": "retain_bbh", "bbh_prompts": "retain_bbh"}
ROWS = {
    "forget_level1": 8,
    "forget_level2": 10,
    "forget_level3": 29,
    "neighbor_level1": 30,
    "neighbor_level2": 30,
    "mmlu": 171,
    "bbh": 8,
    "bbh_prompts": 81,
    "truthful": 50,
    "triviaqa": 100,
    "fluency": 50,
    "forget_mia": 55,
    "retain_mia": 37,
}
SUMMARY_NAMES = {"mia/rt": "mia_rm"}
GENERATED = ("forget_level1", "forget_level2", "forget_level3", "neighbor_level1", "neighbor_level2")

Row = dict[str, Any]
ReadRows = Callable[[str], list[Row]]


@pytest.fixture(scope="module")
def data(shared_dir: Path) -> RwkuData:
    return RwkuData(shared_dir / "rwku")


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> ReadRows:
    return lambda name: read_jsonl(golden_dir / TARGET / f"{name}.jsonl")


def by_id(data: RwkuData, *, icu: bool) -> dict[str, Probe]:
    return {probe.id: probe for probe in build_probes(data, TARGET, list(TASKS), icu=icu)}


def check_prompt(tokenizer: PreTrainedTokenizerBase, probe: Probe, row: Row) -> None:
    if probe.kind == "likelihood":
        text, key, count = probe.prompt, "text", "text_tokens"
        assert zlib_bytes(text) == row["zlib_bytes"]
    else:
        turns = [{"role": "user", "content": probe.prompt}]
        rendered = str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
        text, key, count = join_answer_prefix(probe, rendered), "prompt", "prompt_tokens"
    if key in row:
        assert text == row[key]
    else:
        assert (len(text), text[-200:]) == (row["prompt_chars"], row["prompt_tail"])
        assert sha256(text) == row["prompt_sha256"]
    ids = tokenizer(text)["input_ids"]
    assert len(ids) == row[count]
    assert sha256(",".join(map(str, ids))) == row[f"{key}_ids_sha256"]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@pytest.mark.model
def test_rendered_prompts_of_every_row(
    data: RwkuData, golden: ReadRows, smollm2_tokenizer: PreTrainedTokenizerBase
) -> None:
    probes = by_id(data, icu=False)
    for name, count in ROWS.items():
        rows = golden(name)
        assert len(rows) == count
        for row in rows:
            probe = probes[f"rwku/{TARGET}/{DATA_FILES.get(name, name)}/{row['row']}"]
            check_prompt(smollm2_tokenizer, probe, row)


@pytest.mark.model
def test_rendered_prompts_with_the_icu_prefix(
    data: RwkuData, golden: ReadRows, smollm2_tokenizer: PreTrainedTokenizerBase
) -> None:
    probes = by_id(data, icu=True)
    rows = golden("icu_prompts")
    assert len(rows) == 14
    for row in rows:
        probe = probes[f"rwku/{TARGET}/{DATA_FILES.get(row['task'], row['task'])}/{row['row']}"]
        check_prompt(smollm2_tokenizer, probe, row)


@pytest.mark.model
def test_stop_ids_and_limits_are_those_that_the_released_code_used(
    data: RwkuData, golden_dir: Path, smollm2_tokenizer: PreTrainedTokenizerBase
) -> None:
    used = json.loads((golden_dir / TARGET / "summary.json").read_text(encoding="utf-8"))["batch"]
    for task in ("forget", "neighbor", "bbh", "triviaqa", "fluency"):
        listed = used[task]["stop_ids"]
        expected = None if listed is None else tuple(stop for (stop,) in listed)
        assert released.stop_ids(smollm2_tokenizer, task) == expected
        limits = {probe.max_new_tokens for probe in build_probes(data, TARGET, [task])}
        assert limits == {used[task]["gen_kw"]["max_new_tokens"]}


@pytest.mark.model
@pytest.mark.parametrize("name", [*GENERATED, "bbh", "triviaqa", "fluency"])
def test_completions_cut_from_the_generated_ids(
    name: str, golden: ReadRows, smollm2_tokenizer: PreTrainedTokenizerBase
) -> None:
    stops = released.stop_ids(smollm2_tokenizer, name.split("_")[0])
    for row in golden(name):
        if "prompt" not in row:  # long prompts are stored as a checksum alone
            continue
        ids = smollm2_tokenizer(row["prompt"])["input_ids"]
        new_ids = row["new_ids"] + ([row["stop_id"]] if row["stop_id"] is not None else [])
        assert released.cut_completion(smollm2_tokenizer, ids, new_ids, stops) == row["completion"], row["row"]


@pytest.mark.parametrize("name", GENERATED)
def test_rouge_of_every_completion(name: str, golden: ReadRows) -> None:
    for row in golden(name):
        score = released.rouge_l(row["completion"], row["answer"])
        assert released.strip_completion(row["completion"]) == row["prediction"]
        expected = (row["rouge_l_r"], row["rouge_l_p"], row["rouge_l_f"])
        assert (score.recall, score.precision, score.f1) == pytest.approx(expected, abs=1e-9)


def test_bbh_of_every_completion(golden: ReadRows) -> None:
    for row in golden("bbh"):
        assert released.bbh_prediction(row["completion"]) == row["prediction"]
        assert released.bbh_match(row["completion"], row["answer"]).exact == row["em_released"]
        assert released.bbh_match_fixed(row["completion"], row["answer"]).exact == row["em_fixed"]


def test_triviaqa_of_every_completion(golden: ReadRows) -> None:
    for row in golden("triviaqa"):
        score = released.trivia_match(row["completion"], row["answers"])
        assert (score.exact, score.f1) == (row["em"], pytest.approx(row["f1"], abs=1e-9))


def test_fluency_of_every_completion(golden: ReadRows) -> None:
    for row in golden("fluency"):
        fluency = text_fluency(row["completion"])
        found = (fluency.h2, fluency.h3, fluency.score)
        assert found == pytest.approx((row["h2"], row["h3"], row["score"]), abs=1e-9)


def test_truthfulqa_of_every_row(data: RwkuData, golden: ReadRows) -> None:
    questions = data.read(TARGET, TRUTHFUL)
    for row in golden("truthful"):
        logprobs = {choice["choice"]: choice["logprob"] for choice in row["choices"]}
        question = questions[row["row"]]
        assert list(logprobs) == list(question.mc2.choices)
        assert released.truthful_mc1(question, logprobs) == row["mc1"]
        # The stored log-probabilities are rounded to 9 digits.
        assert released.truthful_mc2(question, logprobs) == pytest.approx(row["mc2"], abs=1e-6)


def test_report_from_the_rows(golden: ReadRows, golden_dir: Path) -> None:
    """The printed table, from the completions and the stored row numbers of each file."""
    expected = json.loads((golden_dir / TARGET / "summary.json").read_text(encoding="utf-8"))["report_x100"]
    means = {
        "forget/fb": recall(golden("forget_level1")),
        "forget/qa": recall(golden("forget_level2")),
        "forget/aa": recall(golden("forget_level3")),
        "neighbor/fb": recall(golden("neighbor_level1")),
        "neighbor/qa": recall(golden("neighbor_level2")),
        "mia/fm": fmean(column(golden("forget_mia"), "loss")),
        "mia/rt": fmean(column(golden("retain_mia"), "loss")),
        "utility/fac": fmean(column(golden("triviaqa"), "f1")),
        "utility/flu": fmean(text_fluency(row["completion"]).score for row in golden("fluency")),
        "utility/tru": fmean(column(golden("truthful"), "mc1")),
    }
    found = printed(means)
    for name in (*means, "forget/all", "neighbor/all"):
        # The stored losses are rounded to 9 digits.
        assert found[name] == pytest.approx(expected[SUMMARY_NAMES.get(name, name.replace("/", "_"))], abs=1e-6), name


def recall(rows: Sequence[Row]) -> float:
    return fmean(released.rouge_l(row["completion"], row["answer"]).recall for row in rows)


def column(rows: Sequence[Row], name: str) -> Iterator[float]:
    return (row[name] for row in rows)
