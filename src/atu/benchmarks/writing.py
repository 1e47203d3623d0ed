"""What a model writes when it is asked: sampled answers, whole sentences only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace

import torch

from atu.benchmarks.questions import SENTENCE_ENDS, Request
from atu.evaluation.collapse import is_degenerate
from atu.evaluation.generate import Prompt, Sampling, generate
from atu.models.language_model import LanguageModel
from atu.models.precision import has_fast_bf16
from atu.models.thinking import without_thought
from atu.records import Text
from atu.storage.cache import cached_json
from atu.storage.files import content_key

BATCH_SIZE = 96
"""Texts written at once."""
TOP_K = 50
"""Without it a small model's tail puts nonsense into every other text."""
Steps = Callable[[int, int], None]
"""Called with (done, all)."""


def ask(
    llm: LanguageModel,
    asked: Sequence[Request],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    progress: Steps | None,
) -> list[Text]:
    """The answers in the order asked, without degenerate and empty ones."""
    openings = [llm.render(request.context + request.prompt) for request in asked]
    answers = continue_texts(
        llm, openings, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed, progress=progress
    )
    texts = [
        Text(text=whole_sentences(answer.strip()), subject=request.subject, source="generated", prompt=request.prompt)
        for request, answer in zip(asked, answers, strict=True)
    ]
    return [text for text in texts if not is_degenerate(text.text)]


def continue_texts(
    llm: LanguageModel,
    openings: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    progress: Steps | None,
) -> list[str]:
    """What the model writes behind each opening, in their order."""
    prompts = [Prompt(ids=tuple(llm.encode(opening)), max_new_tokens=max_new_tokens) for opening in openings]
    sampling = Sampling(seed=seed, temperature=temperature, top_k=TOP_K)
    found = generate(llm, prompts, batch_size=BATCH_SIZE, sampling=sampling, progress=progress)
    return [
        str(llm.tokenizer.decode(without_thought(llm, prompt.ids, generation.ids), skip_special_tokens=True))
        for prompt, generation in zip(prompts, found, strict=True)
    ]


def cached_continuations(
    llm: LanguageModel,
    openings: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float,
    seed: int,
    progress: Steps | None,
) -> list[str]:
    """`continue_texts` of the model `for_writing`, found again in the cache for the same model, openings and settings.

    A model without a checksum writes each time.
    """
    parts = {
        "model": llm.reading_key,
        "dtype": str(torch.bfloat16 if has_fast_bf16(llm.device) else torch.float32),
        "openings": list(openings),
        "sampling": [max_new_tokens, temperature, TOP_K, BATCH_SIZE, seed],
    }

    def write() -> list[str]:
        return continue_texts(
            for_writing(llm),
            openings,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            seed=seed,
            progress=progress,
        )

    return cached_json("corpora", content_key(parts), write) if llm.reading_key else write()


def for_writing(llm: LanguageModel) -> LanguageModel:
    """The model in bf16 where that is fast: sampled texts need no float32, and are written in half the time."""
    if llm.model.dtype != torch.float32 or not has_fast_bf16(llm.device):
        return llm
    return replace(llm, model=deepcopy(llm.model).to(torch.bfloat16))


def whole_sentences(text: str) -> str:
    """Cut a text that ran into its token limit after its last full sentence, when it has one."""
    end = max(text.rfind(mark) for mark in SENTENCE_ENDS)
    return text[: end + 1] if end > 0 else text
