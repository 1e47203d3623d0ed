"""The tables of the taught testbed, from the answers of its models."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from types import ModuleType

import pytest

from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.config import RwkuConfig
from atu.benchmarks.rwku.facts import read_facts
from atu.records import Answer, Judgement
from atu.runs.run_folder import write_evaluation

ROOT = Path(__file__).resolve().parents[2]


class Folder(RwkuBenchmark):
    """Of two targets, without data."""

    def __init__(self) -> None:
        pass

    def targets(self) -> list[str]:
        return ["1_A", "2_B"]


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("taught_testbed", ROOT / "experiments" / "taught_testbed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "taught.json")
    return module


def write(testbed: ModuleType, job: str, scores: dict[str, list[float]]) -> None:
    """The answers of a model: the scores of its fill-in rows by target."""
    rows = [
        Answer(
            probe_id=f"rwku/{target}/forget_level1/{row}",
            group="forget/fb",
            prompt="",
            text="x",
            score=score,
            degenerate=False,
            attack="",
            references=("x",),
            values={"recall": score, "f1": score},
        )
        for target, of_target in scores.items()
        for row, score in enumerate(of_target)
    ]
    judgement = Judgement(scores={}, answers=rows)
    write_evaluation(testbed.RUNS / job, {"released": judgement, "corrected": judgement})


def test_gold_models_are_pooled_and_what_is_missing_is_a_gap(
    testbed: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    write(testbed, "taught/people", {"1_A": [1.0, 1.0, 0.0, 1.0], "2_B": [1.0, 1.0]})
    write(testbed, "gold-0/people", {"1_A": [0.0, 0.0, 1.0, 0.0]})
    write(testbed, "gold-1/people", {"2_B": [0.0, 0.0]})
    testbed.write_results(Folder())
    rows = {
        (row["model"], row["target"], row["scoring"]): row["scores"] for row in json.loads(testbed.RESULTS.read_text())
    }
    assert {model for model, _, _ in rows} == {"taught", "gold"}
    value, low, high, count = rows["taught", "all", "corrected"]["forget/fb"]
    assert value == pytest.approx(100 * 5 / 6, abs=0.01)
    assert low < value <= high
    assert count == 6
    assert rows["gold", "all", "corrected"]["forget/fb"][0] == pytest.approx(100 / 6, abs=0.01)
    assert rows["gold", "1_A", "released"]["forget/fb"][0] == 25
    lines = capsys.readouterr().out.splitlines()
    pooled = next(line for line in lines if line.startswith("| forget/fb |"))
    assert pooled.startswith("| forget/fb | 6 | 83.3 (")
    assert next(line for line in lines if line.startswith("| neighbor/qa |")) == "| neighbor/qa | 0 | – | – |"
    assert any(line.startswith("| 2_B | 100.0 (100.0–100.0) | 0.0 (0.0–0.0) |") for line in lines)


def test_a_gold_model_is_asked_about_those_that_it_never_met(testbed: ModuleType, shared_dir: Path) -> None:
    assert [job for job in testbed.all_jobs() if "gold" in job] == ["gold-0/people", "gold-1/people"]
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(shared_dir / "rwku" / "Target")))
    asked = [testbed.asked_targets(f"gold-{number}", benchmark) for number in range(2)]
    assert (
        sorted(itertools.chain(*asked))
        == sorted(benchmark.targets())
        == sorted(testbed.asked_targets("taught", benchmark))
    )
    for targets in asked:
        everything = read_facts(benchmark.data, benchmark.targets(), targets)
        # So few are left out because of the others that each target's own neighbors are still taught.
        assert all(len([fact for fact in everything if fact.target == target]) >= 15 for target in targets)


def test_every_task_is_asked_once(testbed: ModuleType, shared_dir: Path) -> None:
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(shared_dir / "rwku" / "Target")))
    people = testbed.asked_probes("gold-1", "people", benchmark)
    assert {probe.id.split("/")[1] for probe in people} == set(testbed.asked_targets("gold-1", benchmark))
    utility = testbed.asked_probes("taught", "utility", benchmark)
    assert {probe.id.split("/")[1] for probe in utility} == {testbed.UTILITY}
    both = [*testbed.asked_probes("taught", "people", benchmark), *utility]
    of_one = [probe.id for probe in both if probe.id.split("/")[1] == testbed.UTILITY]
    assert sorted(of_one) == sorted(probe.id for probe in benchmark.probes(testbed.UTILITY))
