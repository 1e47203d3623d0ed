"""Adapters: small float32 matrices next to frozen weights, and the plain model that they become in the end.

Of LoRA (arXiv 2106.09685) both matrices of W + B A are trained; of a subspace A is given and B alone is trained.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import Parameter
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from atu.errors import UserError
from atu.models.answers import Reading, read_answers
from atu.models.config import ModelConfig
from atu.models.depth import check_adapted_blocks
from atu.models.hook import count_layers, transformer_blocks
from atu.models.language_model import LanguageModel
from atu.models.quantization import bitsandbytes_quiet

_LORA, _SUBSPACE = "default", "subspace"
"""Names under which peft keeps the two kinds."""
_ROUNDING = 1e-3
"""Largest difference that merging may make to a logit, relative to the largest logit. Rounding stays below 1e-5."""


def add_adapter(model: PreTrainedModel, config: ModelConfig, *, seed: int) -> None:
    """Put the configured adapters into the model; nothing happens with `adapter=none`.

    At the start their product is zero: the model answers bit for bit as without them. The model keeps its class and
    its modules' names, but each adapted layer is wrapped.
    Raises UserError for targets or layers that the model does not have, listing those that exist.
    """
    if config.adapter == "none":
        return
    with bitsandbytes_quiet():
        import peft  # takes seconds, and most runs have no adapters

    settings = peft.LoraConfig(
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        target_modules=_target_names(model, config),
    )
    # Quiet too as to how it reads GPT-2's transposed layers.
    with torch.random.fork_rng(), bitsandbytes_quiet():
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(settings, model, _LORA)
    for parameter in adapter_parameters(model).values():
        parameter.data = parameter.data.float()


def add_subspace(model: PreTrainedModel, directions: Mapping[str, Float[Tensor, "rank d_in"]]) -> None:
    """Put an adapter W + B A into each of the named layers: A is its directions and stays, B is zero and is trained.

    So the model answers as without them. As with `add_adapter` each of these layers is wrapped; without directions
    nothing happens.
    """
    if not directions:
        return
    with bitsandbytes_quiet():
        import peft  # takes seconds, and most runs have no adapters

    ranks = {name: len(rows) for name, rows in directions.items()}
    settings = peft.LoraConfig(r=1, target_modules=list(ranks), rank_pattern=ranks, alpha_pattern=ranks)
    with torch.random.fork_rng(), bitsandbytes_quiet():
        peft.inject_adapter_in_model(settings, model, _SUBSPACE)
    for name, layer in _adapted_layers(model):
        fixed, trained = layer.lora_A[_SUBSPACE].weight, layer.lora_B[_SUBSPACE].weight
        fixed.requires_grad_(False)
        fixed.data = directions[name].to(fixed.device, torch.float32)
        trained.data = trained.data.float()


def adapter_parameters(model: PreTrainedModel) -> dict[str, Parameter]:
    """The weights of the adapters that are trained, by name; empty in a model without."""
    return {
        f"{name}.{inner}": parameter
        for name, layer in _adapted_layers(model)
        for inner, parameter in layer.named_parameters()
        if not inner.startswith(("base_layer.", f"lora_A.{_SUBSPACE}."))
    }


def without_inner_matrices(parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """All but A of adapters W + B A: by what is left alone the change of the weights can be scaled."""
    return {name: parameter for name, parameter in parameters.items() if ".lora_A." not in name}


def linear_layers(model: PreTrainedModel, blocks: Iterable[int]) -> dict[str, list[str]]:
    """Full names of the linear layers of some blocks (0 = the first), by the last part of their name."""
    chosen = {block for index, block in enumerate(transformer_blocks(model)) if index in set(blocks)}
    found: dict[str, list[str]] = {}
    for block_name, block in model.named_modules():
        if block in chosen:
            for name, module in block.named_modules(prefix=block_name):
                if isinstance(module, nn.Linear | Conv1D):
                    found.setdefault(name.rpartition(".")[2], []).append(name)
    return found


def layer_sizes(layer: nn.Module) -> tuple[int, int]:
    """Width of what goes into a linear layer, and of what comes out. Quantised weights have another shape."""
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    assert isinstance(layer, Conv1D)
    return layer.nx, layer.nf


@dataclass(frozen=True, kw_only=True)
class MergeReport:
    """How the plain model differs from the adapted one: largest absolute differences of a logit."""

    num_prompts: int
    trained: float
    """Between the adapted model and the one without adapters: what training did."""
    widened: float | None
    """By making 16-bit or quantised weights float32; None where they were float32."""
    merged: float
    bf16: float
    """Of the merged model, cast to bfloat16."""
    bf16_same: int
    """Greedy answers that the cast leaves as they are."""

    def describe(self) -> str:
        """A paragraph for the model card and the log."""
        widened = "" if self.widened is None else f"Before, the weights were made float32 (up to {self.widened:.2g}). "
        return (
            f"Adapters were merged into the weights. On {self.num_prompts} prompts, on which training moved a "
            f"logit by up to {self.trained:.2g}, merging moved none by more than {self.merged:.2g} and no greedy "
            f"answer. {widened}Cast to bfloat16 the merged model differs by up to {self.bf16:.2g}; "
            f"{self.bf16_same} of {self.num_prompts} greedy answers stay the same."
        )


@torch.no_grad()
def merge_adapter(llm: LanguageModel, prompts: Sequence[str]) -> tuple[LanguageModel, MergeReport]:
    """The model as plain float32 weights, adapters merged, and what that changed on rendered `prompts`.

    The adapted model is used up. 16-bit and quantised weights are first made float32, on the CPU, where there is room
    for it: rounding the sum to them would undo part of the training.
    Raises UserError when the merged model does not answer like the adapted one.
    """
    with_adapter = read_answers(llm, prompts)
    trained = with_adapter.largest_difference(_read_without(llm, prompts))
    widened = None
    if llm.model.dtype != torch.float32 or llm.provenance.get("quantization"):
        llm = replace(llm, model=_to_float32(llm.model))
        wide = read_answers(llm, prompts)
        widened = wide.largest_difference(with_adapter)
        with_adapter = wide
    _unwrap(llm.model)
    merged = read_answers(llm, prompts)
    _check_same(llm, with_adapter, merged)
    cast = read_answers(replace(llm, model=_bfloat16_copy(llm.model)), prompts)
    return llm, MergeReport(
        num_prompts=len(prompts),
        trained=trained,
        widened=widened,
        merged=merged.largest_difference(with_adapter),
        bf16=cast.largest_difference(merged),
        bf16_same=cast.num_same_answers(merged),
    )


def _target_names(model: PreTrainedModel, config: ModelConfig) -> list[str]:
    """Full names of the linear layers that get an adapter."""
    depth = count_layers(model)
    check_adapted_blocks(config, depth)
    found = linear_layers(model, [layer - 1 for layer in config.lora.layers or range(1, depth + 1)])
    targets = config.lora.targets or tuple(found)
    if missing := [target for target in targets if target not in found]:
        raise UserError(
            f"pre_trained_llm.lora.targets: the blocks of '{config.name}' have no linear layer '{missing[0]}'; they "
            f"have {', '.join(sorted(found))}."
        )
    names = [name for target in targets for name in found[target]]
    widest = max(max(layer_sizes(model.get_submodule(name))) for name in names)
    if config.lora.rank > widest:
        raise UserError(
            f"pre_trained_llm.lora.rank={config.lora.rank} is more than any layer of '{config.name}' has; the widest "
            f"has {widest}."
        )
    return names


def _adapted_layers(model: PreTrainedModel) -> Iterator[tuple[str, Any]]:
    """The wrapped layers by name: modules that are a `LoraLayer` too, which has no type of its own."""
    if not hasattr(model, "peft_config"):  # put there by peft, which is not imported without need
        return iter(())
    from peft.tuners.lora import LoraLayer

    return ((name, module) for name, module in model.named_modules() if isinstance(module, LoraLayer))


def _read_without(llm: LanguageModel, prompts: Sequence[str]) -> Reading:
    """What the model says with its adapters switched off."""
    layers = [layer for _, layer in _adapted_layers(llm.model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        return read_answers(llm, prompts)
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def _to_float32(model: PreTrainedModel) -> PreTrainedModel:
    model = model.to("cpu")
    is_quantized = getattr(model, "is_quantized", False)  # an ordinary model does not have it
    return (model.dequantize(dtype=torch.float32) if is_quantized else model).float()


def _unwrap(model: PreTrainedModel) -> None:
    """Add each adapter's product to its layer, and put the layer back in its place."""
    for name, adapted in list(_adapted_layers(model)):
        layer = adapted.get_base_layer()
        layer.weight.data += adapted.get_delta_weight(adapted.active_adapters[0])
        parent, _, own_name = name.rpartition(".")
        setattr(model.get_submodule(parent), own_name, layer)
    del model.peft_config  # left there by peft; it would stand for adapters that are gone


def _check_same(llm: LanguageModel, adapted: Reading, merged: Reading) -> None:
    difference, bound = merged.largest_difference(adapted), _ROUNDING * adapted.largest_logit()
    if not difference <= bound or merged.num_same_answers(adapted) < len(merged.answers):
        raise UserError(
            f"Merging the adapters into '{llm.label}' changed its answers (a logit by {difference:.2g}, bound "
            f"{bound:.2g}), so no model was written. The checkpoint has the adapters."
        )


def _bfloat16_copy(model: PreTrainedModel) -> PreTrainedModel:
    """The model as from_pretrained(dtype=bfloat16) would load it; float32 buffers, such as rotary tables, stay."""
    cast = {id(p): Parameter(p.to(torch.bfloat16), requires_grad=False) for p in model.parameters()}
    return copy.deepcopy(model, memo=cast)
