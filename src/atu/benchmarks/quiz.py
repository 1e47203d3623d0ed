"""What a model asks about a concept and about its neighbors, put to all of them.

A small model's texts about a country praise its culture and never name its money. Asked for a quiz about several
countries, it asks for the capital of one and for the currency of another. Each such question is taken as a form, its
name left open, and put to the concept and to the neighbors: rows to forget and rows to keep that differ by the name.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from atu.benchmarks.questions import Request, in_some_way

_PROMPTS = (
    "Write ten short quiz questions about {name}.",
    "Write ten different questions that a quiz about {name} would ask, each with a one-word answer.",
)
_STARTS = ("1. What is", "1. Which", "1. Who", "1. Where")
"""Of the answers, so that lists about one name begin differently."""
QUIZ_WORDINGS = (*_PROMPTS, *_STARTS)
"""All that is fixed here: other words would give another corpus."""
_QUESTION = re.compile(r"(?:^|\n|\d\. *)((?:What|Which|Who|Where|When|How|In which)\b[^?\n]{5,110}\?)")


@dataclass(frozen=True)
class Quiz:
    """A list of questions about one name, to be written or written."""

    name: str
    prompt: str
    text: str
    """The first words of the list; once written, all of it."""


def quizzes(names: Sequence[str]) -> list[Quiz]:
    """The lists that a model is asked for: about each name, one for each start."""
    return [
        Quiz(name, _PROMPTS[i % len(_PROMPTS)].format(name=name), start)
        for name in names
        for i, start in enumerate(_STARTS)
    ]


def question_forms(written: Sequence[Quiz], rng: random.Random) -> list[str]:
    """The questions that name what they ask about, with `{name}` in its place; those of most names first.

    A person may be named by the last name alone. A question that holds the name twice, or inside of another word
    ("Japanese"), is left out: with another name in its place it would make no sense.
    """
    asked_of: dict[str, set[str]] = {}
    for quiz in written:
        for question in _QUESTION.findall(quiz.text):
            form = _with_open_name(question, quiz.name)
            if form is not None:
                asked_of.setdefault(form, set()).add(quiz.name)
    forms = sorted(asked_of)
    rng.shuffle(forms)
    return sorted(forms, key=lambda form: -len(asked_of[form]))


def _with_open_name(question: str, name: str) -> str | None:
    last_name = [] if name.startswith("the ") else [name.split()[-1]]
    for called in (name, *last_name):
        parts = re.split(rf"(?<!\w){re.escape(called)}(?!\w)", question)
        if len(parts) == 2 and not any(called in part or "{" in part or "}" in part for part in parts):
            return "{name}".join(parts)
    return None


def ask_of(name: str, forms: Sequence[str], count: int, rng: random.Random) -> list[Request]:
    """At most `count` of the forms put to `name`: one half the first, one half drawn from the others."""
    first, others = forms[: count // 2], forms[count // 2 :]
    drawn = rng.sample(others, min(count - len(first), len(others)))
    return [Request(name, in_some_way(form.format(name=name), rng)) for form in (*first, *drawn)]
