"""What the untouched model knew: its right answers, and how likely another model finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from atu.evaluation.likelihood import Completion, completion_nll
from atu.evaluation.reading import common_length
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe

KNOWN = 0.5
"""Row score from which the untouched model counts as knowing the answer."""


def compare_known(
    llm: LanguageModel,
    probes: Sequence[Probe],
    answers: Sequence[Answer],
    earlier: Mapping[str, Answer],
    *,
    can_be_known: Callable[[Probe], bool],
    behind: Callable[[Probe, str], Completion],
    batch_size: int,
) -> list[Answer]:
    """Adds to each answer whether its row was known before and, where it was, the NLL of the right answer of then.

    Args:
        answers: of `llm`; one that has its `nll` already keeps it.
        earlier: what the untouched model answered, by probe id.
        can_be_known: whether a probe has a right answer to hold on to; of others nothing is said.
        behind: a text as the answer to a probe.
    """
    known = [can_be_known(probe) and earlier[probe.id].score >= KNOWN for probe in probes]
    is_left = [knew and "nll" not in answer.values for answer, knew in zip(answers, known, strict=True)]
    completions = [behind(probe, earlier[probe.id].text) for probe, left in zip(probes, is_left, strict=True) if left]
    losses = iter(completion_nll(llm, completions, batch_size=batch_size))
    return [
        replace(
            answer,
            known_before=knew if can_be_known(probe) else None,
            values={**answer.values, "nll": next(losses)} if left else answer.values,
        )
        for probe, answer, knew, left in zip(probes, answers, known, is_left, strict=True)
    ]


def completion_of(llm: LanguageModel, before: str, text: str) -> Completion:
    """The tokens of `text` as they stand in the whole; a token that spans the border belongs to it."""
    alone, whole = llm.encode(before), llm.encode(before + text)
    border = common_length(alone, whole)
    return Completion(prompt=tuple(whole[:border]), ids=tuple(whole[border:]))
