"""Which of a model's parameters training moves, and how they are put back."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import Parameter

from atu.models.hook import transformer_blocks
from atu.models.language_model import LanguageModel


def trainable_parameters(llm: LanguageModel, *, train_embeddings: bool, first_layer: int = 0) -> dict[str, Parameter]:
    """The parameters that move, by name, tied ones once; the others are frozen.

    Token embeddings stay out unless asked for: a step of Adam moves a rare token's row as far as a common
    one's, and a tied head would shift every prediction. So do the first `first_layer` transformer blocks.
    """
    model = llm.model
    model.requires_grad_(True)
    if not train_embeddings:
        for part in (model.get_input_embeddings(), model.get_output_embeddings()):
            part.requires_grad_(False)
    for block in transformer_blocks(model)[:first_layer]:
        block.requires_grad_(False)
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


@torch.no_grad()
def restore_parameters(parameters: Mapping[str, Parameter], tensors: Mapping[str, Tensor]) -> None:
    """Copy the tensors of a checkpoint into the parameters of the same names."""
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])
