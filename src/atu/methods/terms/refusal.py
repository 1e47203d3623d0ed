"""Refusal tuning: the model learns to say "I don't know" in answer to the forget texts' prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Float, torch
from atu.methods.refusals import refusal_texts
from atu.methods.terms.base import Need, Term
from atu.records import Look, Text, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs
    from atu.methods.materials import Progress
    from atu.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class Refusal(Term):
    """Mean token NLL of refusals; the forget texts themselves are not read."""

    texts = "instead"
    needs = Need.INSTEAD
    look = Look("#009E73", "D")
    label = Words("refusal tuning", "拒答微调")
    sentence = Words(
        'The model learns to say "I don\'t know" in answer to the prompts of the forget texts.',
        "模型学习对遗忘文本的提示回答“我不知道”。",
    )

    def instead(self, llm: LanguageModel, texts: Sequence[Text], seed: int, progress: Progress) -> Sequence[Text]:
        return refusal_texts(texts, seed)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        return refusal_loss(inputs.instead(self).nll)


def refusal_loss(nll: Float[torch.Tensor, " n"]) -> Float[torch.Tensor, ""]:
    """Mean token NLL of refusals: supervised fine-tuning on them.

    Args:
        nll: of each scored token of the refusals, nats.

    Source: Jin et al. 2024 (arXiv 2406.10890), rejection tuning.
    """
    return nll.mean()
