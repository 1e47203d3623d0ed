"""Which of a model's parameters training moves, and how they are put back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

from atu.errors import UserError
from atu.models.adapters import adapter_parameters
from atu.models.hook import final_norm, forward_to_hook, transformer_blocks
from atu.models.language_model import LanguageModel
from atu.training.checkpoint import check_tensors
from atu.training.sharding import divided_like


def trainable_parameters(
    llm: LanguageModel, *, train_embeddings: bool, layers: range | None = None
) -> dict[str, Parameter]:
    """The parameters that move, by name, tied ones once; the others are frozen.

    In a model with adapters these move and nothing else. Token embeddings stay out unless asked for: a step of Adam
    moves a rare token's row as far as a common one's, and a tied head would shift every prediction. Of the transformer
    blocks only those of `layers` move (None: all), and where the topmost is not among them, nor does the norm above.

    Raises:
        UserError: no parameter is left.
    """
    model = llm.model
    adapters = adapter_parameters(model)
    model.requires_grad_(not adapters)
    for parameter in adapters.values():
        parameter.requires_grad_(True)
    blocks = transformer_blocks(model)
    layers = range(len(blocks)) if layers is None else layers
    frozen = [] if train_embeddings else [model.get_input_embeddings(), model.get_output_embeddings()]
    frozen += [block for index, block in enumerate(blocks) if index not in layers]
    if layers.stop < len(blocks):
        frozen.append(final_norm(model))
    for part in frozen:
        part.requires_grad_(False)
    moving = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not moving:
        raise UserError(
            "All adapters lie in blocks that task.training_module.first_trained_layer or last_trained_layer freezes: "
            f"nothing would be trained. Name some of {layers.start + 1} to {layers.stop} in "
            "pre_trained_llm.lora.layers, or move the bounds."
        )
    return moving


def check_reach(llm: LanguageModel, hook_layer: int) -> None:
    """Raise UserError unless a loss at the hook layer reaches a parameter that moves."""
    ids = torch.zeros(1, 1, dtype=torch.long, device=llm.device)
    if not forward_to_hook(llm.model, ids, torch.ones_like(ids), hook_layer).requires_grad:
        raise UserError(
            f"All adapters lie above the hook layer ({hook_layer}), below which the whole loss is: nothing would be "
            "trained. Name lower blocks in pre_trained_llm.lora.layers, or lower "
            "task.training_module.subspace.min_ratio."
        )


@torch.no_grad()
def restore_parameters(parameters: Mapping[str, Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Copy the tensors of a checkpoint into the parameters of the same names.

    Raises:
        MisfitError: other names, shapes or types.
    """
    check_tensors("the LLM", tensors, parameters)
    for name, parameter in parameters.items():
        parameter.copy_(divided_like(tensors[name], parameter))
