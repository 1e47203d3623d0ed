"""The target's facts in two halves: what an attack may use, and what it is tested on.

Two questions ask for one fact when an accepted answer of one is, or is part of, an accepted answer of the other. All
questions for a fact lie in one half, and nothing that an attack reads holds an answer of the tested half.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from atu.errors import UserError
from atu.evaluation.scorers import contains_any
from atu.evaluation.words import normalize
from atu.records import Probe, Target, Text

MIN_ROWS = 4
"""Questions that each half needs."""


@dataclass(frozen=True)
class Halves:
    """Two disjoint halves of the questions about a target."""

    seen: tuple[Probe, ...]
    """For the attack. None of them holds an answer of the other half, neither asked for nor in passing."""
    tested: tuple[Probe, ...]

    def is_clean(self, text: str) -> bool:
        """Whether a text holds no answer of the tested half, so that an attack may read it."""
        return not contains_any(text, [reference for probe in self.tested for reference in probe.references])


def split_facts(target: Target, probes: Sequence[Probe], seed: int) -> Halves:
    """Split the questions about `target` by what they ask for; `seed` draws which fact goes where.

    Questions whose answer is the target's own name are left out: it stands in every question.

    Raises:
        UserError: a half has fewer than `MIN_ROWS` questions.
    """
    names = " , ".join([target.name, *target.aliases])
    asked = [probe for probe in probes if not contains_any(names, probe.references)]
    facts = facts_of(asked)
    random.Random(f"halves {seed}").shuffle(facts)
    # An answer that stands in other questions makes those unfit for the attack when it is to be tested: such facts
    # go to the attack first.
    facts.sort(key=lambda fact: -_num_mentions(fact, asked))
    seen: list[Probe] = []
    tested: list[Probe] = []
    for fact in facts:
        is_mentioned = _num_mentions(fact, asked) > 0 and len(seen) < len(asked) / 2
        (seen if is_mentioned or len(seen) <= len(tested) else tested).extend(fact)
    halves = Halves((), tuple(tested))
    halves = Halves(tuple(probe for probe in seen if halves.is_clean(as_read(probe))), halves.tested)
    for half, what in ((halves.seen, "attack with"), (halves.tested, "test on")):
        if len(half) < MIN_ROWS:
            raise UserError(
                f"'{target.name}' has {len(half)} questions to {what} when its facts are split in halves; at least "
                f"{MIN_ROWS} are needed. Choose another target, or attacks that need no halves: quantize, sample, "
                "phrasing, logit-lens, collateral."
            )
    return halves


def facts_of(probes: Sequence[Probe]) -> list[list[Probe]]:
    """The questions grouped by fact, in the order in which each fact is first asked for."""
    groups: list[list[Probe]] = []
    for probe in probes:
        same = [group for group in groups if any(_ask_for_the_same(probe, other) for other in group)]
        groups = [group for group in groups if not any(group is one for one in same)]
        groups.append([*(other for group in same for other in group), probe])
    order = {probe.id: place for place, probe in enumerate(probes)}
    for group in groups:
        group.sort(key=lambda probe: order[probe.id])
    return sorted(groups, key=lambda group: order[group[0].id])


def as_read(probe: Probe) -> str:
    """All words of a question and its answers, as an attack reads them."""
    return " \n ".join([probe.prompt, probe.answer_prefix, *probe.references])


def as_lesson(probe: Probe) -> Text:
    """A question with its right answer, as fine-tuning reads it."""
    answer = f"{probe.answer_prefix} {probe.references[0]}".strip()
    return Text(text=answer, subject="attack", source=probe.id, prompt=probe.prompt)


def is_plain(probe: Probe) -> bool:
    """Whether the question is asked straight, not in a form that gets round forgetting."""
    return not probe.attack and probe.group != "forget/aa"


def _num_mentions(fact: Sequence[Probe], probes: Sequence[Probe]) -> int:
    """Questions for other facts in which an answer of this one stands."""
    references = [reference for probe in fact for reference in probe.references]
    own = {probe.id for probe in fact}
    return sum(contains_any(as_read(probe), references) > 0 for probe in probes if probe.id not in own)


def _ask_for_the_same(probe: Probe, other: Probe) -> bool:
    left, right = ({normalize(reference) for reference in one.references} for one in (probe, other))
    return any(contains_any(a, [b]) or contains_any(b, [a]) for a in left for b in right)
