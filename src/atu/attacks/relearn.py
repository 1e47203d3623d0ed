"""Held-out relearning: fine-tune on one half of the facts, ask for the other half.

Source: Deeb and Roger 2024 (arXiv 2410.08827). Fixed step budgets and the maximum over steps: arXiv 2602.03379.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from atu.attacks.config import AttackName, Kind, ModelName
from atu.attacks.finetune import finetune
from atu.attacks.halves import Halves, as_lesson
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.records import AttackRow, Text


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """For each seed, way of fine-tuning and model one unit.

    Raises:
        UserError: the target has too few questions to split.
    """
    subject.check_halves(seeds)
    return [
        relearning_unit(subject, "relearn", "half of the facts", lesson, kind, rate, model, seed)
        for seed in seeds
        for kind, rate in subject.budget.relearn_rates
        for model in subject.models
    ]


def lesson(subject: Subject, halves: Halves) -> list[Text]:
    """The attacker's half as questions with their answers."""
    return [as_lesson(probe) for probe in halves.seen]


def relearning_unit(
    subject: Subject,
    attack: AttackName,
    what: str,
    texts: Callable[[Subject, Halves], list[Text]],
    kind: Kind,
    rate: float,
    model: ModelName,
    seed: int,
) -> Unit:
    """Fine-tune on `texts` and ask for the tested half, before the first step and at each stop of the budget."""
    setting = labelled(f"{what}, {kind}, lr {rate:g}", model, seed)

    def run() -> list[AttackRow]:
        halves = subject.halves(seed)
        report = Reporter(subject, attack, setting, model, seed)
        llm, budget = subject.models[model], subject.budget
        plain = subject.plain_answers(model)
        rows = report.answered([plain[probe.id] for probe in halves.tested], 0)
        finetune(
            llm,
            texts(subject, halves),
            kind=kind,
            rate=rate,
            stops=budget.relearn_steps,
            batch_size=budget.batch_size,
            seed=seed,
            autocast=subject.autocast,
            at_stop=lambda step: rows.extend(report.answered(subject.ask(llm, halves.tested), step)),
        )
        return rows

    return Unit(attack, setting, seed, run)
