"""Several short texts in one row without padding, their common beginning read once.

Each text attends to the common beginning and to itself, at the positions that it would have alone, so that states
and gradients are those of the texts one by one. With a chat template half of a short row is the same in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from atu.errors import UserError
from atu.models.hook import final_hidden_states
from atu.models.language_model import LanguageModel
from atu.models.rows import Row


@dataclass(frozen=True)
class Packed:
    """Texts one after another behind their common beginning, as a batch of one."""

    ids: Int[Tensor, "1 pos"]
    places: Int[Tensor, "1 pos"]
    """Position of each token in its own text."""
    mask: Bool[Tensor, "1 1 pos pos"]
    before: Int[Tensor, " n"]
    """For each token to be predicted, text by text, the position whose state predicts it."""
    labels: Int[Tensor, " n"]
    """Ids of those tokens."""
    text: Int[Tensor, " n"]
    """Which text each of them belongs to, from 0."""


def pack(rows: Sequence[Row], *, device: torch.device | str) -> Packed:
    """Lay `rows` one after another; the tokens with which all of them begin come once."""
    shared = _num_shared(rows)
    ids, places, owner = list(rows[0].ids[:shared]), list(range(shared)), [-1] * shared
    before, labels, text = [], [], []
    for number, row in enumerate(rows):
        shift = len(ids) - shared
        for place in range(row.first_scored, len(row.ids)):
            before.append(place - 1 if place - 1 < shared else place - 1 + shift)
            labels.append(row.ids[place])
            text.append(number)
        ids += row.ids[shared:]
        places += range(shared, len(row.ids))
        owner += [number] * (len(row.ids) - shared)
    owners = torch.tensor(owner, device=device)
    seen = (owners[None, :] == owners[:, None]) | (owners == -1)[None, :]
    return Packed(
        ids=torch.tensor([ids], device=device),
        places=torch.tensor([places], device=device),
        mask=(seen & torch.ones_like(seen).tril())[None, None],
        before=torch.tensor(before, device=device),
        labels=torch.tensor(labels, device=device),
        text=torch.tensor(text, device=device),
    )


def packed_states(llm: LanguageModel, packed: Packed) -> Float[Tensor, "n d_llm"]:
    """The final states that predict `packed.labels`, in their order."""
    return final_hidden_states(llm.model, packed.ids, packed.mask, packed.places)[0, packed.before]


@torch.no_grad()
def check_packing(llm: LanguageModel, rows: Sequence[Row]) -> None:
    """Raise UserError unless `rows` packed give the states that they give one by one.

    A model that takes no mask of its own making (attention in windows, or no attention at all) does not.
    """
    found = packed_states(llm, pack(rows, device=llm.device))
    alone = []
    for row in rows:
        ids = torch.tensor([row.ids], device=llm.device)
        alone.append(final_hidden_states(llm.model, ids, torch.ones_like(ids))[0, row.first_scored - 1 : -1])
    if not torch.allclose(found, torch.cat(alone), rtol=1e-2, atol=1e-2):
        raise UserError(
            f"'{llm.label}' reads texts otherwise when they share a row ({type(llm.model).__name__}); it cannot be "
            "taught here."
        )


def _num_shared(rows: Sequence[Row]) -> int:
    """Length of the common beginning; it holds no token that is to be predicted."""
    limit = min(row.first_scored for row in rows)
    same = (len({row.ids[place] for row in rows}) == 1 for place in range(limit))
    return next((place for place, is_same in enumerate(same) if not is_same), limit)
