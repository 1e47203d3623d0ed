"""8-bit and 4-bit bases: what they are, that adapters train on them, and what the export makes of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from atu.errors import UserError
from atu.models.adapters import adapter_parameters, add_adapter, merge_adapter
from atu.models.config import LoraConfig, ModelConfig, QuantizationName
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model

IDS = torch.arange(3, 30).unsqueeze(0)
BOTH = pytest.mark.parametrize("quantization", ["int8", "nf4"])


def load(folder: Path, quantization: QuantizationName, targets: tuple[str, ...] | None = None) -> LanguageModel:
    """The tiny model, quantised, with trained-looking adapters."""
    config = ModelConfig(
        name="tiny", model_name=str(folder), quantization=quantization, adapter="lora", lora=LoraConfig(targets=targets)
    )
    llm = load_language_model(config, device="cpu")
    add_adapter(llm.model, config, seed=0)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapter_parameters(llm.model).items():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05, generator=generator)
    return llm


def gradients(llm: LanguageModel) -> dict[str, Tensor]:
    """Of the adapters, for some loss."""
    parameters = adapter_parameters(llm.model)
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    loss = llm.model(input_ids=IDS, use_cache=False).logits.logsumexp(-1).sum()
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))


@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize(("quantization", "num_bytes"), [("int8", 1.0), ("nf4", 0.5)])
def test_the_linear_layers_of_the_blocks_are_stored_in_so_many_bytes_a_weight(
    tiny_folder: Path, quantization: QuantizationName, num_bytes: float
) -> None:
    llm = load_language_model(
        ModelConfig(name="tiny", model_name=str(tiny_folder), quantization=quantization), device="cpu"
    )
    up = llm.model.model.layers[0].mlp.up_proj
    assert up.weight.numel() * up.weight.element_size() == 64 * 128 * num_bytes
    assert llm.model.lm_head.weight.dtype == llm.model.model.embed_tokens.weight.dtype == torch.float32
    assert llm.provenance["quantization"] == quantization
    assert llm.weights_key == f"{llm.provenance['sha256']}-{llm.provenance['settings']}-{quantization}"


@BOTH
@pytest.mark.usefixtures("bitsandbytes")
def test_every_adapter_gets_the_gradient_that_it_has_on_the_same_weights_in_float32(
    tiny_folder: Path, quantization: QuantizationName
) -> None:
    llm = load(tiny_folder, quantization)
    found = gradients(llm)
    llm.model.dequantize(dtype=torch.float32)
    expected = gradients(llm)
    assert len(found) == 2 * 3 * 7
    # int8 quantises the inputs of a layer too: an error of a few percent; nf4 computes with float32 weights.
    worst = max(float((found[name] - expected[name]).norm() / expected[name].norm()) for name in found)
    assert worst < {"int8": 0.15, "nf4": 1e-4}[quantization]


@BOTH
@pytest.mark.usefixtures("bitsandbytes")
def test_the_export_of_a_quantised_base_is_plain_float32(
    tiny_folder: Path, tmp_path: Path, quantization: QuantizationName
) -> None:
    llm = load(tiny_folder, quantization, targets=("q_proj", "down_proj"))
    merged, report = merge_adapter(llm, [llm.render("Who wrote Hamlet?")])
    assert {p.dtype for p in merged.model.parameters()} == {torch.float32}
    assert not hasattr(merged.model.config, "quantization_config")
    assert {type(module).__module__ for module in merged.model.modules() if not list(module.children())} <= {
        "torch.nn.modules.linear", "torch.nn.modules.sparse", "torch.nn.modules.activation", "transformers.activations",
        "transformers.models.llama.modeling_llama",
    }  # fmt: skip
    assert report.merged < 1e-4
    assert report.widened is not None
    assert (report.widened < 1e-4) == (quantization == "nf4")


def test_without_the_package_one_line_names_the_extra(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # what Python itself takes for "not installed"
    with pytest.raises(UserError) as caught:
        load_language_model(ModelConfig(name="tiny", model_name=str(tiny_folder), quantization="nf4"), device="cpu")
    assert str(caught.value) == (
        "pre_trained_llm.quantization=nf4 needs the package bitsandbytes: run pip install '.[quantize]' in the "
        "project's folder."
    )
