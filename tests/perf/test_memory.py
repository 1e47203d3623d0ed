"""The memory model: sizes counted by hand, and a real step's peak within a tenth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from memory_model import BatchSize, Setup, Shape, block_bytes, estimate, moment_bytes, trained_parameters

ROOT = Path(__file__).resolve().parents[2]
# Llama 3.2 1B: 1,235,814,400 weights according to its model card's files.
LLAMA_1B = Shape(vocab=128_256, width=2048, inner=8192, blocks=16, heads=32, kv_heads=8, head_width=64, tied=True)
TINY = Shape(vocab=100, width=8, inner=16, blocks=2, heads=2, kv_heads=1, head_width=4, tied=False)
NOTHING = BatchSize(forget_tokens=0, retain_tokens=0, forget_scored=0, retain_scored=0)


def test_the_number_of_weights_is_the_models() -> None:
    assert LLAMA_1B.parameters == 1_235_814_400
    # a block: q 8*8, k and v 8*4 each, o 8*8, MLP 3*8*16; two blocks; norms 5*8; embedding and head 800 each
    assert TINY.parameters == 2 * (64 + 32 + 32 + 64 + 384) + 40 + 1600


def test_what_stands_still_costs_its_weights_alone() -> None:
    memory = estimate(TINY, Setup(), NOTHING)
    moving = 2 * 576 + 40
    assert memory.weights == 4 * (moving + 1600 + 800)  # and the frozen copy of the head
    assert memory.gradients == 4 * moving
    assert memory.optimizer == 8 * moving
    # rank * (inputs + outputs): q 16, k 12, v 12, o 16, gate, up and down 24 each
    assert trained_parameters(TINY, Setup(rank=3)) == 2 * 3 * (16 + 12 + 12 + 16 + 3 * 24)
    adapters = estimate(TINY, Setup(rank=3, weights="nf4"), NOTHING)
    assert adapters.weights == 2 * 576 * 0.5625 + 4 * (40 + 1600 + 800) + 4 * 768
    assert adapters.optimizer == 8 * 768


def test_what_a_block_keeps_of_a_token() -> None:
    # Both norms 3 * 8 each, q and the attention's output 8 each, k and v 4 each, MLP 4 * 16: 136 numbers of 4 bytes;
    # two heads' log-sum-exp and the scales of two norms.
    assert block_bytes(TINY, Setup()) == 4 * 136 + 4 * 4


def test_a_subspace_trains_outputs_alone_and_keeps_no_inputs() -> None:
    setup = Setup(rank=3, subspace=True)
    # rank * outputs: q 8, k and v 4 each, o 8, gate and up 16 each, down 8
    assert trained_parameters(TINY, setup) == 2 * 3 * (8 + 4 + 4 + 8 + 16 + 16 + 8)
    memory = estimate(TINY, setup, NOTHING)
    assert memory.weights == estimate(TINY, Setup(rank=3), NOTHING).weights
    assert memory.gradients == 4 * 384
    # The norms' inputs, q, k, v and the attention's output, gate before and after its function and up; A x of 7 layers.
    assert block_bytes(TINY, Setup(rank=1, subspace=True)) == 4 * (2 * 8 + 24 + 3 * 16 + 7) + 4 * 4


def test_second_moments_of_a_block() -> None:
    # Of what q, k and v, o, and gate and up read, 8 numbers each, and of down's 16; of forget and of retain texts.
    assert moment_bytes(TINY) == (2 * 4 * 3 * 64, 2 * 4 * (3 * 64 + 256))


def test_activations_grow_with_the_tokens_and_checkpointing_keeps_a_row_a_block() -> None:
    def activations(tokens: int, *, checkpointing: bool) -> float:
        batch = BatchSize(forget_tokens=tokens, retain_tokens=0, forget_scored=0, retain_scored=0)
        return estimate(TINY, Setup(checkpointing=checkpointing), batch).activations

    assert activations(200, checkpointing=False) == 2 * activations(100, checkpointing=False)
    # The inputs of two blocks and of the last norm, and one block while it is computed again.
    assert activations(100, checkpointing=True) == 100 * (4 * 8 * 3 + block_bytes(TINY, Setup()))


@pytest.mark.usefixtures("bitsandbytes")
def test_the_peak_is_that_of_a_measured_step_within_a_tenth() -> None:
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, str(ROOT / "perf" / "memory.py"), "--measure", "--json", "--only", "few tokens"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 38  # two shapes, nineteen ways to train
    ratios = {row["name"]: row["expected"] / row["measured"] for row in rows}
    assert {name: ratio for name, ratio in ratios.items() if not 0.9 <= ratio <= 1.1} == {}
