"""What the reference, the model before the first step, says about the training texts; computed once.

Kept are the hidden states before the output head: exact, and some hundred times smaller than the logits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atu.embedding.cache import Put, Wanted, built_arrays, cached_arrays
from atu.models.hook import FrozenStates, capture_hook
from atu.models.language_model import LanguageModel
from atu.models.packing import read_batch
from atu.models.rows import Batch, Row, collate
from atu.storage.files import content_key

_BATCH_SIZE = 16


@dataclass(frozen=True)
class ReferenceStates:
    """States of the reference for some rows, one tensor a row, float32 on the CPU, where it may be a part of a
    file. Empty is what nobody reads."""

    final: tuple[Float[Tensor, "_ d_llm"], ...] = ()
    """Before the output head, where a scored token is predicted from."""
    hook: tuple[Float[Tensor, "_ d_llm"], ...] = ()
    """At the hook layer, of every token."""
    frozen: tuple[Float[Tensor, "_ d_llm"], ...] = ()
    """Behind the blocks that stay frozen, after which training begins; empty where it begins at the tokens."""
    frozen_blocks: int = 0
    """Number of those blocks."""

    def gather_final(self, batch: Batch) -> Float[Tensor, "n d_llm"]:
        """States from which the scored tokens of a batch are predicted, in the order of `scored_states`."""
        return torch.cat([self.final[i] for i in batch.indices])

    def padded_hook(self, batch: Batch) -> Float[Tensor, "batch pos d_llm"]:
        """Hook states of a batch, zeros on padding."""
        return _padded(self.hook, batch)

    def padded_frozen(self, batch: Batch) -> FrozenStates | None:
        """Where training's pass over a batch begins; None = at the tokens."""
        return (
            FrozenStates(self.frozen_blocks, _padded(self.frozen, batch).to(batch.ids.device)) if self.frozen else None
        )


def scored_states(hidden: Float[Tensor, "batch pos d_llm"], batch: Batch) -> Float[Tensor, "n d_llm"]:
    """The states from which scored tokens are predicted: position t - 1 for token t, row by row."""
    return hidden[:, :-1][batch.is_scored[:, 1:]]


def scored_labels(batch: Batch) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
    """Ids of the scored tokens, and the row of the batch that each belongs to."""
    rows = torch.arange(len(batch.ids), device=batch.ids.device).unsqueeze(1).expand_as(batch.ids)
    return batch.ids[batch.is_scored], rows[batch.is_scored]


def marked(batch: Batch, positions: Sequence[Sequence[int]]) -> Bool[Tensor, "batch pos"]:
    """True at the given positions, which are one sequence for each of all rows, of the batch's rows."""
    marks = torch.zeros_like(batch.is_token)
    for b, i in enumerate(batch.indices):
        marks[b, list(positions[i])] = True
    return marks


def _padded(states: Sequence[Tensor], batch: Batch) -> Float[Tensor, "batch pos d_llm"]:
    width = batch.ids.shape[1]
    return torch.stack([nn.functional.pad(states[i], (0, 0, 0, width - len(states[i]))) for i in batch.indices])


def original_head(llm: LanguageModel) -> nn.Module:
    """A frozen copy of the output head, so that its logits stay what they were."""
    head: nn.Module = deepcopy(llm.model.get_output_embeddings())
    return head.requires_grad_(False)


def reference_states(
    llm: LanguageModel,
    rows: Sequence[Row],
    *,
    final: bool = True,
    hook_layer: int | None = None,
    frozen_blocks: int = 0,
    hidden: Sequence[Sequence[int]] | None = None,
    packed: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ReferenceStates:
    """Run the reference over `rows`; found again in the cache for the same weights and rows.

    A model without a checksum is run each time. Under autocast the states are those of autocast, as in training, and
    are kept apart. Blocks above all that is asked for are not run.

    Args:
        final: keep the final states of scored tokens.
        hook_layer: keep the states at this index into the hidden states; None keeps none.
        frozen_blocks: keep the states behind this many blocks; 0 keeps none.
        hidden: for each row the positions that no other may attend to. The model then reads each text without the
            concept's words, at unchanged positions.
        packed: read several texts in one row, where the model can (`can_pack`).
    """
    device = llm.device.type
    common = {
        "model": dict(llm.provenance),
        "dtype": str(llm.model.dtype),
        "autocast": str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None,
        "hidden": None if hidden is None else [list(positions) for positions in hidden],
        "packed": packed,
        "rows": [list(row.ids) for row in rows],
    }
    cuts = {name: [len(row.ids) for row in rows] for name in ("hook", "frozen")}
    cuts["final"] = [len(row.ids) - row.first_scored for row in rows]
    layers = {"hook": hook_layer or 0, "frozen": frozen_blocks}
    kinds = [name for name, layer in layers.items() if layer] + (["final"] if final else [])
    keys = {
        name: content_key(
            common | ({"layer": layers[name]} if name in layers else {"scored": [row.first_scored for row in rows]})
        )
        for name in kinds
    }
    shapes = {name: (sum(cuts[name]), llm.model.config.get_text_config().hidden_size) for name in kinds}

    def build(missing: list[str], put: Put) -> None:
        chosen = {name: layers.get(name) for name in missing}
        _compute_states(llm, rows, chosen, put, hidden=hidden, packed=packed, progress=progress)

    if llm.provenance.get("sha256"):
        wanted = {name: Wanted(keys[name], shapes[name]) for name in kinds}
        arrays = cached_arrays("references", wanted, build)
    else:
        arrays = built_arrays(shapes, build)
    parts = {name: array.split(cuts[name]) for name, array in arrays.items()}
    return ReferenceStates(**parts, frozen_blocks=frozen_blocks)


@torch.no_grad()
def _compute_states(
    llm: LanguageModel,
    rows: Sequence[Row],
    kinds: Mapping[str, int | None],
    put: Put,
    *,
    hidden: Sequence[Sequence[int]] | None,
    packed: bool,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Put the states of all rows, one after another, a batch at a time.

    Args:
        kinds: names of states, with their layer; None are the final states of scored tokens.
    """
    layers = {name: layer for name, layer in kinds.items() if layer is not None}
    for start in range(0, len(rows), _BATCH_SIZE):
        chosen = range(start, min(start + _BATCH_SIZE, len(rows)))
        batch = collate(rows, list(chosen), pad_id=llm.pad_id, device=llm.device)
        with ExitStack() as hooks:
            captured = {name: hooks.enter_context(capture_hook(llm.model, layer)) for name, layer in layers.items()}
            is_hidden = None if hidden is None else marked(batch, hidden)
            last = None if "final" in kinds else max(layers.values())
            final, in_batch_shape = read_batch(llm, batch, packed=packed, hidden=is_hidden, last=last)
        states = {name: in_batch_shape(at.hidden) for name, at in captured.items()}
        if "final" in kinds:
            put("final", scored_states(final, batch).float().cpu())
        for name, of_batch in states.items():
            for b, i in enumerate(chosen):
                put(name, of_batch[b, : len(rows[i].ids)].float().cpu())
        if progress is not None:
            progress(min(start + _BATCH_SIZE, len(rows)), len(rows))
