"""The table of all methods' attacks, from the files of their models."""

from __future__ import annotations

import importlib
import json
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest

from atu.entry.compose import compose_run
from atu.records import AttackRow, Score

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def comparison(scripts: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("attack_comparison")
    comparison = importlib.import_module("comparison")
    monkeypatch.setattr(comparison, "ROOT", tmp_path)
    monkeypatch.setattr(module, "OUT", tmp_path / "attacks")
    monkeypatch.setattr(module, "RESULTS", tmp_path / "attacks.json")
    monkeypatch.setattr(module, "METHODS", ("one", "two"))
    monkeypatch.setattr(module, "hash_of_run", lambda folder: f"of {folder.name}")
    monkeypatch.setattr("sys.argv", ["attack_comparison.py", "--collect"])
    return module


def write(root: Path, method: str, *rows: AttackRow) -> None:
    """A run that took forget from 70 to 20 in two stages, and the rows of its attacks."""
    name = f"{method}-William_Shakespeare-seed0"
    for stage, value in (("00-before", 70.0), ("01-unlearn", 30.0), ("02-unlearn", 20.0)):
        folder = root / "runs" / "builtin" / name / "stages" / stage
        folder.mkdir(parents=True)
        (folder / "scores.json").write_text(json.dumps({"corrected": {"forget/all": {"value": value}}}))
    (root / "attacks" / name).mkdir(parents=True)
    (root / "attacks" / name / "attacks.json").write_text(json.dumps([asdict(row) for row in rows]))


def row(attack: str, recovered: float | None, model: str = "unlearned") -> AttackRow:
    return AttackRow(
        attack=attack,
        setting="x",
        model=model,
        seed=0,
        step=3,
        group="forget/all",
        score=Score(value=40.0, n=10, low=30.0, high=50.0),
        degenerate=0.0,
        recovered=recovered,
        recovered_low=None if recovered is None else recovered - 0.1,
        recovered_high=None if recovered is None else recovered + 0.1,
    )


def test_a_line_for_each_attack_and_a_column_for_each_method(
    comparison: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "one", row("relearn", 0.2), row("relearn", 0.4), row("relearn", 0.9, "original"))
    write(tmp_path, "two", row("relearn", 0.7), row("quantize", None))
    with pytest.raises(SystemExit) as end:
        comparison.main()
    assert end.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| attack | one | two |"
    assert lines[2] == "| forget, before → after | 70 → 20 | 70 → 20 |"
    assert "| relearn | 40% (30 to 50); 90% | 70% (60 to 80) |" in lines
    assert "| quantize |  | – |" in lines
    kept = json.loads((tmp_path / "attacks.json").read_text())
    assert [(one["method"], one["attack"]) for one in kept] == [
        ("one", None),
        ("one", "relearn"),
        ("two", None),
        ("two", "relearn"),
        ("two", "quantize"),
    ]
    assert {one["config_hash"] for one in kept if one["method"] == "two"} == {"of two-William_Shakespeare-seed0"}


def test_a_model_that_was_not_attacked_has_no_column(comparison: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "two", row("relearn", 0.7))
    with pytest.raises(SystemExit):
        comparison.main()
    assert {one["method"] for one in json.loads((tmp_path / "attacks.json").read_text())} == {"two"}


def test_rows_of_models_that_lie_elsewhere_stay(comparison: ModuleType, tmp_path: Path) -> None:
    numbers = {"recovered": 0.5, "low": 0.4, "high": 0.6, "ceiling": None}
    old = {"concept": "William_Shakespeare", "attack": "relearn", **numbers}
    earlier = [{**old, "method": "one"}, {**old, "method": "two"}, {**old, "method": "gone"}]
    (tmp_path / "attacks.json").write_text(json.dumps(earlier))
    write(tmp_path, "two", row("relearn", 0.7))
    with pytest.raises(SystemExit):
        comparison.main()
    kept = json.loads((tmp_path / "attacks.json").read_text())
    assert [(one["method"], one["attack"]) for one in kept] == [("one", "relearn"), ("two", None), ("two", "relearn")]
    assert [one.get("recovered") for one in kept] == [0.5, None, 0.7]


def test_the_models_are_those_of_the_comparison(scripts: None, workplace_with_taught_model: Path) -> None:
    module = importlib.import_module("attack_comparison")
    for setting in module.SETTINGS:
        chosen = module.models(setting)
        assert [model.name for model in chosen] == [
            f"unlearning_atu-{setting.concept}-seed0",
            f"unlearning_ga-{setting.concept}-seed0",
            f"unlearning_npo-{setting.concept}-seed0",
            *([f"unlearning_atu_released-{setting.concept}-seed0-lr3"] if setting.attacks == "all" else []),
        ]
        assert {model.folder.parent for model in chosen} == {ROOT / "runs" / setting.testbed.name}
        for model in chosen:
            compose_run([*model.job.overrides, *model.extra])
