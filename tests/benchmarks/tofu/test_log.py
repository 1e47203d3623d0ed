"""The reference implementation's logs: its aggregates come out of its rows, and written anew they are the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from atu.benchmarks.gold import gold_sha256
from atu.benchmarks.tofu.benchmark import TofuBenchmark
from atu.benchmarks.tofu.config import TofuConfig
from atu.benchmarks.tofu.gold import gold_of
from atu.benchmarks.tofu.log import EVAL_FILE, answers_of_log, log_files
from atu.benchmarks.tofu.summary import tofu_scores
from atu.errors import UserError
from atu.records import Probe

ROWS = {"forget": 24, "retain": 12, "real_authors": 12, "world_facts": 12, "members": 12, "others": 12}


@pytest.fixture(scope="module")
def probes(shared_dir: Path) -> list[Probe]:
    """Those that the logs have rows for."""
    if not (shared_dir / "tofu").is_dir():
        pytest.skip(f"no TOFU files at {shared_dir / 'tofu'}")
    found = TofuBenchmark(TofuConfig(split="forget01", data_dir=str(shared_dir / "tofu"))).probes("forget01")
    return [probe for probe in found if int(probe.id.split("/")[3]) < ROWS[probe.id.split("/")[2]]]


def read(golden: Path, name: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads((golden / "out" / f"{name}.eval.json").read_text())
    return log


def path(golden: Path, name: str) -> Path:
    return golden / "out" / f"{name}.eval.json"


@pytest.mark.parametrize("name", ["taught_a", "base_a", "taught_b", "base_b"])
def test_aggregates_and_rows_come_out_again(tofu_golden: Path, probes: list[Probe], name: str) -> None:
    """All 31 aggregates of both models, and every number of every row."""
    expected = read(tofu_golden, name)
    rows = answers_of_log(path(tofu_golden, name), probes)
    gold = gold_of(str(path(tofu_golden, f"retain_{name[-1]}")), rows, "released")
    scores = tofu_scores(rows, gold, samples=10, is_released=True)
    written = log_files(rows, scores)["TOFU_EVAL.json"]
    assert written.keys() | {"mia_reference"} == expected.keys() | {"mia_reference"}
    for metric, content in expected.items():
        if metric == "mia_reference":  # it needs the losses of the gold model, which its log does not have
            continue
        assert written[metric]["agg_value"] == pytest.approx(content["agg_value"], rel=1e-7, abs=1e-12), metric
        for own, other in (
            (written[metric], content),
            *((written[metric][side], content[side]) for side in ("forget", "holdout") if side in content),
        ):
            for number, row in other.get("value_by_index", {}).items():
                check_row(own["value_by_index"][number], row)
    assert list(written) == sorted(written)


def check_row(own: dict[str, Any], row: dict[str, Any]) -> None:
    for key, value in row.items():
        if key == "prob":  # the reference implementation's exp is of float32
            assert own[key] == pytest.approx(value, rel=1e-6)
        elif key == "input":  # the question alone
            assert own[key] in value
        else:
            assert own[key] == value


def test_no_gold_model(tofu_golden: Path, probes: list[Probe]) -> None:
    """As there: no forget quality, and privleak as if the gold model's AUC were 0.5."""
    rows = answers_of_log(path(tofu_golden, "base_b"), probes)
    scores = tofu_scores(rows, None, samples=10, is_released=True)
    auc = read(tofu_golden, "base_b")["mia_min_k"]["agg_value"]
    assert scores["privacy/leak"].value == pytest.approx(100 * ((1 - auc) - 0.5) / 0.5)
    forget = answers_of_log(path(tofu_golden, "base_a"), probes)
    scores = tofu_scores(forget, None, samples=10, is_released=True)
    assert "tofu/forget_quality" not in scores
    files = log_files(forget, scores)
    assert files["TOFU_EVAL.json"]["forget_quality"] == {"agg_value": None}
    assert "forget_quality" not in files["TOFU_SUMMARY.json"]
    assert files["TOFU_SUMMARY.json"]["model_utility"] == pytest.approx(0.185286, abs=1e-6)


def test_a_log_of_some_metrics(tofu_golden: Path, probes: list[Probe], tmp_path: Path) -> None:
    """It has probabilities of the true answers alone, and one row is no number."""
    log = read(tofu_golden, "taught_plain")
    del log["exact_memorization"]
    log["forget_Q_A_Prob"]["value_by_index"]["3"]["avg_loss"] = math.nan
    file = tmp_path / "some.json"
    file.write_text(json.dumps(log))
    rows = answers_of_log(file, probes)
    scores = tofu_scores(rows, None, samples=5, is_released=True)
    assert scores["tofu/forget_Q_A_Prob"].n == 23
    assert scores["memorization/strength"].value == pytest.approx(100 * log["extraction_strength"]["agg_value"])
    assert not {"tofu/forget_truth_ratio", "tofu/model_utility", "memorization/exact"} & scores.keys()
    written = log_files(rows, scores)["TOFU_EVAL.json"]
    assert written.keys() == log.keys() | {"forget_quality"}


def test_a_log_is_no_gold_model_for_corrected_scores(tofu_golden: Path, probes: list[Probe]) -> None:
    assert gold_of(str(path(tofu_golden, "retain_a")), probes, "corrected") is None


def refused(call: Any) -> str:
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value)


def test_gold_models_that_do_not_fit(tofu_golden: Path, probes: list[Probe], tmp_path: Path) -> None:
    forget = [probe for probe in probes if probe.group == "forget/qa"]
    log = read(tofu_golden, "retain_a")
    without = tmp_path / "without.json"
    without.write_text(json.dumps({name: value for name, value in log.items() if name != "forget_truth_ratio"}))
    assert "without.json has no truth ratios of the forget rows" in refused(
        lambda: gold_of(str(without), forget, "released")
    )
    assert "has 24 rows for 'forget/qa', where 7 are asked: it is of another split" in refused(
        lambda: gold_of(str(path(tofu_golden, "retain_a")), forget[:7], "released")
    )
    other = tmp_path / "other.json"
    texts = read(tofu_golden, "taught_a")
    texts["forget_Q_A_ROUGE"]["value_by_index"]["3"]["ground_truth"] = "Nobody."
    other.write_text(json.dumps(texts))
    assert "is of another split or data set: its true answer of row 3 is 'Nobody.'" in refused(
        lambda: gold_of(str(other), forget, "released")
    )
    log["forget_truth_ratio"]["value_by_index"]["3"]["score"] = "low"
    other.write_text(json.dumps(log))
    assert "'score' of row 3 is not a number" in refused(lambda: gold_of(str(other), forget, "released"))


def test_files_that_are_no_logs(tmp_path: Path, probes: list[Probe]) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"accuracy": 1}')
    assert "other.json is no TOFU_EVAL.json: it has no metric of TOFU" in refused(lambda: answers_of_log(file, probes))
    file.write_text("[1]")
    assert "expected a JSON object" in refused(lambda: answers_of_log(file, probes))
    assert "There is no file" in refused(lambda: gold_sha256(str(tmp_path / "none.json"), EVAL_FILE))
    assert (
        "holds no evaluation of a gold model: there is neither answers.corrected.jsonl nor TOFU_EVAL.json"
        in refused(lambda: gold_sha256(str(tmp_path), EVAL_FILE))
    )
