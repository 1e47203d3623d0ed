"""The hook layer: where alignment reads the model and unlearning writes into it.

Layers are counted as in transformers' `output_hidden_states`: 0 is the embedding, i the output of the i-th
transformer block. Unlike there, the last one is taken before the final norm, like all the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from atu.errors import UserError


@dataclass
class Captured:
    """Filled by a forward pass inside `capture_hook`."""

    states: Float[Tensor, "batch pos d_llm"] | None = None

    @property
    def hidden(self) -> Float[Tensor, "batch pos d_llm"]:
        """Hidden states at the hook layer, part of the graph of the forward pass that made them."""
        if self.states is None:
            raise RuntimeError("no forward pass ran inside capture_hook")
        return self.states


@dataclass(frozen=True)
class FrozenStates:
    """What frozen blocks made of some tokens: passes begin there, and cost nothing below."""

    block: int
    """Number of the blocks below."""
    states: Float[Tensor, "batch pos d_llm"]


def count_layers(model: PreTrainedModel) -> int:
    """Number of transformer blocks."""
    return int(model.config.get_text_config().num_hidden_layers)


def transformer_blocks(model: PreTrainedModel) -> nn.ModuleList:
    """The model's blocks, in order; block i gives the hidden states of hook layer i + 1."""
    trunk, name = _find_trunk(model)
    blocks: nn.ModuleList = getattr(trunk, name)
    return blocks


def forward_to_hook(
    model: PreTrainedModel,
    input_ids: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"] | Bool[Tensor, "batch 1 pos pos"],
    hook_layer: int,
    position_ids: Int[Tensor, "batch pos"] | None = None,
    frozen: FrozenStates | None = None,
) -> Float[Tensor, "batch pos d_llm"]:
    """Hidden states at the hook layer; the blocks above it are not computed.

    Masks, positions and `frozen` as in `final_hidden_states`.
    """
    with _record_output(transformer_blocks(model)[hook_layer - 1]) as captured:
        # Cutting the list short works for every architecture and under gradient checkpointing, which an
        # exception thrown from inside the forward pass would not.
        _run_blocks(model, input_ids, attention_mask, position_ids, frozen, last=hook_layer)
    return captured.hidden


@contextmanager
def capture_hook(model: PreTrainedModel, hook_layer: int) -> Iterator[Captured]:
    """Record the hidden states at the hook layer while full forward passes run, with their gradient.

    The last pass inside the context is kept.
    """
    with _record_output(transformer_blocks(model)[hook_layer - 1]) as captured:
        yield captured


@contextmanager
def edited_layer(
    model: PreTrainedModel,
    hook_layer: int,
    edit: Callable[[Float[Tensor, "batch pos d_llm"]], Float[Tensor, "batch pos d_llm"]],
) -> Iterator[None]:
    """Inside the context every forward pass continues with `edit` of the hidden states at the hook layer."""
    trunk, name = _find_trunk(model)

    def replace(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> object:
        return (edit(output[0]), *output[1:]) if isinstance(output, tuple) else edit(output)

    handle = getattr(trunk, name)[hook_layer - 1].register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()


def final_norm(model: PreTrainedModel) -> nn.Module:
    """The norm between the last block and the output head.

    Raises:
        UserError: it has none of the usual names.
    """
    trunk, _ = _find_trunk(model)
    for name in ("norm", "final_layernorm", "ln_f", "final_layer_norm"):
        norm = getattr(trunk, name, None)
        if isinstance(norm, nn.Module):
            return norm
    raise UserError(f"{type(model).__name__} has no final norm that is known here.")


def final_hidden_states(
    model: PreTrainedModel,
    input_ids: Int[Tensor, "batch pos"],
    attention_mask: Int[Tensor, "batch pos"] | Bool[Tensor, "batch pos"] | Bool[Tensor, "batch 1 pos pos"],
    position_ids: Int[Tensor, "batch pos"] | None = None,
    frozen: FrozenStates | None = None,
    last: int | None = None,
) -> Float[Tensor, "batch pos d_llm"]:
    """Hidden states after the final norm, from which `logits_from_hidden` makes the logits.

    A mask with two position axes says for each position (first) what it attends to (second); `position_ids` then
    say where in its own text each token stands. With `frozen` the pass begins at its block, and `input_ids` are not
    read. With `last` only so many blocks are run, and what comes back means nothing.
    """
    hidden: Tensor = _run_blocks(model, input_ids, attention_mask, position_ids, frozen, last).last_hidden_state
    return hidden


@torch.no_grad()
def can_begin_at(model: PreTrainedModel, input_ids: Int[Tensor, "1 pos"], block: int) -> bool:
    """Whether a pass that begins at a block's input ends where a whole one does.

    It does not in families that scale what they take for embeddings, or that tell blocks apart by their number.
    """
    mask = torch.ones_like(input_ids)
    with capture_hook(model, block) as captured:
        whole = final_hidden_states(model, input_ids, mask)
    found = final_hidden_states(model, input_ids, mask, frozen=FrozenStates(block, captured.hidden))
    return bool(torch.allclose(found.float(), whole.float(), rtol=1e-3, atol=1e-3))


def logits_from_hidden(model: PreTrainedModel, hidden: Float[Tensor, "*batch d_llm"]) -> Float[Tensor, "*batch vocab"]:
    """Logits by the output head, in the dtype of `hidden`; several hundred times larger than it."""
    logits: Tensor = model.get_output_embeddings()(hidden)
    return logits


@torch.no_grad()
def check_output_head(model: PreTrainedModel) -> None:
    """Raise UserError unless final hidden states times output head give the model's own logits, all of them numbers.

    They do not in families that scale or cap their logits (Gemma 2, Cohere, Granite); training there on
    logits made from hidden states would be silently wrong.
    """
    vocab_size = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(4, device=model.device).unsqueeze(0) % vocab_size
    mask = torch.ones_like(ids)
    expected = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    if not expected.isfinite().all():
        raise UserError(
            f"The model ({type(model).__name__}) computes NaN or infinity: a value of its config.json is damaged, or "
            "the type that it is loaded in is too narrow for it (dtype)."
        )
    found = logits_from_hidden(model, final_hidden_states(model, ids, mask))
    if not torch.allclose(found.float(), expected.float(), rtol=1e-3, atol=1e-3):
        raise UserError(
            f"{type(model).__name__} changes its logits after the output head (scales or caps them), "
            "which is not supported."
        )


def _run_blocks(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor | None,
    frozen: FrozenStates | None,
    last: int | None = None,
) -> Any:
    """What the trunk gives when only the blocks above the frozen ones, up to `last`, are run."""
    trunk, name = _find_trunk(model)
    blocks = getattr(trunk, name)
    inputs = {"input_ids": input_ids} if frozen is None else {"inputs_embeds": frozen.states.to(model.dtype)}
    if position_ids is not None:  # some models do not take them
        inputs["position_ids"] = position_ids
    setattr(trunk, name, blocks[0 if frozen is None else frozen.block : last])
    try:
        return trunk(**inputs, attention_mask=attention_mask, use_cache=False)
    finally:
        setattr(trunk, name, blocks)


@contextmanager
def _record_output(block: nn.Module) -> Iterator[Captured]:
    captured = Captured()

    def record(_module: nn.Module, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        captured.states = output[0] if isinstance(output, tuple) else output

    handle = block.register_forward_hook(record)
    try:
        yield captured
    finally:
        handle.remove()


def _find_trunk(model: PreTrainedModel) -> tuple[nn.Module, str]:
    """The module that runs the transformer blocks, and the name of its list of blocks."""
    num_layers = count_layers(model)
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == num_layers:
                return module, name
    raise UserError(f"{type(model).__name__} has no list of {num_layers} transformer blocks to hook into.")
