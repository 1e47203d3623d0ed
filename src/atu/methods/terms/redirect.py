"""Redirect: the predicted embedding goes to what would be predicted had the model not seen the concept's words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Bool, Float, torch
from atu.methods.losses import masked_mean
from atu.methods.terms.base import Need, Term
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs
    from atu.methods.materials import RowSet


@dataclass(frozen=True, kw_only=True)
class Redirect(Term):
    """Cosine distance to the embedding that is predicted from the blind reference's states."""

    needs = Need.HOOK | Need.BLIND_HOOK | Need.PREDICTOR
    look = Look("#0072B2", "o")
    label = Words("redirection", "重定向")
    sentence = Words(
        "The predicted embedding moves to the one predicted for the model before, had it not seen the concept's words.",
        "使预测的嵌入移向原模型在看不到概念词语时所对应的嵌入。",
    )

    def amount(self, rows: RowSet, index: int) -> int:
        return rows.num_windows(index)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        predicted = inputs.predicted
        with torch.no_grad():
            blind = inputs.predict(inputs.forget.blind_hook())
        return redirect_loss(predicted, blind, inputs.has_window)


def redirect_loss(
    predicted: Float[torch.Tensor, "batch pos d_enc"],
    blind: Float[torch.Tensor, "batch pos d_enc"],
    mask: Bool[torch.Tensor, "batch pos"],
) -> Float[torch.Tensor, ""]:
    """Mean of 1 - cos(e^_t, e^blind_t) where `mask` is True.

    Args:
        predicted: e^, unit embeddings.
        blind: e^blind, what the reference makes the predictor say when it cannot see the concept's words.

    Source: ours. Bounded and zero once reached, where a push has no natural end.
    """
    return masked_mean(1.0 - (predicted * blind).sum(dim=-1), mask)
