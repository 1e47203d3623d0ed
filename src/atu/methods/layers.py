"""Which layers a task reads and moves, in a model of a given depth. No torch: what cannot be is said before a model is
loaded, where the depth is known."""

from __future__ import annotations

from dataclasses import dataclass

from atu.errors import UserError
from atu.methods.config import TaskConfig
from atu.methods.terms import Need
from atu.models.config import ModelConfig
from atu.models.depth import check_adapted_blocks, known_depth

_HOOK_KEY = "task.training_module.pretrained_model_hook_layer"
_FIRST_KEY = "task.training_module.first_trained_layer"
_LAST_KEY = "task.training_module.last_trained_layer"


@dataclass(frozen=True)
class Layers:
    """The layers of one model that a task is about."""

    hook: int
    """Index into the hidden states, 1..depth."""
    trained: range
    """The blocks that move, counted from 0."""


def resolve_layers(task: TaskConfig, depth: int) -> Layers:
    """The layers of a task in a model of so many blocks.

    Raises:
        UserError: the model has no such layers, or a term reads a layer that stays as it is.
    """
    module = task.training_module
    hook = resolve_hook_layer(module.pretrained_model_hook_layer, depth)
    trained = resolve_trained_layers(module.first_trained_layer, module.last_trained_layer, depth)
    if Need.HOOK in task.needs and hook <= trained.start:
        raise UserError(
            f"task.training_module.first_trained_layer leaves the first {trained.start} blocks as they are, and the "
            f"hook layer is block {hook}: nothing could change there. Lower it, or raise the hook layer."
        )
    return Layers(hook, trained)


def check_layers(task: TaskConfig, model: ModelConfig) -> None:
    """`resolve_layers` before the model is loaded; where its depth is not known yet, nothing is checked."""
    depth = known_depth(model)
    if depth is not None:
        check_adapted_blocks(model, depth)
        resolve_layers(task, depth)


def resolve_hook_layer(value: int | float, num_layers: int) -> int:
    """Index of the hook layer, 1..num_layers.

    An int is that index; a float in (0, 1) is a fraction of the depth, rounded half up, at least 1.
    Raises UserError naming the config key for anything else.
    """
    if isinstance(value, float) and 0 < value < 1:
        return max(1, int(value * num_layers + 0.5))
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= num_layers:
        return value
    raise UserError(
        f"{_HOOK_KEY}={value} is out of range: this model takes a layer from 1 to {num_layers}, "
        "or a fraction of its depth between 0 and 1, such as 0.8."
    )


def resolve_trained_layers(first: int | float, last: int | float | None, num_layers: int) -> range:
    """The blocks that move, counted from 0: those from `first` on and below `last` (None: to the top).

    Each is a number of blocks from below; a float in (0, 1) is a fraction of the depth, rounded down.
    Raises UserError naming the config key for anything else, and when no block is left.
    """
    start = _count_of_layers(_FIRST_KEY, first, num_layers, range(num_layers), "train all")
    if last is None:
        return range(start, num_layers)
    stop = _count_of_layers(_LAST_KEY, last, num_layers, range(1, num_layers + 1), "the first alone")
    if stop <= start:
        raise UserError(f"{_FIRST_KEY}={first} and {_LAST_KEY}={last} leave no layer to train: raise the second.")
    return range(start, stop)


def _count_of_layers(key: str, value: int | float, num_layers: int, allowed: range, lowest: str) -> int:
    if isinstance(value, float) and 0 < value < 1:
        value = int(value * num_layers)
    if isinstance(value, int) and not isinstance(value, bool) and value in allowed:
        return value
    raise UserError(
        f"{key}={value} is out of range: this model takes a number of layers from {allowed[0]} ({lowest}) to "
        f"{allowed[-1]}, or a fraction of its depth between 0 and 1, such as 0.5."
    )
