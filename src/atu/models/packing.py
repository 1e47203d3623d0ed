"""Several short texts in one row without padding, their common beginning read once.

Each text attends to the common beginning and to itself, at the positions that it would have alone, so that states
and gradients are those of the texts one by one. With a chat template half of a short row is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from atu.errors import UserError
from atu.models.attention import attends_only, shortest_window
from atu.models.hook import FrozenStates, final_hidden_states, forward_to_hook
from atu.models.language_model import LanguageModel
from atu.models.rows import Batch, Row

_CHECKED_ROWS = 16
"""As many as share a row later: some masks show a fault only far behind the beginning."""
_ROUNDING = 0.02
"""Mean difference of two readings, relative to the states' mean size: bf16 stays below, a wrong mask far above."""


@dataclass(frozen=True)
class Layout:
    """Texts one after another behind their common beginning, as a batch of one."""

    ids: Int[Tensor, "1 pos"]
    places: Int[Tensor, "1 pos"]
    """Position of each token in its own text."""
    mask: Bool[Tensor, "1 1 pos pos"]
    index: Int[Tensor, "text place"]
    """Where each token of each text lies in `ids`; 0 behind the end of a text."""
    source: Int[Tensor, " pos"]
    """Where each token of `ids` lies in the padded texts, counted row by row."""


@dataclass(frozen=True)
class Packed:
    """Rows laid out, and which of their tokens are to be predicted."""

    layout: Layout
    before: Int[Tensor, " n"]
    """For each token to be predicted, text by text, the position whose state predicts it."""
    labels: Int[Tensor, " n"]
    """Ids of those tokens."""
    text: Int[Tensor, " n"]
    """Which text each of them belongs to, from 0."""


def pack(rows: Sequence[Row], *, device: torch.device | str) -> Packed:
    """Lay `rows` one after another; the tokens with which all of them begin come once."""
    limit = min(row.first_scored for row in rows)
    layout = _lay_out([row.ids for row in rows], limit, device)
    scored = [(number, place) for number, row in enumerate(rows) for place in range(row.first_scored, len(row.ids))]
    text = torch.tensor([number for number, _ in scored], device=device)
    place = torch.tensor([place for _, place in scored], device=device)
    return Packed(
        layout=layout,
        before=layout.index[text, place - 1],
        labels=torch.tensor([rows[number].ids[place] for number, place in scored], device=device),
        text=text,
    )


def packed_states(llm: LanguageModel, packed: Packed) -> Float[Tensor, "n d_llm"]:
    """The final states that predict `packed.labels`, in their order."""
    return read_layout(llm, packed.layout).index_select(0, packed.before)


def pack_batch(batch: Batch) -> Layout:
    """Lay the rows of a padded batch one after another; `unpack` gives states their padded shape back."""
    lengths = batch.is_token.sum(dim=1).tolist()
    texts = [ids[:length] for ids, length in zip(batch.ids.tolist(), lengths, strict=True)]
    first_scored = batch.is_scored.int().argmax(dim=1)
    return _lay_out(texts, int(first_scored.min()), batch.ids.device)


def read_layout(
    llm: LanguageModel, layout: Layout, frozen: FrozenStates | None = None, last: int | None = None
) -> Float[Tensor, "pos d_llm"]:
    """The final states of all tokens of a layout; `frozen` is that of the padded batch, `last` as in `read_batch`."""
    frozen = _lay_out_frozen(layout, frozen)
    return final_hidden_states(llm.model, layout.ids, layout.mask, layout.places, frozen, last)[0]


def read_batch(
    llm: LanguageModel,
    batch: Batch,
    *,
    packed: bool,
    frozen: FrozenStates | None = None,
    hidden: Bool[Tensor, "batch pos"] | None = None,
    last: int | None = None,
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Final states in the batch's padded shape, and what gives other states of the same pass that shape.

    Args:
        frozen: what frozen blocks made of the batch.
        hidden: where True, no position attends to the token; all positions stay as they are.
        last: number of blocks that are run, for those who capture states below; the final states then mean nothing.
    """
    if not packed:
        mask = batch.is_token if hidden is None else batch.is_token & ~hidden
        # A first token that is hidden would leave its own position nothing to attend to.
        mask = mask | (torch.arange(mask.shape[1], device=mask.device) == 0)
        return final_hidden_states(llm.model, batch.ids, mask, frozen=frozen, last=last), lambda states: states
    layout = pack_batch(batch)
    if hidden is not None:
        seen = ~hidden.flatten().index_select(0, layout.source)[None] | (layout.places == 0)
        layout = replace(layout, mask=layout.mask & seen[:, None, None])
    return unpack(read_layout(llm, layout, frozen, last), layout), lambda states: unpack(states[0], layout)


def read_batch_to_hook(
    llm: LanguageModel, batch: Batch, hook_layer: int, *, packed: bool, frozen: FrozenStates | None = None
) -> Float[Tensor, "batch pos d_llm"]:
    """States at the hook layer in the batch's padded shape; the blocks above it are not computed."""
    if not packed:
        return forward_to_hook(llm.model, batch.ids, batch.is_token, hook_layer, frozen=frozen)
    layout = pack_batch(batch)
    frozen = _lay_out_frozen(layout, frozen)
    states = forward_to_hook(llm.model, layout.ids, layout.mask, hook_layer, layout.places, frozen)
    return unpack(states[0], layout)


def unpack(states: Float[Tensor, "pos d"], layout: Layout) -> Float[Tensor, "text place d"]:
    """States in the shape of the padded batch; behind the end of a text they mean nothing."""
    # Not states[layout.index]: with several threads its gradient is summed in any order.
    texts, places = layout.index.shape
    return states.index_select(0, layout.index.flatten()).reshape(texts, places, -1)


@torch.no_grad()
def can_pack(llm: LanguageModel, rows: Sequence[Row]) -> bool:
    """Whether the model reads `rows` packed as it reads them one by one; `rows` must hold the longest of all.

    It does not where a row is longer than a window of attention, which a mask of our own would open, nor in a model
    that takes no such mask. The config tells the windows; the rest is tried on some rows, the longest among them.
    """
    longest = max(rows, key=lambda row: len(row.ids))
    window = shortest_window(llm.model)
    if not attends_only(llm.model) or (window is not None and len(longest.ids) > window):
        return False
    rows = [*rows[: _CHECKED_ROWS - 1], longest]
    try:
        found = packed_states(llm, pack(rows, device=llm.device))
    except torch.OutOfMemoryError:
        raise
    except (IndexError, RuntimeError, TypeError, ValueError):  # it has no use for a mask with two axes
        return False
    alone = []
    for row in rows:
        ids = torch.tensor([row.ids], device=llm.device)
        alone.append(final_hidden_states(llm.model, ids, torch.ones_like(ids))[0, row.first_scored - 1 : -1])
    expected = torch.cat(alone).float()
    return bool((found.float() - expected).abs().mean() < _ROUNDING * expected.abs().mean())


def check_packing(llm: LanguageModel, rows: Sequence[Row]) -> None:
    """Raise UserError unless the model can read `rows` packed."""
    if not can_pack(llm, rows):
        raise UserError(
            f"'{llm.label}' reads texts otherwise when they share a row ({type(llm.model).__name__}); it cannot be "
            "taught here."
        )


def _lay_out(texts: Sequence[Sequence[int]], limit: int, device: torch.device | str) -> Layout:
    """Lay out token ids; at most `limit` of the tokens with which all texts begin are read once for all."""
    shared = num_shared(texts, limit)
    ids, places, owner = list(texts[0][:shared]), list(range(shared)), [-1] * shared
    width = max(map(len, texts))
    index = torch.zeros(len(texts), width, dtype=torch.long)
    index[:, :shared] = torch.arange(shared)
    for number, text in enumerate(texts):
        index[number, shared : len(text)] = torch.arange(len(ids), len(ids) + len(text) - shared)
        ids += text[shared:]
        places += range(shared, len(text))
        owner += [number] * (len(text) - shared)
    owners = torch.tensor(owner, device=device)
    seen = (owners[None, :] == owners[:, None]) | (owners == -1)[None, :]
    return Layout(
        ids=torch.tensor([ids], device=device),
        places=torch.tensor([places], device=device),
        mask=(seen & torch.ones_like(seen).tril())[None, None],
        index=index.to(device),
        source=owners.clamp(min=0) * width + torch.tensor(places, device=device),
    )


def _lay_out_frozen(layout: Layout, frozen: FrozenStates | None) -> FrozenStates | None:
    if frozen is None:
        return None
    return replace(frozen, states=frozen.states.flatten(0, 1).index_select(0, layout.source)[None])


def num_shared(texts: Sequence[Sequence[int]], limit: int) -> int:
    same = (len({text[place] for text in texts}) == 1 for place in range(limit))
    return next((place for place, is_same in enumerate(same) if not is_same), limit)
