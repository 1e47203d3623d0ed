"""In which order a model reads what it is taught, and in which wording each time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from atu.benchmarks.curriculum import Wordings
from atu.records import Text


@dataclass(frozen=True)
class LessonPlan:
    """What the model reads, in this order: each fact once a pass. `plain` is empty where nothing is worded as prose."""

    chat: tuple[Text, ...]
    plain: tuple[Text, ...]


def plan_lessons(facts: Sequence[Wordings], passes: int, seed: int) -> LessonPlan:
    """Each fact once a pass, in an order of its own each time, and worded otherwise than in the pass before, where it
    has more wordings than one."""
    chat: list[Text] = []
    plain: list[Text] = []
    for turn in range(passes):
        for rows, kind, choices in (
            (chat, "chat_wordings", [fact.chat for fact in facts]),
            (plain, "plain_wordings", [fact.plain for fact in facts]),
        ):
            order = list(range(len(facts)))
            random.Random(f"{seed} {turn} {kind}").shuffle(order)
            for i in order:
                if choices[i]:
                    # Shifted by the fact's place, so that at any time all wordings are mixed.
                    rows.append(choices[i][(i + turn) % len(choices[i])])
    return LessonPlan(tuple(chat), tuple(plain))
