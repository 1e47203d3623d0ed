"""MUSE's probes: what is asked about a corpus. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atu.benchmarks.muse.config import Task
from atu.benchmarks.muse.files import FORGET_QUESTIONS, MEMBER_TEXTS, OTHER_TEXTS, PASSAGES, RETAIN_QUESTIONS
from atu.benchmarks.muse.reader import MuseData, Row
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.records import Probe

FORGET_KNOWLEDGE = "forget/knowmem"
RETAIN_KNOWLEDGE = "neighbor/knowmem"
VERBATIM = "forget/verbmem"
GROUPS = (FORGET_KNOWLEDGE, VERBATIM, RETAIN_KNOWLEDGE, MEMBERS, OTHERS)
TASKS: Mapping[Task, tuple[tuple[str, str], ...]] = {
    "forget": ((FORGET_QUESTIONS, FORGET_KNOWLEDGE),),
    "verbatim": ((PASSAGES, VERBATIM),),
    "retain": ((RETAIN_QUESTIONS, RETAIN_KNOWLEDGE),),
    "privacy": ((MEMBER_TEXTS, MEMBERS), (OTHER_TEXTS, OTHERS)),
}
"""Task → its files and the groups of their rows."""
ANSWER_TOKENS = 32
"""New tokens of an answer to a question."""
PASSAGE_TOKENS = 128
"""New tokens of a passage that is continued."""
STOP_WORDS = ("\n\n", "\nQuestion", "Question:")
"""Where an answer to a question ends: what follows is the model's own next question."""


def build_probes(data: MuseData, collection: str, tasks: Sequence[Task]) -> list[Probe]:
    """Every row of the tasks' files as a probe; a question comes without the worked examples before it.

    Raises:
        UserError: a file is missing or broken.
    """
    return [
        _probe(f"muse/{collection}/{name}/{number}", group, row)
        for task in tasks
        for name, group in TASKS[task]
        for number, row in enumerate(data.rows(collection, name))
    ]


def question_prompt(question: str, shots: Sequence[Row]) -> str:
    """A question behind worked examples, up to the word `Answer:`."""
    before = "".join(f"Question: {asked}\nAnswer: {answer}\n\n" for asked, answer in shots)
    return f"{before}Question: {question}\nAnswer:"


def _probe(probe_id: str, group: str, row: Row) -> Probe:
    if group in (MEMBERS, OTHERS):
        return Probe(id=probe_id, group=group, kind="likelihood", prompt=row[0])
    prompt, truth = row
    limit = PASSAGE_TOKENS if group == VERBATIM else ANSWER_TOKENS
    return Probe(id=probe_id, group=group, kind="generate", prompt=prompt, references=(truth,), max_new_tokens=limit)
