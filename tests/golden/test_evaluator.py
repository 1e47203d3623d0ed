"""The whole way, from data files over the real model to rows and scores, on a few rows of each golden file.

`make golden` takes every row (minutes).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_agreement import NAMES, Row, compare, golden_probes

from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.config import RwkuConfig
from atu.evaluation.config import EvaluationConfig
from atu.models.language_model import LanguageModel
from atu.records import Answer
from atu.storage.user_files import read_jsonl

pytestmark = pytest.mark.model
TARGET = "1_Stephen_King"
FEW = {"bbh": 3, "fluency": 3, "mmlu": 5, "forget_mia": 3, "retain_mia": 3}


def cost(row: Row) -> int:
    """Tokens to read and write (a written one costs more, and a row in a batch waits for the longest)."""
    read = row.get("prompt_tokens", row.get("text_tokens", 0))
    return read + 20 * len(row.get("new_ids", ()))


@pytest.fixture(scope="module")
def golden(golden_dir: Path) -> dict[str, list[Row]]:
    """The cheapest rows of each file."""
    files = {name: read_jsonl(golden_dir / TARGET / f"{name}.jsonl") for name in NAMES}
    return {name: sorted(rows, key=cost)[: FEW.get(name, 4)] for name, rows in files.items()}


@pytest.fixture(scope="module")
def answers(smollm2: LanguageModel, shared_dir: Path, golden: dict[str, list[Row]]) -> dict[str, dict[str, Answer]]:
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(shared_dir / "rwku")))
    probes = golden_probes(benchmark.probes(TARGET), TARGET, golden)
    config = EvaluationConfig(scoring="both", batch_size=8)
    found = benchmark.ask(smollm2, probes, reference=None, as_loaded=False, config=config)
    return {scoring: {answer.probe_id: answer for answer in rows} for scoring, rows in found.items()}


@pytest.mark.parametrize("name", NAMES)
def test_rows_of_the_released_scoring(
    name: str, golden: dict[str, list[Row]], answers: dict[str, dict[str, Answer]]
) -> None:
    agreement = compare(TARGET, name, golden[name], answers["released"])
    assert agreement.faults == []
    assert agreement.rows == FEW.get(name, 4)
    assert agreement.near_ties <= 1


def test_both_scorings_judge_the_same_texts_of_this_model(answers: dict[str, dict[str, Answer]]) -> None:
    """Its tokenizer adds no BOS and its eos ends a turn, so that one generation serves both."""
    released, corrected = answers["released"], answers["corrected"]
    assert released.keys() == corrected.keys()
    for probe_id, answer in released.items():
        assert corrected[probe_id].text.strip() == answer.text.strip(), probe_id
