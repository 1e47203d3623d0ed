"""Negative preference optimisation: the forget texts are to be less likely than they are to the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, functional, torch
from atu.methods.terms.base import Need, Term, positive
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs
    from atu.methods.materials import RowSet


@dataclass(frozen=True, kw_only=True)
class Npo(Term):
    """NPO on the forget texts, log-ratios summed over each text."""

    beta: float = 0.1
    """Inverse temperature."""
    skip_end: bool = False
    """Whether the token that ends a turn is left out: pushed away, it would let answers run on and on."""

    needs = Need.LOGITS | Need.REFERENCE_LOGITS
    look = Look("#E69F00", "s")
    label = Words("NPO", "NPO")
    sentence = Words(
        "The forget texts become less likely than they were, and the less the further they are.",
        "使遗忘文本的概率低于原来的水平，偏离越远，推力越小。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(beta=self.beta)

    def amount(self, rows: RowSet, index: int) -> int:
        return 1

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        forget = inputs.forget
        counts = ~forget.ends_turn if self.skip_end else slice(None)
        return npo_loss(forget.nll_of_texts(counts), forget.reference_nll_of_texts(counts), self.beta)


def npo_loss(
    nll: Float[torch.Tensor, " rows"], reference_nll: Float[torch.Tensor, " rows"], beta: float
) -> Float[torch.Tensor, ""]:
    """-(2/beta) mean log sigmoid(-beta log(pi / pi_ref)), log-ratios summed over each sequence.

    Args:
        nll, reference_nll: summed NLL of each forget sequence now and under the reference, nats.
        beta: inverse temperature, per nat.

    Source: Zhang et al. 2024 (arXiv 2404.05868), equation 3.
    """
    return -(2.0 / beta) * functional.logsigmoid(beta * (nll - reference_nll)).mean()
