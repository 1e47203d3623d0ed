"""tools/record_runs.py: two recordings of the same code are equal, and a number that differs is named."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "tools" / "record_runs.py"


@pytest.fixture
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("record_runs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_tiny_run_is_recorded_and_what_differs_is_named(
    tool: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = dict(tool.record(tmp_path, ["unlearning_ga"], None, 1))
    (numbers,) = parts.values()
    assert "failed" not in numbers
    losses = [key for key in numbers if key.endswith("/train/loss/value")]
    assert len(losses) == 2  # of two stages of one step
    assert len(numbers["model/model.safetensors"]) == 64
    assert any(key.startswith("stages/02-unlearn/answers.corrected.jsonl/") for key in numbers)

    assert tool.compare(parts, parts) == 0
    assert capsys.readouterr().out == "unlearning_ga: equal\n"
    other = copy.deepcopy(parts)
    other["unlearning_ga"][losses[0]] += 1e-9
    assert tool.compare(parts, other) == 1
    said = capsys.readouterr().out
    assert said.startswith(f"unlearning_ga: 1 of {len(numbers)} values differ\n  {losses[0]}: ")


def test_every_task_of_the_config_is_played(tool: ModuleType) -> None:
    assert {"unlearning_atu", "unlearning_atu_released", "unlearning_rmu"} <= set(tool.TASKS)
