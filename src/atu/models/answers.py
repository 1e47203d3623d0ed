"""What a model says to some prompts, kept to be compared with another model's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from atu.models.language_model import LanguageModel

_NEW_TOKENS = 16


@dataclass(frozen=True)
class Reading:
    """Logits at every position of each prompt, float32 on the CPU, and the greedy answers."""

    logits: tuple[Float[Tensor, "_ vocab"], ...]
    answers: tuple[tuple[int, ...], ...]

    def largest_difference(self, other: Reading) -> float:
        """Largest absolute difference of a logit."""
        pairs = zip(self.logits, other.logits, strict=True)
        return max(float((mine - others).abs().max()) for mine, others in pairs)

    def largest_logit(self) -> float:
        """Largest absolute value of a logit."""
        return max(float(logits.abs().max()) for logits in self.logits)

    def num_same_answers(self, other: Reading) -> int:
        """How many answers agree token for token."""
        return sum(mine == others for mine, others in zip(self.answers, other.answers, strict=True))


@torch.no_grad()
def read_answers(llm: LanguageModel, prompts: Sequence[str]) -> Reading:
    """Read rendered `prompts` one at a time, so that no padding plays a part."""
    logits, answers = [], []
    for prompt in prompts:
        ids = llm.encode(prompt)
        input_ids = torch.tensor([ids], device=llm.device)
        logits.append(llm.model(input_ids=input_ids, use_cache=False).logits[0].float().cpu())
        answers.append(tuple(greedy_answer(llm.model, ids, llm.end_ids, llm.pad_id)))
    return Reading(tuple(logits), tuple(answers))


def greedy_answer(
    model: PreTrainedModel, ids: list[int], end_ids: Sequence[int] | int | None, pad_id: int
) -> list[int]:
    """Up to 16 new tokens of the greedy answer, the end token included."""
    input_ids = torch.tensor([ids], device=model.device)
    output = model.generate(
        input_ids=input_ids,
        attention_mask=torch.ones_like(input_ids),
        max_new_tokens=_NEW_TOKENS,
        do_sample=False,
        eos_token_id=end_ids,
        pad_token_id=pad_id,
    )
    new: list[int] = output[0, len(ids) :].tolist()
    return new
