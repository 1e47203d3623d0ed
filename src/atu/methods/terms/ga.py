"""Gradient ascent on the forget texts; with a retain term it is what the field calls GradDiff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, torch
from atu.methods.terms.base import Need, Term
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class Ga(Term):
    """Minus the mean token NLL of the forget texts."""

    needs = Need.LOGITS
    look = Look("#009E73", "^")
    label = Words("GA", "GA")
    sentence = Words("The forget texts become less likely, without an end.", "使遗忘文本的概率不断降低，没有终点。")

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        return ga_loss(inputs.forget.nll)


def ga_loss(nll: Float[torch.Tensor, " n"]) -> Float[torch.Tensor, ""]:
    """Gradient ascent: minus the mean token NLL of the forget texts (unbounded below).

    Args:
        nll: of each scored token, nats.

    Source: Jang et al. 2023 (arXiv 2210.01504), equation 1.
    """
    return -nll.mean()
