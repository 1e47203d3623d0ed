"""Data-parallel steps: each process computes the gradient of its share of a batch, and all take their mean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn import Parameter
from torch.nn.parallel import DistributedDataParallel

from atu.errors import UserError
from atu.methods.config import TaskConfig
from atu.methods.materials import Materials
from atu.methods.shares import Share
from atu.methods.terms import Need
from atu.processes import peers

Losses = Callable[[int], dict[str, Tensor]]
"""The parts of the loss at a step, counted from 0, as scalars; `total` is what the optimiser makes smaller."""


class _AnyPass(nn.Module):
    """Parameters whose gradients are shared, with whatever passes a loss makes through them as the forward pass."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        super().__init__()
        self.shared = nn.ParameterList(parameters)

    def forward(self, losses: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        return losses()


def in_parallel(parameters: Sequence[Parameter], losses: Losses, *, reads_all: bool) -> Losses:
    """`losses`, whose backward pass leaves the mean over processes in the gradients of `parameters`.

    All processes begin with the main one's parameters.

    Args:
        reads_all: whether each of the parameters gets a gradient in every step.
    """
    if peers.count() == 1 or isinstance(parameters[0], DTensor):  # what is divided takes its mean itself
        return losses
    device = parameters[0].device
    shared = DistributedDataParallel(
        _AnyPass(parameters),
        device_ids=None if device.type == "cpu" else [device],
        find_unused_parameters=not reads_all,
    )
    return lambda step: shared(partial(losses, step))


def of_whole_batch(parts: dict[str, Tensor]) -> dict[str, Tensor]:
    """Loss parts of the batch that the processes share, without gradient."""
    means = peers.mean_over_processes(torch.stack([part.detach().float() for part in parts.values()]))
    return dict(zip(parts, means, strict=True))


def own_share(task: TaskConfig, materials: Materials) -> Share:
    """What this process takes of each batch.

    Raises:
        UserError: a batch has fewer rows than there are processes.
    """
    share, module = Share(peers.rank(), peers.count()), task.training_module
    num_forget, num_retain = len(materials.forget.rows), len(materials.retain.rows)
    sizes = {"forget_batch_size": min(module.forget_batch_size, num_forget)}
    if Need.RETAIN in task.needs:
        sizes["retain_batch_size"] = min(module.retain_batch_size, num_retain)
    if task.aligns:
        sizes["training_batch_size"] = min(module.training_batch_size, num_forget + num_retain)
    for key, size in sizes.items():
        if size < share.processes:
            raise UserError(
                f"{share.processes} processes cannot share a batch of {size} (task.training_module.{key}, or all texts "
                f"of the corpus): each needs a text of every batch. Raise it, or start {size} or fewer."
            )
    return share
