"""FSDP2: the blocks' parameters, their gradients and optimiser state divided among the processes (arXiv 2304.11277).

torch's `fully_shard`, each block by itself: a loss runs some blocks more than once and others not at all, and never the
model's own forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import PreTrainedModel

from atu.errors import UserError
from atu.models.hook import final_norm, transformer_blocks
from atu.processes import peers
from atu.training.config import TrainingConfig


def check_sharding(config: TrainingConfig) -> None:
    """Raise UserError where there is nobody to divide a model with."""
    if config.sharding == "fsdp2" and peers.count() == 1:
        raise UserError(
            "training.sharding=fsdp2 divides a model among processes, but this is one: set devices=2 or more."
        )


def shard(model: PreTrainedModel, trained: Iterable[str]) -> None:
    """Divide all blocks and the final norm; embeddings and output head stay whole, and must not move.

    Args:
        trained: names of the parameters that move.

    Raises:
        UserError: one of them lies elsewhere.
    """
    parts = [*transformer_blocks(model), final_norm(model)]
    covered = {id(parameter) for part in parts for parameter in part.parameters()}
    parameters = dict(model.named_parameters())
    outside = [name for name in trained if id(parameters[name]) not in covered]
    if outside:
        raise UserError(
            f"training.sharding=fsdp2 divides transformer blocks, but {outside[0]} lies outside and moves, too. Set "
            "training.sharding=none."
        )
    mesh = init_device_mesh(model.device.type, (peers.count(),))
    for part in parts:
        fully_shard(part, mesh=mesh, reshard_after_forward=True)


def unshard(model: PreTrainedModel) -> None:
    """Give each process all weights, for passes in which it goes its own way; nothing happens in a whole model."""
    for part in _parts(model):
        part.set_reshard_after_forward(False)
        part.unshard()


def reshard(model: PreTrainedModel) -> None:
    """Leave each process its part, for steps that all of them take at once."""
    for part in _parts(model):
        part.set_reshard_after_forward(True)
        part.reshard()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that may be divided among the processes; each of them must ask."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


@torch.no_grad()
def divided_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """`tensor` divided as `parameter` is, where that is divided and has the same shape."""
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)


def whole_weights(model: PreTrainedModel, names: Iterable[str]) -> Mapping[str, Tensor]:
    """Weights of a model that each process has whole, for one process alone."""
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach() for name in names}


def _parts(model: PreTrainedModel) -> list[FSDPModule]:
    return [module for module in model.modules() if isinstance(module, FSDPModule)]
