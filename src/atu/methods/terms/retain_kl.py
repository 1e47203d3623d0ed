"""Retain KL: on texts about anything else the model keeps saying what the reference says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, torch
from atu.methods.losses import kl_to_reference
from atu.methods.terms.base import Need, Term
from atu.records import Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class RetainKl(Term):
    """KL from the reference on the retain texts, nats per token."""

    texts = "retain"
    needs = Need.RETAIN | Need.REFERENCE_RETAIN
    label = Words("retain KL", "保留 KL")
    sentence = Words(
        "On texts about anything else the model keeps saying what it said before.",
        "在与概念无关的文本上，模型保持原有的输出。",
    )

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        return kl_to_reference(inputs.retain.logits, inputs.retain.reference_logits())
