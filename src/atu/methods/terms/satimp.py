"""SatImp, saturation and importance: gradient ascent on tokens that are neither forgotten nor sure in any case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, torch
from atu.methods.terms.base import Need, Term, not_negative
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class Satimp(Term):
    """SatImp on the forget texts."""

    saturation: float = 5.0
    """Power of a token's probability p in its weight; beta_1 of the paper. The larger, the sooner it is let go."""
    importance: float = 0.1
    """Power of 1 - p in its weight; beta_2 of the paper. The larger, the more are tokens spared that are sure."""

    needs = Need.LOGITS
    look = Look("#009E73", "s")
    label = Words("SatImp", "SatImp")
    sentence = Words(
        "The forget texts become less likely, above all tokens that are neither forgotten yet nor certain.",
        "降低遗忘文本的概率，主要针对尚未遗忘且并非必然出现的词元。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(saturation=self.saturation, importance=self.importance)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        return satimp_loss(inputs.forget.nll, self.saturation, self.importance)


def satimp_loss(nll: Float[torch.Tensor, " n"], saturation: float, importance: float) -> Float[torch.Tensor, ""]:
    """Minus the mean of p^saturation (1 - p)^importance NLL over the forget texts' tokens; the weight is a constant.

    The first factor lets go of tokens that are forgotten (as WGA does), the second spares those that follow from what
    stands before them, such as the rest of a word. 0 without tokens.

    Args:
        nll: NLL of each scored token now, nats; p = exp(-nll).
        saturation, importance: powers of p and of 1 - p.

    Source: Yang et al. 2025 (arXiv 2505.11953), SatImp; so in the authors' code (tmlr-group/SatImp).
    """
    fixed = nll.detach()
    weight = (-saturation * fixed).exp() * (-(-fixed).expm1()) ** importance  # expm1: 1 - p where p is nearly 1
    return -(weight * nll).sum() / max(1, len(nll))
