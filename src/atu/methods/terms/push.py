"""Push: the predicted embedding is moved away from the concept's, down to a threshold (the paper's loss)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atu.errors import UserError
from atu.methods.lazy import Bool, Float, functional, torch
from atu.methods.losses import masked_mean
from atu.methods.terms.base import Need, Term
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.embedding.target import Concept, ConceptSpace
    from atu.methods.inputs import Inputs
    from atu.methods.materials import RowSet


@dataclass(frozen=True, kw_only=True)
class Push(Term):
    """Hinge on the cosine between predicted embedding and concept."""

    target: Literal["name", "description"] = "name"
    """Text whose embedding stands for the concept: its name, or name and description."""
    threshold_percentile: float = 95.0
    """Of a stage without a threshold: tau is this percentile of the cosines that true windows of other texts have to
    the concept."""
    positions: Literal["windows", "all"] = "windows"
    """Over which positions of a forget text the mean runs. `windows`: those that have a window, for which alone the
    predictor is trained. `all`: every position, and texts are filled up to `max_input_length` with end tokens that are
    read as text; only without any other term, as the released code has it."""

    look = Look("#D55E00", "D")
    label = Words("push", "推离")
    sentence = Words(
        "The predicted embedding is pushed away from the concept's, until their cosine is below a threshold.",
        "将预测的嵌入推离概念的嵌入，直至两者余弦低于阈值。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold_percentile <= 100:
            raise UserError("threshold_percentile must lie in [0, 100].")

    @property
    def needs(self) -> Need:
        needs = Need.HOOK | Need.PREDICTOR | Need.STAGE_THRESHOLD
        return needs | Need.FILLED_TEXTS if self.positions == "all" else needs

    def concept(self, space: ConceptSpace) -> Concept:
        return space.concept(self.target, self.threshold_percentile)

    def amount(self, rows: RowSet, index: int) -> int:
        return rows.num_tokens(index) if self.positions == "all" else rows.num_windows(index)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        concept = inputs.concept(self)
        tau = concept.tau if inputs.threshold is None else inputs.threshold
        assert tau is not None
        counts = inputs.forget.batch.is_token if self.positions == "all" else inputs.has_window
        return push_loss(inputs.predicted @ concept.vector.to(inputs.predicted.device), tau, counts)


def push_loss(
    cosine: Float[torch.Tensor, "*shape"], tau: float, mask: Bool[torch.Tensor, "*shape"]
) -> Float[torch.Tensor, ""]:
    """Mean of max(0, cos(e^_t, e_u) - tau) where `mask` is True: moves the prediction e^ away from the concept e_u.

    Args:
        cosine: cos(e^_t, e_u).
        tau: below it nothing is left to do, [-1, 1].

    Source: Spohn et al. 2025 (arXiv 2506.13181), Align-then-Unlearn's unlearning loss.
    """
    return masked_mean(functional.relu(cosine - tau), mask)
