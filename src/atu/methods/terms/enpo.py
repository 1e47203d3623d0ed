"""ENPO: NPO's gate on the cosine between predicted embedding and concept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atu.methods.lazy import Bool, Float, functional, torch
from atu.methods.losses import masked_mean
from atu.methods.terms.base import Need, Term, positive
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.embedding.target import Concept, ConceptSpace
    from atu.methods.inputs import Inputs
    from atu.methods.materials import RowSet


@dataclass(frozen=True, kw_only=True)
class Enpo(Term):
    """NPO's loss with the cosine to the concept in place of the log-likelihood."""

    beta: float = 10.0
    """Inverse temperature, per unit of cosine."""
    target: Literal["name", "description"] = "name"
    """Text whose embedding stands for the concept: its name, or name and description."""

    needs = Need.HOOK | Need.REFERENCE_HOOK | Need.PREDICTOR | Need.REFERENCE_PREDICTOR
    look = Look("#CC79A7", "v")
    label = Words("ENPO", "ENPO")
    sentence = Words(
        "The predicted embedding's cosine to the concept sinks below what it was, and is pushed the less the further.",
        "使预测嵌入与概念的余弦低于原值，偏离越远，推力越小。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(beta=self.beta)

    def concept(self, space: ConceptSpace) -> Concept:
        return space.concept(self.target)

    def amount(self, rows: RowSet, index: int) -> int:
        return rows.num_windows(index)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        predicted = inputs.predicted
        vector = inputs.concept(self).vector.to(predicted.device)
        with torch.no_grad():
            reference_cosine = inputs.reference_predict(inputs.forget.reference_hook()) @ vector
        return enpo_loss(predicted @ vector, reference_cosine, self.beta, inputs.has_window)


def enpo_loss(
    cosine: Float[torch.Tensor, "*shape"],
    reference_cosine: Float[torch.Tensor, "*shape"],
    beta: float,
    mask: Bool[torch.Tensor, "*shape"],
) -> Float[torch.Tensor, ""]:
    """-(1/beta) mean log sigmoid(-beta D) where `mask` is True, with D = cos(e^_t, e_u) - cos(e_ref_t, e_u).

    Args:
        cosine, reference_cosine: of the predicted embedding to the concept e_u, now and under the reference.
        beta: inverse temperature, per unit of cosine.

    Source: the ENPO variant of Align-then-Unlearn. Differs: the reference is the model before the first step throughout
    (the variant re-copies it before each stage), and unmarked positions add nothing.
    """
    return masked_mean(-functional.logsigmoid(-beta * (cosine - reference_cosine)) / beta, mask)
