"""What a model says: greedy answers that do not depend on batch size or order of prompts, and sampled ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from atu.evaluation.batching import Progress, check_finite, check_length, eval_mode, in_batches
from atu.evaluation.kv_cache import make_room, shares
from atu.evaluation.reading import Hidden, Reading, continue_from, read_prompts, reading_order
from atu.models.language_model import LanguageModel

Draw = Callable[[Tensor], Tensor]
"""From a row of logits for each prompt to a token for each."""
Choice = Callable[[Tensor, torch.Generator], Tensor]
"""From a row of probabilities for each prompt to a token for each."""
_FEW = 64
"""Tokens among which one is drawn at first; more than the 50 that are usual."""
NEAR_TIE = 1e-3
"""Gap of the two best logits below which a row decides alone.

Padding and batch shape move float32 logits by about 1e-5 to 1e-4 (the order of sums differs), which flips
a greedy choice where two tokens are this close. Such a choice is made again from the row's tokens alone,
without padding or cache, so that it depends on nothing else.
"""


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Token ids to continue, with at most `max_new_tokens` new ones."""

    ids: tuple[int, ...]
    max_new_tokens: int
    end_ids: tuple[int, ...] | None = None
    """Tokens that end the answer; None = the model's own."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """New tokens without the end token; `stop_id` is that token, None at the token limit."""

    ids: tuple[int, ...]
    stop_id: int | None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn; the same seed, prompts and batch size give the same texts on one machine."""

    seed: int
    temperature: float = 1.0
    top_k: int | None = None
    """Draw among this many likeliest tokens; None = all."""
    top_p: float | None = None
    """Draw among the fewest tokens that together have this probability; None = all."""


@dataclass
class _Row:
    """A prompt on its way: what it has said so far."""

    prompt: Prompt
    new: list[int] = field(default_factory=list)
    stop_id: int | None = None

    def take(self, token: int, end_ids: Sequence[int]) -> None:
        if token in end_ids:
            self.stop_id = token
        else:
            self.new.append(token)

    @property
    def done(self) -> bool:
        return self.stop_id is not None or len(self.new) >= self.prompt.max_new_tokens


def generate(
    llm: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    batch_size: int,
    sampling: Sampling | None = None,
    hidden_id: int | None = None,
    progress: Progress | None = None,
) -> list[Generation]:
    """The continuation of each prompt, in input order, up to one of its end tokens; greedy unless `sampling` is given.

    Computes in the dtype of the weights; with float32 the greedy answers do not depend on `batch_size`.
    The model's generation config plays no part (no sampling, no repetition penalty).
    `hidden_id`: a token that attention does not see in prompts, and that positions skip (see `Hidden`).
    Raises UserError for a prompt beyond the model's context, for NaN or infinite logits, and when memory
    runs out at batch size 1.
    """
    order = answering_order(llm, prompts)
    draw = None if sampling is None else _drawing(sampling, llm.device)
    hidden = None if hidden_id is None else Hidden(token=hidden_id, is_skipped=True)

    def work(batch: Sequence[Prompt]) -> list[Generation]:
        room = max(prompt.max_new_tokens for prompt in batch)
        reading = read_prompts(llm, [prompt.ids for prompt in batch], room=room, hidden=hidden)
        return continue_reading(llm, batch, reading, draw, hidden)

    batch_size = batch_size if shares(llm) else 1
    with eval_mode(llm.model):
        answers = in_batches([prompts[i] for i in order], work, batch_size=batch_size, progress=progress)
    by_index = dict(zip(order, answers, strict=True))
    return [by_index[i] for i in range(len(prompts))]


def answering_order(llm: LanguageModel, prompts: Sequence[Prompt]) -> list[int]:
    """Indices of the prompts in the order that is quickest to answer in batches.

    Raises UserError for a prompt beyond the model's context.
    """
    for prompt in prompts:
        check_length(llm, prompt.ids, prompt.max_new_tokens)
    order = reading_order([prompt.ids for prompt in prompts])
    order.sort(key=lambda i: prompts[i].max_new_tokens)  # stable: within a limit the reading order stays
    return order


def until(ids: Sequence[int], end_ids: Sequence[int]) -> Sequence[int]:
    """The tokens before the first of the end tokens."""
    return ids[: next((place for place, token in enumerate(ids) if token in end_ids), len(ids))]


def _drawing(sampling: Sampling, device: torch.device) -> Draw:
    """What draws a token for each row of logits, from a generator of its own."""
    warpers = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_k is not None:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    generator = torch.Generator(device).manual_seed(sampling.seed)
    no_ids = torch.empty(0, dtype=torch.long)  # these warpers look at the scores alone
    choose = quick_multinomial() if sampling.top_k is not None and device.type == "cpu" else multinomial

    def draw(logits: Tensor) -> Tensor:
        return choose(warpers(no_ids, logits).softmax(-1), generator)

    return draw


def multinomial(probabilities: Float[Tensor, "batch vocab"], generator: torch.Generator) -> Int[Tensor, " batch"]:
    """A token for each row."""
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def quick_multinomial() -> Choice:
    """What draws as `multinomial` on a CPU, in a third of the time where most probabilities are 0.

    Torch divides each probability by exponential noise and takes the greatest: where only 50 of 49,152 tokens can be
    drawn, nearly all of the time goes into logarithms for the others. Here each token has its own random number too, as
    there, but only those that can be drawn get a logarithm. Torch may come to its noise in another way, as it does on
    an Intel CPU; then this is `multinomial`.
    """
    uniform = torch.empty(0, dtype=torch.float64)

    def draw(probabilities: Tensor, generator: torch.Generator) -> Tensor:
        uniform.resize_(probabilities.shape).uniform_(generator=generator)
        count, size = _FEW, probabilities.shape[-1]
        while (likeliest := probabilities.topk(min(count, size))).values[:, -1].any() and count < size:
            count *= 2  # more than those are left: top_k lets in all that are as likely as its last
        noise = -torch.log1p(-uniform.gather(-1, likeliest.indices))
        winner = (likeliest.values / noise.to(probabilities.dtype)).argmax(-1, keepdim=True)
        return likeliest.indices.gather(-1, winner)[:, 0]

    even = torch.full((64, 64), 1 / 64)
    drawn = (choose(even, torch.Generator().manual_seed(0)) for choose in (draw, multinomial))
    return draw if torch.equal(*drawn) else multinomial


def continue_reading(
    llm: LanguageModel,
    prompts: Sequence[Prompt],
    reading: Reading,
    draw: Draw | None = None,
    hidden: Hidden | None = None,
) -> list[Generation]:
    """The continuations of prompts that were read, greedy unless `draw` is given; uses the reading up.

    `hidden`: as they were read with it.
    """
    rows = [_Row(prompt) for prompt in prompts]
    live = rows
    logits, cache, mask, last = reading.logits, reading.cache, reading.mask, reading.last
    if shares(llm):
        make_room(cache, max(prompt.max_new_tokens for prompt in prompts))
    while True:
        scores = logits.float()
        _check_rows(llm, live, scores)
        tokens = _best_tokens(llm, live, scores, hidden) if draw is None else draw(scores)
        for row, token in zip(live, tokens.tolist(), strict=True):
            row.take(token, llm.end_ids if row.prompt.end_ids is None else row.prompt.end_ids)
        keep = [i for i, row in enumerate(live) if not row.done]
        if not keep:
            return [Generation(ids=tuple(row.new), stop_id=row.stop_id) for row in rows]
        if cache is None:
            live = [live[i] for i in keep]
            logits = read_prompts(llm, [[*row.prompt.ids, *row.new] for row in live], hidden=hidden).logits
            continue
        if len(keep) < len(live):  # finished rows cost nothing further
            live = [live[i] for i in keep]
            index = torch.tensor(keep, device=llm.device)
            cache.batch_select_indices(index)
            tokens, mask, last = tokens[index], mask[index], last[index]
        mask, last = pad(mask, (0, 1), value=1), last + 1
        logits, cache = continue_from(
            llm,
            cache,
            input_ids=tokens[:, None],
            # Nothing is padded where a prompt is read alone.
            attention_mask=mask if shares(llm) or hidden is not None else None,
            position_ids=last,
            logits_to_keep=1,
        )
        logits = logits[:, -1]


def _check_rows(llm: LanguageModel, rows: Sequence[_Row], logits: Float[Tensor, "batch vocab"]) -> None:
    greatest = logits.amax(-1)  # a NaN counts as the greatest
    for row, finite in zip(rows, greatest.isfinite().tolist(), strict=True):
        check_finite(llm, row.prompt.ids, finite)


def _best_tokens(
    llm: LanguageModel, rows: Sequence[_Row], logits: Float[Tensor, "batch vocab"], hidden: Hidden | None
) -> Int[Tensor, " batch"]:
    """The next token of each row; near ties are decided by `_best_token_alone`."""
    top = logits.topk(2)
    best, second = top.values.unbind(-1)
    tokens = top.indices[:, 0]
    for i in (best - second < NEAR_TIE).nonzero().flatten().tolist():
        tokens[i] = _best_token_alone(llm, [*rows[i].prompt.ids, *rows[i].new], hidden)
    return tokens


def _best_token_alone(llm: LanguageModel, ids: Sequence[int], hidden: Hidden | None) -> Int[Tensor, ""]:
    if hidden is not None:
        return read_prompts(llm, [ids], hidden=hidden).logits[0].argmax()
    output = llm.model(input_ids=torch.tensor([ids], device=llm.device), use_cache=False, logits_to_keep=1)
    best: Tensor = output.logits[0, -1].argmax()
    return best
