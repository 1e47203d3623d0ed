"""What the reference knew: its right answers, and how likely another model finds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from atu.evaluation.likelihood import Completion, completion_nll
from atu.models.language_model import LanguageModel
from atu.records import UNFINISHED, Answer, Probe

KNOWN = 0.5
"""Row score from which the reference counts as knowing the answer."""


def is_known(answer: Answer) -> bool:
    """Whether the reference, which gave this answer, knows it; a thought without an end says nothing of that."""
    return answer.score >= KNOWN and UNFINISHED not in answer.values


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
        earlier: what the reference answered, by probe id.
        can_be_known: whether a probe has a right answer to hold on to; of others nothing is said.
        behind: a text as the answer to a probe.
    """
    known = [can_be_known(probe) and is_known(earlier[probe.id]) for probe in probes]
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
    """The tokens of `text` as the model writes them behind `before`."""
    joined = llm.encode_behind(before, text)
    return Completion(prompt=joined.prompt, ids=joined.ids)
