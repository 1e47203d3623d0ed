"""Greedy answers and the likelihood of given texts behind the same prompts, from one reading of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from atu.evaluation.batching import Progress, check_length, eval_mode, in_batches
from atu.evaluation.generate import Generation, Prompt, answering_order, continue_reading
from atu.evaluation.kv_cache import shares, take_rows
from atu.evaluation.likelihood import Completion, score_behind, score_whole
from atu.evaluation.reading import Reading, read_prompts
from atu.models.language_model import LanguageModel

Wanted = Callable[[int, Generation], Completion | None]
"""From a prompt's index and its answer to the text that is to be scored behind that very prompt; None for none."""


def answer_and_score(
    llm: LanguageModel,
    prompts: Sequence[Prompt],
    wanted: Wanted,
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> tuple[list[Generation], dict[int, list[float]]]:
    """What `generate` gives for each prompt, and by index what `token_logprobs` gives for the texts that are wanted.

    Raises UserError as these two do.
    """
    logprobs: dict[int, list[float]] = {}

    def work(batch: Sequence[int]) -> list[Generation]:
        # A text to be scored is mostly an answer of the same length; its tokens may be a few more.
        room = 2 * max(prompts[i].max_new_tokens for i in batch)
        reading = read_prompts(llm, [prompts[i].ids for i in batch], room=room)
        answers = continue_reading(llm, [prompts[i] for i in batch], _copy(reading) if shares(llm) else reading)
        owners, completions = [], []
        for row, (i, answer) in enumerate(zip(batch, answers, strict=True)):
            completion = wanted(i, answer)
            if completion is not None:
                check_length(llm, completion.prompt, len(completion.ids))
                owners.append(row)
                completions.append(completion)
        scored = score_behind(llm, reading, owners, completions) if shares(llm) else score_whole(llm, completions)
        logprobs.update((batch[row], found) for row, found in zip(owners, scored, strict=True))
        return answers

    order = answering_order(llm, prompts)
    batch_size = batch_size if shares(llm) else 1
    with eval_mode(llm.model):
        answers = in_batches(order, work, batch_size=batch_size, progress=progress)
    by_index = dict(zip(order, answers, strict=True))
    return [by_index[i] for i in range(len(prompts))], logprobs


def _copy(reading: Reading) -> Reading:
    """With a cache of its own, which may be written to."""
    rows = torch.arange(len(reading.logits), device=reading.logits.device)
    return replace(reading, cache=take_rows(reading.cache, rows))
