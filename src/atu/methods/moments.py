"""Second moments of what linear layers read, summed up while a model reads some rows.

A layer that does not read a text token by token, such as an expert that is given some tokens, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import PreTrainedModel

from atu.errors import UserError
from atu.methods.materials import RowSet
from atu.models.hook import final_hidden_states
from atu.models.language_model import LanguageModel
from atu.models.packing import pack_batch, read_layout
from atu.models.rows import collate

_BATCH_SIZE = 16
_COLUMNS = 256

Read = Callable[[int], None]
"""Called with the number of rows that were read since the last call."""


@dataclass(frozen=True)
class Moments:
    """Means over tokens."""

    inputs: dict[str, Float[Tensor, "d_in d_in"]]
    """E[x x^T], float32, on the model's device, by the first layer that reads x; the lower triangle alone."""
    readers: dict[str, str]
    """For each layer the one under whose name its inputs stand: queries, keys and values read the same."""
    outputs: dict[str, float]
    """Mean square of each layer's outputs."""


@torch.no_grad()
def second_moments(
    llm: LanguageModel,
    rows: RowSet,
    names: Sequence[str],
    *,
    beginning: int,
    packed: bool,
    last: int,
    advance: Read,
) -> Moments:
    """Over the tokens of all rows, each time that a row has them.

    Args:
        names: full names of the layers.
        beginning: number of tokens with which every row begins; they do not count.
        packed: read several rows as one, where the model can (`can_pack`).
        last: number of blocks that are run.

    Raises:
        UserError: a layer is given NaN or infinity.
    """
    sums, total = _Sums(), 0
    for start in range(0, len(rows.rows), _BATCH_SIZE):
        indices = range(start, min(start + _BATCH_SIZE, len(rows.rows)))
        batch = collate(rows.rows, indices, pad_id=llm.pad_id, device=llm.device)
        counts = batch.is_token & (torch.arange(batch.ids.shape[1], device=llm.device) >= beginning)
        total += int(counts.sum())
        frozen = rows.states.padded_frozen(batch)
        if packed:
            layout = pack_batch(batch)
            with _recorded(llm.model, names, sums, layout.ids.shape, layout.index[counts]):
                read_layout(llm, layout, frozen, last)
        else:
            with _recorded(llm.model, names, sums, batch.ids.shape, counts.flatten().nonzero()[:, 0]):
                final_hidden_states(llm.model, batch.ids, batch.is_token, frozen=frozen, last=last)
        advance(len(indices))
    if not all(moment.isfinite().all() for moment in sums.inputs.values()):
        raise UserError(
            f"'{llm.label}' computes NaN or infinity on the training texts: the type that it is loaded in may be too "
            "narrow for it (pre_trained_llm.dtype)."
        )
    # Experts may be given all tokens of some batch.
    whole = {name for name, count in sums.num_tokens.items() if count == total}
    return Moments(
        {name: moment.div_(total) for name, moment in sums.inputs.items() if name in whole},
        {name: reader for name, reader in sums.readers.items() if reader in whole},
        {name: square / total for name, square in sums.outputs.items()},
    )


@dataclass
class _Sums:
    """What has been summed up so far; keys as in `Moments`."""

    inputs: dict[str, Tensor] = field(default_factory=dict)
    num_tokens: dict[str, int] = field(default_factory=dict)
    readers: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, x: Float[Tensor, "n d_in"]) -> None:
        """Inputs of the first layer that reads them."""
        if name not in self.inputs:
            self.inputs[name] = x.new_zeros(x.shape[1], x.shape[1])
        add_products(self.inputs[name], x)
        self.num_tokens[name] = self.num_tokens.get(name, 0) + len(x)


def add_products(moment: Float[Tensor, "d d"], x: Float[Tensor, "n d"]) -> None:
    """Add x^T x to the lower triangle: little more than half of the work. Above it, what comes is not defined."""
    for start in range(0, len(moment), _COLUMNS):
        stop = start + _COLUMNS
        moment[start:, start:stop].addmm_(x[:, start:].mT, x[:, start:stop])


@contextmanager
def _recorded(
    model: PreTrainedModel, names: Sequence[str], sums: _Sums, shape: tuple[int, ...], places: Int[Tensor, " n"]
) -> Iterator[None]:
    """Inside the context, add what each layer reads and says; one layer's states are held at a time.

    Args:
        shape: of the tokens that the model reads.
        places: those that count, as often as they do, counted row by row.
    """
    given: Tensor | None = None
    reader: str | None = None

    def tokens(states: Tensor) -> Float[Tensor, "n d"] | None:
        if states.dim() != len(shape) + 1 or states.shape[:-1] != shape:
            return None
        return states.flatten(0, -2).index_select(0, places).float()

    def record(name: str, _module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal given, reader
        with torch.autocast(output.device.type, enabled=False):
            if inputs[0] is not given:
                given = inputs[0]
                x = tokens(given)
                reader = None if x is None else name
                if x is not None:
                    sums.add(name, x)
            if reader is not None:
                y = tokens(output)
                assert y is not None
                sums.readers[name] = reader
                sums.outputs[name] = sums.outputs.get(name, 0.0) + float(y.square().mean(dim=1).sum())

    handles = [model.get_submodule(name).register_forward_hook(partial(record, name)) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
