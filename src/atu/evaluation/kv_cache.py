"""What a model keeps of what it has read: whether rows can be taken out of it, taking them, and room to go on."""

from __future__ import annotations

import copy
from weakref import WeakKeyDictionary

from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from atu.models.attention import attends_only
from atu.models.language_model import LanguageModel
from atu.processes.notices import notice

_KNOWN_LAYERS = (DynamicLayer, DynamicSlidingWindowLayer)
_CAN_SHARE: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


def shares(llm: LanguageModel) -> bool:
    """Whether what the model keeps of a text can be cut and copied, so that prompts that begin alike share it.

    It can where it is nothing but keys and values. Recurrent and convolutional blocks keep a state, which stands for
    all that was read and has no places. Such models read each prompt by itself, and are slower for it. The config
    tells, until `note_kept` has seen it.
    """
    return _CAN_SHARE.get(llm.model, True) and (attends_only(llm.model) or _set(llm, can_share=False))


def note_kept(llm: LanguageModel, cache: Cache | None) -> None:
    """Learn from what a model kept of a text whether it can be shared."""
    if llm.model not in _CAN_SHARE:
        is_known = isinstance(cache, Cache) and all(type(layer) in _KNOWN_LAYERS for layer in cache.layers)
        _set(llm, can_share=is_known and attends_only(llm.model))


def _set(llm: LanguageModel, *, can_share: bool) -> bool:
    _CAN_SHARE[llm.model] = can_share
    if not can_share:
        notice(
            f"{llm.label} ({type(llm.model).__name__}) keeps of what it has read more than keys and values: prompts "
            "that begin alike are read one by one, which is slower and gives the same answers."
        )
    return can_share


def take_rows(cache: Cache, rows: Int[Tensor, " batch"]) -> Cache:
    """A cache of its own with these rows, in this order; one may be taken more than once."""
    taken = copy.copy(cache)
    taken.layers = [copy.copy(layer) for layer in cache.layers]  # selecting binds new tensors
    taken.batch_select_indices(rows)
    return taken


def make_room(cache: Cache, num_tokens: int) -> None:
    """Lets plain layers of a cache take `num_tokens` more tokens in place, instead of a copy of all for each."""
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized:
            cache.layers[number] = _RoomyLayer(layer, num_tokens)


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values as the first part of buffers that have room behind them."""

    keys: Tensor
    values: Tensor
    _buffers: tuple[Tensor, ...]

    def __init__(self, layer: DynamicLayer, room: int) -> None:
        super().__init__()
        self.lazy_initialization(layer.keys, layer.values)
        self._room = room
        self._hold(layer.keys, layer.values)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: object, **_kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append; beyond the room, by a copy into larger buffers."""
        old, new = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        if new > self._buffers[0].shape[-2]:
            self._hold(self.keys, self.values)
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., old:new, :] = states
        self._show(new)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Only keep these rows."""
        rows = indices.tolist()
        if self.keys.device.type != "cpu" or rows != sorted(set(rows)):
            super().batch_select_indices(indices)
            self._hold(self.keys, self.values)
            return
        # Each row moves to a place that is free by then: no second copy of everything, and most rows stay.
        length = self.keys.shape[-2]
        for buffer in self._buffers:
            for place, row in enumerate(rows):
                if place != row:
                    buffer[place, :, :length] = buffer[row, :, :length]
        self._buffers = tuple(buffer[: len(rows)] for buffer in self._buffers)
        self._show(length)

    def _hold(self, *states: Tensor) -> None:
        self._buffers = tuple(pad(state, (0, 0, 0, self._room)) for state in states)
        self._show(states[0].shape[-2])

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[..., :length, :] for buffer in self._buffers)
