"""Every hand-made case that was run through the released scoring functions (golden/scorers.json)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from printed_scores import printed
from transformers import PreTrainedTokenizerBase

from atu.benchmarks.rwku import released_scorers as released
from atu.benchmarks.rwku.fluency import ngram_entropy, token_fluency, word_tokens
from atu.benchmarks.rwku.membership import SHARES, released_membership
from atu.benchmarks.rwku.rows import Choices, TruthfulRow
from atu.evaluation.likelihood import TokenStatistics

Case = dict[str, Any]


@pytest.fixture(scope="module")
def cases(golden_dir: Path) -> dict[str, list[Case]]:
    return json.loads((golden_dir / "scorers.json").read_text(encoding="utf-8"))


def number(value: float | str) -> float:
    return float(value)  # "nan" is written as a string


def approx(value: float | str, tolerance: float = 1e-9) -> Any:
    return pytest.approx(number(value), abs=tolerance, rel=0, nan_ok=True)


def test_rouge_l(cases: dict[str, list[Case]]) -> None:
    assert len(cases["rouge_l"]) == 88
    for case in cases["rouge_l"]:
        score = released.rouge_l(case["completion"], case["reference"])
        if "exception" in case:  # the released code stops there; ours gives 0 and says so
            assert (score.recall, score.degenerate) == (0.0, True), case
            continue
        assert released.strip_completion(case["completion"]) == case["prediction"]
        found = (score.recall, score.precision, score.f1)
        assert found == pytest.approx([case["rouge_l_r"], case["rouge_l_p"], case["rouge_l_f"]], abs=1e-9), case
        assert not score.degenerate


def test_rouge_l_level_mean(cases: dict[str, list[Case]]) -> None:
    means = []
    for case in cases["rouge_l_level_mean"]:
        pairs = zip(case["completions"], case["references"], strict=True)
        scores = [released.rouge_l(*pair) for pair in pairs]
        means.append(fmean(score.recall for score in scores) if scores else math.nan)
        if "exception" in case:
            assert not scores or any(score.degenerate for score in scores)
        else:
            assert means[-1] == approx(case["level_rouge_l_r"])
    # Three levels stop the released code: "..." beside a right answer, a reference "...", no row at all.
    assert means[1:] == pytest.approx([0.5, 0.5, math.nan], nan_ok=True)


def test_bbh_match(cases: dict[str, list[Case]]) -> None:
    assert len(cases["bbh_em"]) == 59
    for case in cases["bbh_em"]:
        score = released.bbh_match(case["completion"], case["answer"])
        if "exception" in case:
            assert (score.exact, score.degenerate) == (0.0, True), case
            continue
        assert released.bbh_prediction(case["completion"]) == case["prediction"], case
        assert score.exact == case["em_released"], case
        assert released.bbh_match_fixed(case["completion"], case["answer"]).exact == case["em_fixed"], case


def test_trivia_match(cases: dict[str, list[Case]]) -> None:
    assert len(cases["triviaqa_f1"]) == 33
    for case in cases["triviaqa_f1"]:
        score = released.trivia_match(case["completion"], case["answers"])
        if "exception" in case:
            assert (score.exact, score.f1, score.degenerate) == (0.0, 0.0, True), case
            continue
        assert (score.exact, score.f1) == (case["em"], approx(case["f1"])), case


def test_normalized_tokens(cases: dict[str, list[Case]]) -> None:
    assert len(cases["normalised_tokens"]) == 20
    for case in cases["normalised_tokens"]:
        assert released.normalized_tokens(case["text"]) == case["tokens"]


def test_entropy(cases: dict[str, Any]) -> None:
    assert (len(cases["entropy_tokens"]), len(cases["entropy_text"])) == (16, 13)
    for case in cases["entropy_tokens"]:
        fluency = token_fluency(case["tokens"])
        assert (fluency.h2, fluency.h3, fluency.score) == (
            approx(case["h2"]),
            approx(case["h3"]),
            approx(case["score"]),
        )
    lists = cases["entropy_mean"]["token_lists"]
    mean = sum(token_fluency(tokens).score for tokens in lists) / len(lists)
    assert mean == approx(cases["entropy_mean"]["entropy"])


def test_entropy_of_texts(cases: dict[str, list[Case]]) -> None:
    for case in cases["entropy_text"]:
        tokens = word_tokens(case["text"])
        assert tokens == case["tokens"]
        assert ngram_entropy(tokens, 2) == approx(case["h2"])
        assert token_fluency(tokens).score == approx(case["score"])


def test_truthfulqa(cases: dict[str, list[Case]]) -> None:
    assert len(cases["truthfulqa"]) == 7
    for case in cases["truthfulqa"]:
        mc1, mc2 = (Choices(**case[key]) for key in ("mc1_targets", "mc2_targets"))
        row = TruthfulRow(question="?", mc1=mc1, mc2=mc2)
        assert released.truthful_mc1(row, case["scores"]) == case["mc1"], case
        assert released.truthful_mc2(row, case["scores"]) == approx(case["mc2"]), case


def token_statistics(ids: list[int], logits: list[list[float]]) -> TokenStatistics:
    """From the logits after each token of a text, in float64."""
    values = np.array(logits)[:-1]
    logprobs = values - np.log(np.exp(values).sum(-1, keepdims=True))
    means = (np.exp(logprobs) * logprobs).sum(-1)
    spreads = np.sqrt((np.exp(logprobs) * logprobs**2).sum(-1) - means**2)
    chosen = logprobs[np.arange(len(ids) - 1), ids[1:]]
    return TokenStatistics(logprobs=tuple(chosen), means=tuple(means), spreads=tuple(spreads), right=())


def test_membership(cases: dict[str, list[Case]]) -> None:
    assert len(cases["mia"]) == 6
    for case in cases["mia"]:
        found = released_membership(case["text"], token_statistics(case["ids"], case["logits"]))
        assert (found is None) == case["skipped"]
        if found is None:
            continue
        assert found.loss == approx(case["loss"], 1e-5)
        assert found.zlib == approx(case["zlib"], 1e-5)
        assert found.mink == pytest.approx([number(case["scores"][f"mink_{k}"]) for k in SHARES], abs=1e-5, nan_ok=True)
        if case["text"] != "uniform":  # no spread: the reference is rounding noise
            plus = [number(case["scores"][f"mink++_{k}"]) for k in SHARES]
            assert found.minkpp == pytest.approx(plus, abs=1e-5, nan_ok=True)
            assert found.get("mink++") == approx(case["mink20_field"], 1e-5)


@pytest.mark.model
def test_completion_cut(cases: dict[str, list[Case]], smollm2_tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(cases["completion_cut"]) == 13
    for case in cases["completion_cut"]:
        if case["new_ids"] is None:  # generation raised: the released code goes on with "", ours stops the run
            assert case["completion"] == ""
            continue
        prompt_ids = smollm2_tokenizer(case["prompt"])["input_ids"]
        text = released.cut_completion(smollm2_tokenizer, prompt_ids, case["new_ids"], case["stop_ids"])
        assert text == case["completion"], case


def test_report(cases: dict[str, Any]) -> None:
    inputs, outputs = cases["report"]["inputs"], cases["report"]["outputs"]
    names = [name.removeprefix("eval/") for name in outputs if name.startswith("eval/") and "stage" not in name]
    means = {name: outputs[f"eval/{name}"] for name in names}
    assert means["mia/fm"] == inputs["fm"][0]
    expected = {
        name.removeprefix("report/"): value
        for name, value in outputs.items()
        if name.startswith("report/") and "stage" not in name
    }
    found = printed(means)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)
