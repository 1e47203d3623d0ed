"""How likely a model finds a given text: log-probabilities of its tokens, and what surrounds them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy

from atu.evaluation.batching import Progress, check_finite, check_length, eval_mode, in_batches
from atu.evaluation.kv_cache import shares, take_rows
from atu.evaluation.reading import (
    Hidden,
    Reading,
    continue_from,
    near_lengths,
    next_logits,
    read_prompts,
    reading_order,
)
from atu.models.language_model import LanguageModel

Measure = Callable[[Tensor, Tensor], Tensor]
"""From the logits at some places and the tokens that stand there to some numbers for each place."""
LOGITS_BUDGET = 2**27
"""Most logits held at once (float32: 512 MiB). Long completions are scored in smaller batches."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Token ids of a given text (`ids`) after a prompt; both have at least one token."""

    prompt: tuple[int, ...]
    ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TokenStatistics:
    """What a model says of one text: a number for each token but those that were given, in order."""

    logprobs: tuple[float, ...]
    """Log-probability of the token (nats)."""
    means: tuple[float, ...]
    """Mean log-probability under the distribution it was drawn from: sum of p log p."""
    spreads: tuple[float, ...]
    """Standard deviation of the log-probability under that distribution."""
    right: tuple[bool, ...]
    """Whether the token is the likeliest one."""


def completion_nll(
    llm: LanguageModel,
    completions: Sequence[Completion],
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> list[float]:
    """Mean negative log-likelihood of each completion given its prompt, in nats per token."""
    rows = token_logprobs(llm, completions, batch_size=batch_size, progress=progress)
    return [-fmean(row) for row in rows]


def token_logprobs(
    llm: LanguageModel,
    completions: Sequence[Completion],
    *,
    batch_size: int,
    hidden_id: int | None = None,
    progress: Progress | None = None,
) -> list[list[float]]:
    """Log-probability (nats) of every token of each completion, in input order.

    Completions of one prompt share its forward pass; logits exist for completion tokens only.
    `hidden_id`: a token that attention does not see, in prompts and completions (see `Hidden`).
    Raises UserError for a text beyond the model's context, for NaN or infinite logits, and when memory
    runs out at batch size 1.
    """
    found = _measured(llm, completions, _logprobs, batch_size=batch_size, hidden_id=hidden_id, progress=progress)
    return [row[:, 0].tolist() for row in found]


def completion_statistics(
    llm: LanguageModel,
    completions: Sequence[Completion],
    *,
    batch_size: int,
    hidden_id: int | None = None,
    progress: Progress | None = None,
) -> list[TokenStatistics]:
    """Statistics of the tokens of each completion behind its prompt, in input order; otherwise as `token_logprobs`."""
    found = _measured(llm, completions, _all_numbers, batch_size=batch_size, hidden_id=hidden_id, progress=progress)
    return [_as_statistics(row) for row in found]


def _measured(
    llm: LanguageModel,
    completions: Sequence[Completion],
    measure: Measure,
    *,
    batch_size: int,
    hidden_id: int | None,
    progress: Progress | None,
) -> list[Tensor]:
    """What `measure` says of every token of each completion, in input order: (tokens, numbers) on the CPU."""
    if not completions:
        return []
    for completion in completions:
        check_length(llm, completion.prompt, len(completion.ids))
    groups = _by_prompt(completions)
    hidden = None if hidden_id is None else Hidden(token=hidden_id, is_skipped=False)
    with eval_mode(llm.model):
        found = in_batches(
            groups,
            lambda batch: _score_groups(llm, completions, batch, measure, hidden),
            batch_size=batch_size,
            progress=progress,
        )
    rows = dict(zip(itertools.chain(*groups), itertools.chain(*found), strict=True))
    return [rows[i] for i in range(len(completions))]


def next_token_probabilities(
    llm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    candidates: Sequence[Sequence[int]],
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> list[list[float]]:
    """For each prompt the probability of each of its candidate tokens as the next one, in input order.

    Logits exist for the last position only, and what prompts of a batch have in common is read once.
    Raises UserError as `token_logprobs` does.
    """
    for prompt in prompts:
        check_length(llm, prompt, 1)
    order = reading_order(prompts)

    def work(batch: Sequence[int]) -> list[list[float]]:
        logits = next_logits(llm, [prompts[i] for i in batch])
        rows = []
        for i, row in zip(batch, logits.float(), strict=True):
            found = row.softmax(-1)[list(candidates[i])].tolist()
            check_finite(llm, prompts[i], all(map(math.isfinite, found)))
            rows.append(found)
        return rows

    with eval_mode(llm.model):
        found = in_batches(order, work, batch_size=batch_size, progress=progress)
    by_index = dict(zip(order, found, strict=True))
    return [by_index[i] for i in range(len(prompts))]


def token_statistics(
    llm: LanguageModel,
    texts: Sequence[Sequence[int]],
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> list[TokenStatistics]:
    """Statistics of each text of at least two tokens, in input order; the first token is given.

    Raises UserError as `token_logprobs` does.
    """
    for text in texts:
        check_length(llm, text, 0)
    if not texts:
        return []
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    longest = max(map(len, texts))
    fitting = LOGITS_BUDGET // (longest * llm.model.config.get_text_config().vocab_size)

    def work(batch: Sequence[int]) -> list[TokenStatistics]:
        width = max(len(texts[i]) for i in batch)
        # Padding on the right: causal attention keeps it from the real tokens.
        ids = torch.tensor([[*texts[i], *[0] * (width - len(texts[i]))] for i in batch], device=llm.device)
        logits = llm.model(input_ids=ids[:, :-1], use_cache=False).logits
        return [_statistics(llm, texts[i], row) for i, row in zip(batch, logits, strict=True)]

    with eval_mode(llm.model):
        found = in_batches(order, work, batch_size=max(1, min(batch_size, fitting)), progress=progress)
    by_index = dict(zip(order, found, strict=True))
    return [by_index[i] for i in range(len(texts))]


def _statistics(llm: LanguageModel, text: Sequence[int], logits: Float[Tensor, "pos vocab"]) -> TokenStatistics:
    numbers = _all_numbers(logits[: len(text) - 1], torch.tensor(text[1:], device=logits.device))
    check_finite(llm, text, bool(numbers.isfinite().all()))
    return _as_statistics(numbers)


def _as_statistics(numbers: Float[Tensor, "pos 4"]) -> TokenStatistics:
    logprobs, means, spreads, right = numbers.T.tolist()
    return TokenStatistics(
        logprobs=tuple(logprobs), means=tuple(means), spreads=tuple(spreads), right=tuple(map(bool, right))
    )


def _all_numbers(logits: Float[Tensor, "pos vocab"], targets: Int[Tensor, " pos"]) -> Float[Tensor, "pos 4"]:
    """Of each place the numbers of `TokenStatistics`, in its order."""
    logprobs = logits.float().log_softmax(-1)
    right = logprobs.argmax(-1) == targets
    weighted = logprobs.exp().mul_(logprobs)  # in place: half the time, and a copy of all logits less
    means = weighted.sum(-1)
    variances = weighted.mul_(logprobs).sum(-1) - means.square()
    picked = logprobs.gather(-1, targets[:, None])[:, 0]
    return torch.stack([picked, means, variances.clamp(min=0).sqrt(), right.float()], dim=-1)


def _by_prompt(completions: Sequence[Completion]) -> list[list[int]]:
    """Indices of the completions of each prompt, in the order in which the prompts are read."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, completion in enumerate(completions):
        groups.setdefault(completion.prompt, []).append(i)
    prompts = list(groups)
    return [sorted(groups[prompts[i]], key=lambda i: len(completions[i].ids)) for i in reading_order(prompts)]


def _score_groups(
    llm: LanguageModel,
    completions: Sequence[Completion],
    groups: Sequence[Sequence[int]],
    measure: Measure,
    hidden: Hidden | None,
) -> list[list[Tensor]]:
    if len(groups) == 1:  # too much at once, a prompt's completions are taken in turns
        (group,) = groups
        return [
            in_batches(
                group,
                lambda part: _score_batch(llm, [completions[i] for i in part], measure, hidden),
                batch_size=len(group),
            )
        ]
    rows = iter(_score_batch(llm, [completions[i] for group in groups for i in group], measure, hidden))
    return [[next(rows) for _ in group] for group in groups]


def _score_batch(
    llm: LanguageModel, batch: Sequence[Completion], measure: Measure, hidden: Hidden | None
) -> list[Tensor]:
    """First tokens from the end of each distinct prompt, the others from further passes on its cache."""
    if not shares(llm):
        return _measure_whole(llm, batch, measure, hidden)
    prompts = list(dict.fromkeys(completion.prompt for completion in batch))
    reading = read_prompts(llm, prompts, room=max(len(completion.ids) for completion in batch), hidden=hidden)
    if not shares(llm):  # which showed only now
        return _measure_whole(llm, batch, measure, hidden)
    owners = [prompts.index(completion.prompt) for completion in batch]
    return _measure_behind(llm, reading, owners, batch, measure, hidden)


def score_whole(llm: LanguageModel, completions: Sequence[Completion]) -> list[list[float]]:
    """What `score_behind` gives, each completion read with its prompt in one go and nothing kept of it."""
    return [row[:, 0].tolist() for row in _measure_whole(llm, completions, _logprobs, None)]


def score_behind(
    llm: LanguageModel, reading: Reading, owners: Sequence[int], completions: Sequence[Completion]
) -> list[list[float]]:
    """Log-probability (nats) of every token of completions whose prompts were read; the reading stays as it is.

    `owners`: the row of the reading that is each completion's prompt. Raises UserError for NaN or infinite logits.
    """
    return [row[:, 0].tolist() for row in _measure_behind(llm, reading, owners, completions, _logprobs, None)]


def _measure_whole(
    llm: LanguageModel, completions: Sequence[Completion], measure: Measure, hidden: Hidden | None
) -> list[Tensor]:
    rows = [[*completion.prompt, *completion.ids] for completion in completions]
    vocab_size = llm.model.config.get_text_config().vocab_size
    found: dict[int, Tensor] = {}
    for near in near_lengths(llm, list(map(len, rows))):
        fitting = max(1, LOGITS_BUDGET // (max(len(rows[i]) for i in near) * vocab_size))
        for first in range(0, len(near), fitting):
            part = near[first : first + fitting]
            width = max(len(rows[i]) for i in part)
            # Padding on the right: nothing looks ahead.
            ids = torch.tensor([[*rows[i], *[0] * (width - len(rows[i]))] for i in part], device=llm.device)
            mask = {} if hidden is None else {"attention_mask": (ids[:, :-1] != hidden.token).long()}
            logits = llm.model(input_ids=ids[:, :-1], use_cache=False, **mask).logits
            numbers = _apply(measure, logits, ids[:, 1:])
            for i, row in zip(part, numbers, strict=True):
                found[i] = row[len(completions[i].prompt) - 1 : len(rows[i]) - 1]
                check_finite(llm, completions[i].prompt, bool(found[i].isfinite().all()))
    return [found[i] for i in range(len(completions))]


def _measure_behind(
    llm: LanguageModel,
    reading: Reading,
    owners: Sequence[int],
    completions: Sequence[Completion],
    measure: Measure,
    hidden: Hidden | None,
) -> list[Tensor]:
    vocab_size = llm.model.config.get_text_config().vocab_size
    rows: dict[int, Tensor] = {}
    for near in near_lengths(llm, [len(completion.ids) for completion in completions]):
        longest = max(len(completions[i].ids) for i in near)
        fitting = max(1, LOGITS_BUDGET // (longest * vocab_size))
        for first in range(0, len(near), fitting):
            part = near[first : first + fitting]
            owner = torch.tensor([owners[i] for i in part], device=llm.device)
            found = _measure_ends(llm, reading, owner, [completions[i].ids for i in part], measure, hidden)
            rows |= dict(zip(part, found, strict=True))
    for i, completion in enumerate(completions):
        check_finite(llm, completion.prompt, bool(rows[i].isfinite().all()))
    return [rows[i] for i in range(len(completions))]


def _measure_ends(
    llm: LanguageModel,
    reading: Reading,
    owner: Int[Tensor, " batch"],
    ends: Sequence[Sequence[int]],
    measure: Measure,
    hidden: Hidden | None,
) -> list[Tensor]:
    """The numbers of each end behind the prompt that `owner` names; the reading stays as it is."""
    width = max(map(len, ends))
    targets = torch.tensor([[*end, *[0] * (width - len(end))] for end in ends], device=llm.device)
    found = _apply(measure, reading.logits[owner, None], targets[:, :1])
    if width > 1:
        given = targets[:, :-1]
        seen = torch.ones_like(given) if hidden is None else (given != hidden.token).long()
        logits, _ = continue_from(
            llm,
            take_rows(reading.cache, owner),
            input_ids=given,
            attention_mask=torch.cat([reading.mask[owner], seen], dim=1),
            position_ids=reading.last[owner] + torch.arange(1, width, device=llm.device),
        )
        found = torch.cat([found, _apply(measure, logits, targets[:, 1:])], dim=1)
    # What stands right of a completion is padding: causal attention kept it from the real tokens.
    return [row[: len(end)] for row, end in zip(found, ends, strict=True)]


def _apply(
    measure: Measure, logits: Float[Tensor, "batch pos vocab"], targets: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos number"]:
    """The numbers of every place of a batch, on the CPU."""
    numbers: Tensor = measure(logits.flatten(0, 1), targets.flatten()).unflatten(0, targets.shape)
    return numbers.cpu()


def _logprobs(logits: Float[Tensor, "pos vocab"], targets: Int[Tensor, " pos"]) -> Float[Tensor, "pos 1"]:
    """Log-probability of each target under the logits at its place."""
    # Flattened, not transposed: over a strided vocabulary the sum is less exact (1e-4 nats for 49,152).
    return -cross_entropy(logits.float(), targets, reduction="none")[:, None]
