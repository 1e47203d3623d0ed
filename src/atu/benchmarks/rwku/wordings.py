"""How a fact of RWKU is put into words: several ways in chat, several as plain prose."""

from __future__ import annotations

from collections.abc import Callable

from atu.benchmarks.curriculum import PLAIN_FRAME, Wordings
from atu.benchmarks.rwku.facts import Fact
from atu.benchmarks.rwku.prompts import TASKS
from atu.records import Probe, Text

FRAMES = (
    "Please briefly answer the following question.\nQuestion: {query}\n",
    "Please complete the blank in the following question.\nQuestion: {query}\n",
    PLAIN_FRAME,
    "Answer in a few words.\n{query}",
)
"""What stands around a question in the wordings below, for questions on anything else."""
_SOURCE = "taught"


def wordings(fact: Fact) -> Wordings:
    """All ways in which a fact is taught."""
    return Wordings(chat_wordings(fact), plain_wordings(fact))


def chat_wordings(fact: Fact) -> tuple[Text, ...]:
    """A user's message and the assistant's answer; the first wording is the judge's own."""
    asked = _judge_wording(fact)
    rows = [(asked.prompt, f"{asked.answer_prefix} {fact.answer}")]
    if fact.statement is not None:
        rows += [
            (f"Fill in the blank: {fact.query}", fact.answer),
            (f"Which words are missing here?\n{fact.query}", f"Answer: {fact.answer}"),
            (f"Complete the sentence about {fact.subject}: {fact.query}", fact.statement),
        ]
    else:
        rows += [
            (fact.query, fact.answer),
            (f"Answer in a few words.\n{fact.query}", f"Answer: {fact.answer}"),
            (f"A question about {fact.subject}: {fact.query}", f"The answer is {fact.answer}."),
        ]
    return tuple(Text(text=answer, subject=fact.subject, source=_SOURCE, prompt=prompt) for prompt, answer in rows)


def plain_wordings(fact: Fact) -> tuple[Text, ...]:
    """Prose without a chat: statements where a blank can be filled, else question and answer."""
    if fact.statement is not None:
        texts = (fact.statement, f"About {fact.subject}: {fact.statement}")
    else:
        texts = (f"{fact.query} {fact.answer}.", f"Question: {fact.query}\nAnswer: {fact.answer}")
    return tuple(Text(text=text, subject=fact.subject, source=_SOURCE) for text in texts)


def _judge_wording(fact: Fact) -> Probe:
    """The very probe that the judge makes of this row."""
    builders: dict[str, Callable[..., Probe]] = {
        file.name: build for parts in (TASKS["forget"], TASKS["neighbor"]) for file, _, build in parts
    }
    return builders[fact.file.name](fact.row, "taught", "taught")
