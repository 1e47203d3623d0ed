"""WGA, weighted gradient ascent: it lets go of a token once that is forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, torch
from atu.methods.terms.base import Need, Term, not_negative
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class Wga(Term):
    """WGA on the forget texts."""

    alpha: float = 1.0
    """Power of a token's probability that is its weight. 0 is gradient ascent; the larger, the sooner it is let go."""

    needs = Need.LOGITS
    look = Look("#009E73", "o")
    label = Words("WGA", "WGA")
    sentence = Words(
        "The forget texts become less likely, each token in proportion to how likely it still is.",
        "降低遗忘文本的概率，每个词元的推力与其当前概率成比例。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(alpha=self.alpha)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        return wga_loss(inputs.forget.nll, self.alpha)


def wga_loss(nll: Float[torch.Tensor, " n"], alpha: float) -> Float[torch.Tensor, ""]:
    """Minus the mean of p^alpha NLL over the forget texts' tokens; the weight p^alpha is a constant of the step.

    The gradient of log p has 1/p in it, so gradient ascent pushes hardest what it has already forgotten, and the model
    breaks. The weight takes that back: a token's share in the gradient falls with p. The value itself does not measure
    progress, since p log p is 0 at both ends. 0 without tokens.

    Args:
        nll: NLL of each scored token now, nats; p = exp(-nll).
        alpha: power of p.

    Source: Wang et al. 2025 (arXiv 2502.19301), WGA; so in the authors' code (tmlr-group/G-effect).
    """
    weight = (-alpha * nll.detach()).exp()
    return -(weight * nll).sum() / max(1, len(nll))
