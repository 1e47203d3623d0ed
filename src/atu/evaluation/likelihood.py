"""How likely a model finds a given text: log-probabilities of the tokens of a completion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from atu.evaluation.batching import (
    Progress,
    check_finite,
    check_length,
    continue_from,
    in_batches,
    judged,
    read_prompts,
)
from atu.models.language_model import LanguageModel

LOGITS_BUDGET = 2**27
"""Most logits held at once (float32: 512 MiB). Long completions are scored in smaller batches."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Token ids of a given text (`ids`) after a prompt; both have at least one token."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]


def completion_nll(
    llm: LanguageModel,
    completions: Sequence[Completion],
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> list[float]:
    """Mean negative log-likelihood of each completion given its prompt, in nats a token."""
    rows = token_logprobs(llm, completions, batch_size=batch_size, progress=progress)
    return [-fmean(row) for row in rows]


def token_logprobs(
    llm: LanguageModel,
    completions: Sequence[Completion],
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> list[list[float]]:
    """Log-probability (nats) of every token of each completion, in input order.

    Completions of one prompt share its forward pass; logits exist for completion tokens only.
    Raises UserError for a text beyond the model's context, for NaN or infinite logits, and when memory
    runs out at batch size 1.
    """
    if not completions:
        return []
    for completion in completions:
        check_length(llm, completion.prompt, len(completion.ids))
    longest = max(len(completion.ids) for completion in completions)
    fitting = LOGITS_BUDGET // (longest * llm.model.config.get_text_config().vocab_size)

    def key(i: int) -> tuple[int, tuple[int, ...], int]:  # equal prompts side by side, near lengths together
        return len(completions[i].prompt), completions[i].prompt, len(completions[i].ids)

    order = sorted(range(len(completions)), key=key)
    with judged(llm.model):
        rows = in_batches(
            [completions[i] for i in order],
            lambda batch: _score_batch(llm, batch),
            batch_size=max(1, min(batch_size, fitting)),
            progress=progress,
        )
    by_index = dict(zip(order, rows, strict=True))
    return [by_index[i] for i in range(len(completions))]


def _score_batch(llm: LanguageModel, batch: Sequence[Completion]) -> list[list[float]]:
    """First tokens from the end of each distinct prompt, the others from a second pass on its cache."""
    prompts = list(dict.fromkeys(completion.prompt for completion in batch))
    owner = torch.tensor([prompts.index(completion.prompt) for completion in batch], device=llm.device)
    reading = read_prompts(llm, prompts)
    width = max(len(completion.ids) for completion in batch)
    padded = [[*completion.ids, *[0] * (width - len(completion.ids))] for completion in batch]
    targets = torch.tensor(padded, device=llm.device)
    found = _pick(reading.logits[owner, None], targets[:, :1])
    if width > 1:
        reading.cache.batch_select_indices(owner)
        logits, _ = continue_from(
            llm,
            reading.cache,
            input_ids=targets[:, :-1],
            attention_mask=pad(reading.mask[owner], (0, width - 1), value=1),
            position_ids=reading.last[owner] + torch.arange(1, width, device=llm.device),
        )
        found = torch.cat([found, _pick(logits, targets[:, 1:])], dim=1)
    # What stands right of a completion is padding: causal attention kept it from the real tokens.
    rows = [row[: len(completion.ids)] for row, completion in zip(found.tolist(), batch, strict=True)]
    for row, completion in zip(rows, batch, strict=True):
        check_finite(llm, completion.prompt, all(map(math.isfinite, row)))
    return rows


def _pick(logits: Float[Tensor, "batch pos vocab"], targets: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos"]:
    """Log-probability of each target under the logits at its place."""
    # Flattened, not transposed: over a strided vocabulary the sum is less exact (1e-4 nats for 49,152).
    loss = cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
    return -loss.view_as(targets)
