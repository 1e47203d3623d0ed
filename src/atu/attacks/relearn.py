"""Held-out relearning: fine-tune on one half of the facts, ask for the other half.

Source: Deeb and Roger 2024 (arXiv 2410.08827). Fixed step budgets and the maximum over steps: arXiv 2602.03379.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from atu import __version__
from atu.attacks.config import AttackName, Kind, ModelName
from atu.attacks.finetune import finetune
from atu.attacks.halves import Halves, as_lesson
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.records import Answer, AttackRow, Probe, Text
from atu.runs.rows import read_answers, to_row
from atu.storage.cache import find_file, new_file
from atu.storage.files import content_key, write_jsonl_atomic


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
        plain = subject.plain_answers(model)
        by_step = {0: [plain[probe.id] for probe in halves.tested]}
        by_step |= relearned_answers(
            subject, model, texts(subject, halves), halves.tested, kind=kind, rate=rate, seed=seed
        )
        return [row for step, answers in by_step.items() for row in report.answered(answers, step)]

    return Unit(attack, setting, seed, run)


def relearned_answers(
    subject: Subject,
    model: ModelName,
    lessons: Sequence[Text],
    tested: Sequence[Probe],
    *,
    kind: Kind,
    rate: float,
    seed: int,
) -> dict[int, list[Answer]]:
    """What a model answers to `tested` at each stop of the budget, by step.

    Those of the reference and the gold model are kept in the cache by the checksum of their weights, tokenizer and chat
    template, since every model that was made from them is compared with them.
    """
    llm, budget = subject.models[model], subject.budget

    def answers() -> dict[int, list[Answer]]:
        found: dict[int, list[Answer]] = {}
        finetune(
            llm,
            lessons,
            kind=kind,
            rate=rate,
            stops=budget.relearn_steps,
            batch_size=budget.batch_size,
            seed=seed,
            autocast=subject.autocast,
            at_stop=lambda step: found.update({step: subject.ask(llm, tested)}),
        )
        return found

    if model == "unlearned" or not llm.reading_key:
        return answers()
    with subject.autocast():
        has_autocast = torch.is_autocast_enabled(llm.device.type)
    parts = {
        "model": llm.reading_key,
        "dtype": str(llm.model.dtype),
        "autocast": has_autocast,
        "version": __version__,
        "texts": [asdict(text) for text in lessons],
        "tuning": [kind, rate, list(budget.relearn_steps), budget.batch_size, seed],
        "probes": [asdict(probe) for probe in tested],
    }
    key = content_key(parts)
    paths = [find_file("relearned", f"{key}-{step}", ".jsonl") for step in budget.relearn_steps]
    found = [read_answers(path) for path in paths if path is not None]
    if len(found) == len(budget.relearn_steps):
        return dict(zip(budget.relearn_steps, found, strict=True))
    by_step = answers()
    for step, given in by_step.items():
        with new_file("relearned", f"{key}-{step}", ".jsonl") as new:
            write_jsonl_atomic(new.partial, map(to_row, given))
    return by_step
