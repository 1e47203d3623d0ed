"""The loss by which a model learns texts: what teaching makes smaller, and relearning as an attack."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from atu.methods.losses import mean_nll_of_rows, token_nll
from atu.models.hook import final_hidden_states, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.packing import pack, packed_states
from atu.models.rows import Row, collate


def nll_of_texts(llm: LanguageModel, rows: Sequence[Row], *, packed: bool) -> Float[Tensor, ""]:
    """Nats per scored token of each row, and the mean over rows, so that each weighs the same.

    Args:
        packed: read the rows in one, behind each other, where the model can (`can_pack`); else padded.
    """
    if packed:
        batch = pack(rows, device=llm.device)
        states, labels, row = packed_states(llm, batch), batch.labels, batch.text
    else:
        padded = collate(rows, range(len(rows)), pad_id=llm.pad_id, device=llm.device)
        scored = padded.is_scored[:, 1:]
        states = final_hidden_states(llm.model, padded.ids, padded.is_token)[:, :-1][scored]
        labels, row = padded.ids[:, 1:][scored], scored.nonzero()[:, 0]
    return mean_nll_of_rows(token_nll(logits_from_hidden(llm.model, states), labels), row, len(rows))
