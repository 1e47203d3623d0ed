"""Activation checkpointing: the same gradients to the last bit, from less memory, for every adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import STAGE, materials, own_llm, predictor, task
from torch import Tensor
from transformers import AutoModelForCausalLM

from atu.errors import UserError
from atu.methods.unlearning import Unlearning
from atu.models.adapters import adapter_parameters, add_adapter
from atu.models.config import ModelConfig
from atu.models.language_model import LanguageModel
from atu.training.activations import checkpoint_activations
from atu.training.parameters import trainable_parameters

LORA = ModelConfig(name="tiny", model_name="tiny", adapter="lora")
TERMS = [
    pytest.param({"redirect": {}, "distill": {}, "retain_kl": {}}, id="hook states recorded in a full pass"),
    pytest.param({"push": {}}, id="pass that ends at the hook layer"),
    pytest.param({"npo": {}, "retain_kl": {}}, id="packed rows"),
    pytest.param({"dpo": {}, "retain_kl": {}}, id="two passes over forget rows"),
    pytest.param({"rmu": {}, "retain_kl": {}}, id="passes of different depth"),
]


def disturb(llm: LanguageModel) -> None:
    """As after some training: where B is zero, A gets none anyhow."""
    generator = torch.Generator().manual_seed(0)
    for parameter in adapter_parameters(llm.model).values():
        parameter.data.normal_(std=0.05, generator=generator)


def gradients(folder: Path, encoder: Path, terms: dict[str, Any], *, lora: bool, checkpointing: bool) -> dict[str, Any]:
    """Of every trained parameter of the tiny model, None where the loss does not reach."""
    llm, config = own_llm(folder), task(**terms)
    if lora:
        add_adapter(llm.model, LORA, seed=0)
    data = materials(llm, encoder, config)
    parameters = trainable_parameters(llm, train_embeddings=False)
    disturb(llm)
    if checkpointing:
        checkpoint_activations(llm.model)
    of_task = predictor().eval().requires_grad_(False) if config.aligns else None
    llm.model.train()
    Unlearning(llm, config, data, of_task).losses(STAGE, 0, 0)["total"].backward()
    return {name: parameter.grad for name, parameter in parameters.items()}


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("terms", TERMS)
def test_gradients_are_those_without_checkpointing(
    tiny_folder: Path, tiny_encoder: Path, terms: dict[str, Any], lora: bool
) -> None:
    plain = gradients(tiny_folder, tiny_encoder, terms, lora=lora, checkpointing=False)
    found = gradients(tiny_folder, tiny_encoder, terms, lora=lora, checkpointing=True)
    assert found.keys() == plain.keys()
    reached = {name for name, gradient in plain.items() if gradient is not None}
    assert {name for name, gradient in found.items() if gradient is not None} == reached
    assert all(torch.equal(found[name], plain[name]) for name in reached)


@pytest.mark.parametrize("terms", TERMS)
def test_every_adapter_below_the_loss_gets_a_gradient(
    tiny_folder: Path, tiny_encoder: Path, terms: dict[str, Any]
) -> None:
    found = gradients(tiny_folder, tiny_encoder, terms, lora=True, checkpointing=True)
    # Three blocks of seven layers with A and B each; the hook layer is 2, above which nothing may arrive.
    blocks = 2 if list(terms) == ["push"] else 3
    with_gradient = [name for name, gradient in found.items() if gradient is not None and float(gradient.norm()) > 0]
    assert len(with_gradient) == blocks * 7 * 2
    assert len(found) == 3 * 7 * 2


def test_only_the_inputs_of_the_blocks_are_kept(tiny_folder: Path) -> None:
    def kept(checkpointing: bool) -> int:
        """Numbers saved for the backward pass next to the weights."""
        model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype="float32").train()
        if checkpointing:
            checkpoint_activations(model)
        weights = {parameter.data_ptr() for parameter in model.parameters()}
        saved: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            if tensor.data_ptr() not in weights:
                saved[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            # The name keeps the graph, and with it all tensors, alive while they are counted.
            graph = model.model(input_ids=torch.arange(3, 67).unsqueeze(0), use_cache=False).last_hidden_state
        del graph
        return sum(saved.values())

    assert kept(checkpointing=True) < 0.2 * kept(checkpointing=False)


def test_a_model_that_cannot_is_refused(tiny_folder: Path) -> None:
    model = own_llm(tiny_folder).model
    model.supports_gradient_checkpointing = False
    with pytest.raises(UserError, match="activation_checkpointing=true, but LlamaForCausalLM does not support it"):
        checkpoint_activations(model)
