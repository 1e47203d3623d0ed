"""How strongly a model would learn from a given text: the gradient of its loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from atu.evaluation.batching import Progress, check_finite, check_length, eval_mode, in_batches
from atu.evaluation.likelihood import Completion
from atu.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class GradientNorm:
    """2-norms of the gradient of one text's mean loss (nats per token) by all weights."""

    whole: float
    """Of the gradient as one vector (Wang et al. 2024, arXiv 2402.17012)."""
    mean_of_tensors: float
    """Mean over the weight tensors of each one's norm, as open-unlearning has it: small tensors count as large ones."""


def gradient_norms(
    llm: LanguageModel,
    completions: Sequence[Completion],
    *,
    hidden_id: int | None = None,
    progress: Progress | None = None,
) -> list[GradientNorm]:
    """The gradient norms of each completion's loss given its prompt, one text at a time, without dropout.

    All weights take part, also those that were frozen; they and their gradients are left as they were.

    Args:
        hidden_id: token that attention does not see; None for no such token.

    Raises:
        UserError: as `token_logprobs` raises.
    """
    for completion in completions:
        check_length(llm, completion.prompt, len(completion.ids))
    # Rounded weights are whole numbers, which have no gradient.
    weights = [weight for weight in llm.model.parameters() if weight.is_floating_point()]
    frozen = [weight for weight in weights if not weight.requires_grad]

    def work(batch: Sequence[Completion]) -> list[GradientNorm]:
        return [_gradient_norm(llm, weights, completion, hidden_id) for completion in batch]

    try:
        for weight in weights:
            weight.requires_grad_(True)
        with eval_mode(llm.model), torch.enable_grad():
            return in_batches(completions, work, batch_size=1, progress=progress)
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def _gradient_norm(
    llm: LanguageModel, weights: Sequence[torch.nn.Parameter], completion: Completion, hidden_id: int | None
) -> GradientNorm:
    ids = torch.tensor([[*completion.prompt, *completion.ids]], device=llm.device)
    mask = None if hidden_id is None else (ids != hidden_id).long()
    output = llm.model(input_ids=ids[:, :-1], attention_mask=None if mask is None else mask[:, :-1], use_cache=False)
    start = len(completion.prompt) - 1
    loss = cross_entropy(output.logits[0, start:].float(), ids[0, start + 1 :])
    # Not into `grad`, which may hold what training has gathered.
    gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, weights, allow_unused=True)
    norms = torch.stack([gradient.float().norm() for gradient in gradients if gradient is not None])
    check_finite(llm, completion.prompt, bool(norms.isfinite().all()))
    return GradientNorm(whole=float(norms.norm()), mean_of_tensors=float(norms.mean()))
