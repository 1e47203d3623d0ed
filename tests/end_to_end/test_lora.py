"""Adapters from the command line to the model folder, on plain and on quantised weights."""

from __future__ import annotations

import pytest
import torch
from killed_once import killed_once
from safetensors.torch import load_file
from workplace import Workplace

from atu.run import run

LORA = ("pre_trained_llm.adapter=lora", "pre_trained_llm.lora.rank=4")


def test_a_killed_run_goes_on_to_the_same_adapters_and_the_same_export(workplace: Workplace) -> None:
    whole, killed = killed_once(workplace, *LORA, "training.activation_checkpointing=true")
    for name in ("checkpoint/llm.safetensors", "model/model.safetensors"):
        first, second = load_file(whole / name), load_file(killed / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    before, after = load_file(workplace.model / "model.safetensors"), load_file(whole / "model/model.safetensors")
    assert after.keys() == before.keys()  # a plain model: no adapter is left
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    # The lowest of the three blocks is frozen, with its adapters.
    assert moved == {name for name in before if name.endswith("_proj.weight") and ".layers.0." not in name}
    card = (whole / "model" / "README.md").read_text()
    assert "Adapters were merged into the weights. On " in card
    assert "Cast to bfloat16 the merged model differs by up to " in card
    assert "Adapters were merged into the weights. On " in (whole / "log.txt").read_text()


def test_scores_before_are_those_of_the_model_without_adapters(workplace: Workplace) -> None:
    short = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 1}]"
    with_adapters, without = run(workplace.config(*LORA, short, "name=lora")), run(workplace.config(short, "name=full"))
    answers = [folder.read_answers("00-before") for folder in (with_adapters, without)]
    assert answers[0] == answers[1]


@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_adapters_on_a_quantised_base_end_as_a_plain_model(workplace: Workplace, quantization: str) -> None:
    folder = run(workplace.config(*LORA, f"pre_trained_llm.quantization={quantization}"))
    tensors = load_file(folder.model_dir / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert tensors.keys() == load_file(workplace.model / "model.safetensors").keys()
    assert "Before, the weights were made float32" in (folder.model_dir / "README.md").read_text()
