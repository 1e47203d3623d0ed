"""What the reference knew: its right answers, and how likely another model finds them and what is right in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from statistics import fmean

from atu.evaluation.likelihood import Completion, token_logprobs
from atu.evaluation.spans import reference_spans
from atu.models.language_model import LanguageModel
from atu.records import KNOWN_SCORE, UNFINISHED, Answer, Probe


def is_known(answer: Answer) -> bool:
    """Whether the reference, which gave this answer, knows it; a thought without an end says nothing of that."""
    return answer.score >= KNOWN_SCORE and UNFINISHED not in answer.values


@dataclass(frozen=True, kw_only=True)
class KnownAnswer:
    """A right answer of the reference, to be read behind its probe by any model."""

    completion: Completion
    places: tuple[int, ...] = ()
    """Which of its tokens hold the accepted reference; none where that cannot be told."""


def known_answer(llm: LanguageModel, probe: Probe, before: str, text: str) -> KnownAnswer:
    """The answer `text` to a probe as the model writes it behind `before`.

    A token holds the reference if a character of it does: " Hamlet" with its space, and "(Ham". Tokenizers that do not
    tell which characters a token has (those without a fast form) leave it open.
    """
    joined = llm.encode_behind(before, text)
    completion = Completion(prompt=joined.prompt, ids=joined.ids)
    if not llm.tokenizer.is_fast:
        return KnownAnswer(completion=completion)
    ends = llm.ends_behind(before, text, joined)[len(joined.prompt) :]
    spans = [(len(before) + first, len(before) + last) for first, last in reference_spans(probe, text)]
    tokens = enumerate(zip(_starts(ends, len(before)), ends, strict=True))
    places = tuple(i for i, (start, end) in tokens if any(start < last and end > first for first, last in spans))
    return KnownAnswer(completion=completion, places=places)


def values_of(known: KnownAnswer, logprobs: Sequence[float]) -> dict[str, float]:
    """From the log-probability (nats) of each token of the answer, given the prompt and the tokens before it.

    `nll` = - mean of all (nats per token), `p` = exp of the sum over the tokens that hold the reference (0..1).
    """
    values = {"nll": -fmean(logprobs)}
    return values | {"p": math.exp(sum(logprobs[i] for i in known.places))} if known.places else values


def compare_known(
    llm: LanguageModel,
    probes: Sequence[Probe],
    answers: Sequence[Answer],
    earlier: Mapping[str, Answer],
    *,
    can_be_known: Callable[[Probe], bool],
    behind: Callable[[Probe, str], KnownAnswer],
    batch_size: int,
) -> list[Answer]:
    """Adds to each answer whether its row was known before and, where it was, `values_of` the right answer of then.

    Args:
        answers: of `llm`; one that has its `nll` already keeps it.
        earlier: what the reference answered, by probe id.
        can_be_known: whether a probe has a right answer to hold on to; of others nothing is said.
        behind: a text as the answer to a probe.
    """
    known = [can_be_known(probe) and is_known(earlier[probe.id]) for probe in probes]
    is_left = [knew and "nll" not in answer.values for answer, knew in zip(answers, known, strict=True)]
    texts = [behind(probe, earlier[probe.id].text) for probe, left in zip(probes, is_left, strict=True) if left]
    logprobs = token_logprobs(llm, [text.completion for text in texts], batch_size=batch_size)
    values = iter([values_of(text, found) for text, found in zip(texts, logprobs, strict=True)])
    return [
        replace(
            answer,
            known_before=knew if can_be_known(probe) else None,
            values={**answer.values, **next(values)} if left else answer.values,
        )
        for probe, answer, knew, left in zip(probes, answers, known, is_left, strict=True)
    ]


def _starts(ends: Sequence[int], first: int) -> list[int]:
    """Where each token begins: at the end of the one before, and the tokens of one character all at its beginning."""
    starts: list[int] = []
    for end, same in groupby(ends):
        starts += [first] * len(list(same))
        first = end
    return starts
