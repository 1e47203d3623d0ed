"""The processes of one run: which of them this is, and how they agree. A process alone has nothing to agree on.

All run the same story (SPMD). Only the main one writes the run folder and speaks to the user.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from atu.errors import UserError, reason

T = TypeVar("T")

TIMEOUT = timedelta(hours=2)
"""Longest time that processes wait for the main one, which alone writes the corpus and fetches models."""
_LOST = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "imed out", "NCCL", "remote process")
"""Marks of the errors by which torch tells that another process is gone."""


def count() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this process writes and speaks."""
    return rank() == 0


def on_main(work: Callable[[], T], *, elsewhere: T) -> T:
    """What `work` gives in the main process, which the others wait for; there `elsewhere`.

    Raises:
        UserError: it failed; all processes end.
    """
    value, error = _attempt(work) if is_main() else (elsewhere, None)
    _raise_first(error)
    return cast("T", value)


def from_main(work: Callable[[], T]) -> T:
    """What `work` gives in the main process, sent to all others. Raises as `on_main` does."""
    value = on_main(work, elsewhere=cast("T", None))
    if count() > 1:
        sent = [value]
        dist.broadcast_object_list(sent, src=0)
        value = value if is_main() else sent[0]
    return value


def main_first(work: Callable[[], T]) -> T:
    """`work` in every process, in the main one before the others: they find in the cache what it made."""
    first = on_main(work, elsewhere=cast("T", None))
    value, error = (first, None) if is_main() else _attempt(work)
    _raise_first(error)
    return cast("T", value)


def from_all(work: Callable[[], T]) -> list[T]:
    """What `work` gives in each process, by rank, sent to all of them.

    Raises:
        UserError: it failed somewhere; all processes end.
    """
    value, error = _attempt(work)
    _raise_first(error)
    return _gathered(cast("T", value))


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of what each process has, without gradient."""
    values = values.detach()
    if count() > 1:
        values = values.clone()
        dist.all_reduce(values)
        values /= count()
    return values


def rows_of_all(own: Tensor, sizes: Sequence[int]) -> Tensor:
    """The rows of all processes, one process's behind another's; gradients flow to the rows of this one.

    They come `count()` times as large: a loss that every process computes from all rows has, in the mean over
    processes, the gradient of that loss.

    Args:
        sizes: how many rows each process has.
    """
    if count() == 1:
        return own
    padded = own.new_zeros(max(sizes), *own.shape[1:])
    padded[: len(own)] = own.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    dist.all_gather(parts, padded)
    own = own.view_as(own)
    if own.requires_grad:
        own.register_hook(lambda gradient: gradient * count())
    rows = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    return torch.cat([*rows[: rank()], own, *rows[rank() + 1 :]])


@contextmanager
def peers_watched() -> Iterator[None]:
    """Say in one line that another process is gone, where torch says it in many."""
    try:
        yield
    except RuntimeError as error:
        if count() == 1 or not any(mark in str(error) for mark in _LOST):
            raise
        raise UserError(
            f"Process {rank()} of {count()} has lost the others: one has ended, or hangs. The last checkpoint is "
            "whole; the same command resumes from there."
        ) from error


def leave_group() -> None:
    """Part for good: from here on each process is alone, and what it starts is, too."""
    if count() == 1:
        return
    dist.barrier()
    dist.destroy_process_group()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)


def _attempt(work: Callable[[], T]) -> tuple[T | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


def _raise_first(error: Exception | None) -> None:
    """Raise this process's error, or else the first one of another."""
    if count() > 1:
        told = next((text for text in _gathered(None if error is None else reason(error)) if text), None)
        if error is None and told is not None:
            raise UserError(told)
    if error is not None:
        raise error


def _gathered(value: T) -> list[T]:
    if count() == 1:
        return [value]
    values = [value] * count()
    dist.all_gather_object(values, value)
    return values
