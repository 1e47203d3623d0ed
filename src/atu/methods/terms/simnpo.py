"""SimNPO: negative preference optimisation without a reference, by the mean likelihood of a text's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, functional, torch
from atu.methods.losses import nll_of_rows
from atu.methods.terms.base import Need, Term, not_negative, positive
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs
    from atu.methods.materials import RowSet


@dataclass(frozen=True, kw_only=True)
class Simnpo(Term):
    """SimNPO on the forget texts."""

    beta: float = 2.5
    """Inverse temperature, per nat per token."""
    gamma: float = 0.0
    """Reward margin."""

    needs = Need.LOGITS
    look = Look("#E69F00", "v")
    label = Words("SimNPO", "SimNPO")
    sentence = Words(
        "The forget texts become less likely, and the less the further, by the mean over each text's tokens.",
        "使遗忘文本的概率降低（按每个文本词元的均值计），降得越多，推力越小。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(beta=self.beta)
        not_negative(gamma=self.gamma)

    def amount(self, rows: RowSet, index: int) -> int:
        return 1

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        forget = inputs.forget
        return simnpo_loss(nll_of_rows(forget.nll, forget.text, len(forget.indices)), self.beta, self.gamma)


def simnpo_loss(nll: Float[torch.Tensor, " rows"], beta: float, gamma: float) -> Float[torch.Tensor, ""]:
    """-(2/beta) mean log sigmoid(-(beta/|y|) log pi(y|x) - gamma): NPO without a reference.

    Args:
        nll: -(1/|y|) log pi(y|x), the mean token NLL of each forget sequence, nats per token.
        beta: inverse temperature, per nat per token.
        gamma: reward margin.

    Source: Fan et al. 2024 (arXiv 2410.07163), SimNPO's forget loss.
    """
    return -(2.0 / beta) * functional.logsigmoid(beta * nll - gamma).mean()
