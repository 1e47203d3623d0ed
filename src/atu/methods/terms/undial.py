"""UNDIAL: self-distillation from the reference, in which the logit of each token of a forget text is lowered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, Int, torch
from atu.methods.losses import kl_to_reference
from atu.methods.terms.base import Need, Term, positive
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class Undial(Term):
    """KL to the lowered reference, nats per token."""

    gamma: float = 10.0
    """What the logit of a text's token is lowered by."""

    needs = Need.LOGITS | Need.REFERENCE_LOGITS
    look = Look("#0072B2", "s")
    label = Words("UNDIAL", "UNDIAL")
    sentence = Words(
        "On forget texts the model learns what it said before, each text's own tokens made unlikely.",
        "在遗忘文本上，模型学习其原有的输出，但各文本自身的词元被压低。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(gamma=self.gamma)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        forget = inputs.forget
        return kl_to_reference(forget.logits, lowered_logits(forget.reference_logits(), forget.labels, self.gamma))


def lowered_logits(
    logits: Float[torch.Tensor, "n vocab"], labels: Int[torch.Tensor, " n"], gamma: float
) -> Float[torch.Tensor, "n vocab"]:
    """Logits with that of each label lowered by `gamma`; from then on the label's odds are e^-gamma of what they were.

    Source: Dong et al. 2024 (arXiv 2402.10052), UNDIAL's teacher. There the student learns it by cross-entropy, which
    differs from `kl_to_reference` by the teacher's entropy, a constant.
    """
    lowered = torch.full_like(labels, -gamma, dtype=torch.float32).unsqueeze(-1)
    return logits.float().scatter_add(-1, labels.unsqueeze(-1), lowered)
