"""The GPU bench's step, on the CPU with a tiny model."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch
from memory_model import Shape

TINY = Shape(vocab=200, width=32, inner=64, blocks=4, heads=4, kv_heads=2, head_width=8, tied=True)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("gpu")
    for name, count in (("WARM_UP", 0), ("NUM_FORGET", 16), ("NUM_RETAIN", 24)):  # two default batches
        monkeypatch.setattr(module, name, count)
    return module


def test_the_share_of_the_rate_counts_all_operations(gpu: ModuleType) -> None:
    ways = [gpu.Way("fp32", False, 1), gpu.Way("fp32", False, 2)]
    one, two = gpu.measure("tiny", TINY, torch.device("cpu"), {"fp32": 1e9}, 1, ways)
    operations = [row.of_rate * row.seconds * 1e9 for row in (one, two)]
    # Forward and backward pass of the upper two blocks over 8 and 12 packed texts behind one beginning, at the least.
    tokens = 2 * gpu.HEAD_TOKENS + 20 * gpu.TEXT_TOKENS
    assert operations[0] > 6 * TINY.in_blocks / 2 * tokens
    assert 1.8 < operations[1] / operations[0] < 3  # attention grows faster than the texts
    assert (one.batches, two.batches) == (1, 2)
    assert one.peak_gib is None
