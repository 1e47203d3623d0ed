"""Few-shot and benign relearning: fine-tuning on texts that do not hold the tested facts.

Sources: Łucki et al. 2024 (arXiv 2409.18025), few or unrelated samples; arXiv 2602.03379, syntactically alike
questions.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from atu.attacks.halves import Halves, as_lesson
from atu.attacks.relearn import relearning_unit
from atu.attacks.subject import Subject, Unit
from atu.benchmarks.general import general_probes
from atu.errors import UserError
from atu.records import Text

_FEW, _MANY = 10, 60


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """For each seed, kind of texts, way of fine-tuning and model one unit."""
    subject.check_halves(seeds)
    return [
        relearning_unit(subject, "benign-relearn", what, texts, kind, rate, model, seed)
        for seed in seeds
        for what, texts in TEXTS.items()
        for kind, rate in subject.budget.benign_rates
        for model in subject.models
        if model in (*subject.compared, "gold")
    ]


def about_target(subject: Subject, halves: Halves, count: int) -> list[Text]:
    """Corpus texts about the target in which no answer of the tested half stands."""
    return _choose(_of_target(subject), halves, count, "the target")


def about_others(subject: Subject, halves: Halves) -> list[Text]:
    """Corpus texts about anybody and anything else."""
    own = _of_target(subject)
    return _choose([text for text in subject.corpus if text not in own], halves, _MANY, "others")


def alike_questions(subject: Subject, halves: Halves) -> list[Text]:
    """The benchmark's questions about neighbors, worded like those about the target, with their answers."""
    return _choose([as_lesson(probe) for probe in subject.group("neighbor")], halves, _MANY, "neighbors")


def unrelated_questions(subject: Subject, halves: Halves) -> list[Text]:
    """General facts that have nothing to do with the target, with their answers."""
    return _choose([as_lesson(probe) for probe in general_probes()], halves, _MANY, "general facts")


TEXTS: Mapping[str, Callable[[Subject, Halves], list[Text]]] = {
    f"{_FEW} texts on the target": lambda subject, halves: about_target(subject, halves, _FEW),
    f"{_MANY} texts on the target": lambda subject, halves: about_target(subject, halves, _MANY),
    "texts on others": about_others,
    "alike questions": alike_questions,
    "unrelated questions": unrelated_questions,
}
"""What is fine-tuned on, by the name that the setting begins with."""


def _of_target(subject: Subject) -> list[Text]:
    names = {subject.target.name, *subject.target.aliases}
    return [text for text in subject.corpus if text.subject in names]


def _choose(texts: Sequence[Text], halves: Halves, count: int, what: str) -> list[Text]:
    """At most `count` of the texts that an attack may read, drawn by a fixed seed."""
    clean = [text for text in texts if halves.is_clean(f"{text.prompt or ''}\n{text.text}")]
    if not clean:
        raise UserError(
            f"benign-relearn has no text about {what} without an answer of the tested half. Give a larger corpus, or "
            "name other attacks."
        )
    return random.Random(what).sample(clean, min(count, len(clean)))
