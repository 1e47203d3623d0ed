"""JensUn: the texts' tokens give way to those of a fixed refusal, by a divergence that is bounded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.errors import UserError
from atu.methods.lazy import Float, Int, torch
from atu.methods.losses import place_in_text, token_nll
from atu.methods.terms.base import Need, Term
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class Jensun(Term):
    """JensUn's forget loss on the forget texts."""

    answer: str = "No idea"
    """What is to be said in their place, again and again."""

    needs = Need.LOGITS
    look = Look("#D55E00", "s")
    label = Words("JensUn", "JensUn")
    sentence = Words(
        "Wherever a forget text has a token, the model learns to say the next one of a fixed refusal.",
        "在遗忘文本的每个位置，让模型改为输出固定拒答语的下一个词元。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.answer.strip():
            raise UserError("answer must not be empty.")

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        forget = inputs.forget
        ids = forget.llm.tokenizer(self.answer, add_special_tokens=False)["input_ids"]
        answer = torch.tensor(ids, device=forget.text.device)
        return jensun_loss(token_nll(forget.logits, repeated(answer, forget.text)))


def jensun_loss(target_nll: Float[torch.Tensor, " n"]) -> Float[torch.Tensor, ""]:
    """Mean Jensen-Shannon divergence of p from a target that is sure of one token, nats per token; in [0, log 2].

    With p the probability of that token it is log 2 + (p log p - (1 + p) log(1 + p)) / 2, whatever the others have of
    the rest. The gradient is bounded, and far from the target it comes to nothing. 0 without tokens.

    Args:
        target_nll: NLL of the target's token at each scored position, nats; p = exp(-target_nll).

    Source: Singh et al. 2025 (arXiv 2509.02820), JensUn's forget loss.
    """
    p = (-target_nll).exp()
    divergence = math.log(2.0) - (p * target_nll + (1.0 + p) * p.log1p()) / 2.0
    return divergence.sum() / max(1, len(target_nll))


def repeated(pattern: Int[torch.Tensor, " k"], text: Int[torch.Tensor, " n"]) -> Int[torch.Tensor, " n"]:
    """The target of each token: `pattern` again and again, from the first token of each text on.

    Args:
        text: which text each token is of, in ascending order.

    Source: the authors' code (nmndeep/JensUn-Unlearning).
    """
    return pattern[place_in_text(text) % len(pattern)]
