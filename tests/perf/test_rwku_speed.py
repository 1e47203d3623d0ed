"""The arithmetic beside the evaluator's times, by hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from atu.benchmarks.rwku.asking import Observation, Request
from atu.benchmarks.rwku.prompts import TASKS

PERF = Path(__file__).resolve().parents[2] / "perf"


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(PERF), *sys.path])
    return importlib.import_module("rwku_speed")


def test_tokens_of_written_answers(speed: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(speed.BATCH_SIZES, "fluency", 2)
    ((_, group, _),) = TASKS["fluency"]
    long, short, other = (Request(kind="write", ids=ids) for ids in ((1, 2, 3, 4), (1, 2), (9,)))
    found = {long: Observation(ids=(5,)), short: Observation(ids=(3, 7, 7)), other: Observation(ids=(6,))}
    computed, least = speed._tokens("fluency", [(request, group) for request in (long, short, other)], found)
    assert computed == 2 * (4 + 3) + 1 * (1 + 1)  # a batch has the width of its longest, and runs until its last ends
    # 1 2 3 | 4 5 | 7 7 | 9 6
    assert least == 3 + 2 + 2 + 2


def test_tokens_of_choices(speed: ModuleType) -> None:
    ((_, group, _),) = TASKS["truthful"]
    request = Request(kind="choices", ids=(1, 2, 3), options=((4,), (4, 5), (6, 7, 8)))
    computed, least = speed._tokens("truthful", [(request, group)], {request: Observation()})
    assert computed == 3 * 6  # each choice with its whole prompt, padded to the longest
    assert least == 3 + 2 + 3
