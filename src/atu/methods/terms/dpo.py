"""DPO: "I don't know" is to be preferred to each forget text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, functional, torch
from atu.methods.refusals import refusal_texts
from atu.methods.terms.base import Need, Term, positive
from atu.records import Look, Text, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs
    from atu.methods.materials import Progress, RowSet
    from atu.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Dpo(Term):
    """Direct preference optimisation, a refusal against each forget text; log-ratios summed over each answer."""

    beta: float = 0.1
    """Inverse temperature, per nat."""

    needs = Need.LOGITS | Need.INSTEAD | Need.REFERENCE_LOGITS | Need.REFERENCE_INSTEAD
    look = Look("#E69F00", "o")
    label = Words("DPO (IDK)", "DPO（IDK）")
    sentence = Words(
        'In answer to the same prompt "I don\'t know" is preferred to each forget text.',
        "对同一提示，更偏好“我不知道”而非遗忘文本。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(beta=self.beta)

    def instead(self, llm: LanguageModel, texts: Sequence[Text], seed: int, progress: Progress) -> Sequence[Text]:
        return refusal_texts(texts, seed)

    def amount(self, rows: RowSet, index: int) -> int:
        return 1

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        forget, refusals = inputs.forget, inputs.instead(self)
        rejected, reference_rejected = forget.nll_of_texts(), forget.reference_nll_of_texts()
        return dpo_loss(
            refusals.nll_of_texts(), refusals.reference_nll_of_texts(), rejected, reference_rejected, self.beta
        )


def dpo_loss(
    preferred: Float[torch.Tensor, " rows"],
    reference_preferred: Float[torch.Tensor, " rows"],
    rejected: Float[torch.Tensor, " rows"],
    reference_rejected: Float[torch.Tensor, " rows"],
    beta: float,
) -> Float[torch.Tensor, ""]:
    """-(2/beta) mean log sigmoid(beta (log(pi/pi_ref) of the preferred - log(pi/pi_ref) of the rejected answer)).

    Args:
        preferred, rejected: summed NLL of each answer now, nats; the `reference_` ones under the reference.
        beta: inverse temperature, per nat.

    Source: Rafailov et al. 2023 (arXiv 2305.18290), equation 7. Differs: the factor 2/beta that NPO has, which is this
    loss without the preferred answer, so that a weight means the same of both.
    """
    gain = (reference_preferred - preferred) - (reference_rejected - rejected)
    return -(2.0 / beta) * functional.logsigmoid(beta * gain).mean()
