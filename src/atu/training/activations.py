"""Activation checkpointing: memory for time, with the same gradients."""

from __future__ import annotations

from transformers import PreTrainedModel

from atu.errors import UserError


def checkpoint_activations(model: PreTrainedModel) -> None:
    """Let each transformer block keep its input alone while the model is in training mode (arXiv 1604.06174).

    The reentrant form is not for us: it runs a block's first pass without a graph, so adapters behind frozen
    embeddings get no gradient, and neither does a loss on states recorded at the hook layer.
    Raises UserError for a model that has no such blocks.
    """
    if not model.supports_gradient_checkpointing:
        raise UserError(
            f"training.activation_checkpointing=true, but {type(model).__name__} does not support it. Set it to false."
        )
    model.activation_checkpointing_enable({"use_reentrant": False})
