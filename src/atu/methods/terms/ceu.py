"""CE-U, cross-entropy unlearning: the model learns what it would say itself if the text's token did not exist."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Bool, Float, Int, torch
from atu.methods.losses import masked_mean, place_in_text
from atu.methods.terms.base import Need, Term, not_negative
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs
    from atu.methods.materials import RowSet


@dataclass(frozen=True, kw_only=True)
class Ceu(Term):
    """CE-U on the forget texts."""

    skip_first: int = 1
    """Tokens at the beginning of each text that are left alone: there a text has not said anything of its own yet."""

    needs = Need.LOGITS
    look = Look("#CC79A7", "o")
    label = Words("CE-U", "CE-U")
    sentence = Words(
        "On the forget texts the model learns what it would say itself if the text's own token did not exist.",
        "在遗忘文本上，让模型学习去掉原文词元之后它自己的输出分布。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(skip_first=self.skip_first)

    def amount(self, rows: RowSet, index: int) -> int:
        return max(0, rows.num_scored(index) - self.skip_first)

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        forget = inputs.forget
        return ceu_loss(forget.logits, forget.labels, place_in_text(forget.text) >= self.skip_first)


def ceu_loss(
    logits: Float[torch.Tensor, "n vocab"], labels: Int[torch.Tensor, " n"], mask: Bool[torch.Tensor, " n"]
) -> Float[torch.Tensor, ""]:
    """Mean KL(q || p), nats per token; q is p of the same step, a constant, without the label. 0 where nothing counts.

    As q = p / (1 - p_label) on all other tokens, this is -log(1 - p_label), a difference of two log-sum-exps. Its
    gradient in the logits is p - q: bounded, largest for a token that is certain, 0 for one that is forgotten.

    Args:
        mask: tokens that count.

    Source: Yang 2025 (arXiv 2503.01224), CE-U. Differs: there it is the cross-entropy to q, which is larger by the
    entropy of q and has the same gradient. The value is that of unlikelihood training, Welleck et al. 2019
    (arXiv 1908.04319).
    """
    logits = logits.float()
    others = logits.scatter(-1, labels.unsqueeze(-1), float("-inf"))
    return masked_mean(logits.logsumexp(dim=-1) - others.logsumexp(dim=-1), mask)
