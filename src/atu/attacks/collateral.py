"""Collateral damage: what else was lost, near the target and far from it.

Sources: neighbours by distance and generation tests instead of MMLU alone, arXiv 2511.00030; alike in form, arXiv
2502.11441.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import zip_longest

from atu.attacks.config import ModelName
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.evaluation.likelihood import Completion, completion_nll
from atu.models.language_model import LanguageModel
from atu.models.rows import build_row
from atu.records import Answer, AttackRow, Probe, Text

_MAX_TARGETS = 8
"""Other targets of each kind; reading the files of all of a large benchmark would take minutes."""
_MAX_TEXTS = 60
_MAX_TOKENS = 256


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """One unit for each model: the damage is the difference of its rows to the original's. Nothing is drawn."""

    def unit(model: ModelName) -> Unit:
        setting = labelled("questions and texts", model, None)
        report = Reporter(subject, "collateral", setting, model, None)
        return Unit("collateral", setting, None, lambda: _measure(subject, report))

    return [unit("unlearned"), unit("original")]


def other_targets(subject: Subject) -> dict[str, list[Probe]]:
    """Plain questions about other targets of the benchmark, by how they stand to this one.

    `name shape`: names of as many words; `random`: the others. At most as many each as the budget has, in turns.
    """
    own, benchmark = subject.target, subject.benchmark
    folders: dict[str, list[str]] = {"name shape": [], "random": []}
    for folder in benchmark.targets():
        name = benchmark.target(folder).name
        if folder != own.folder and name not in own.aliases:
            folders["name shape" if len(name.split()) == len(own.name.split()) else "random"].append(folder)
    found = {}
    for kind, names in folders.items():
        chosen = random.Random(kind).sample(names, min(_MAX_TARGETS, len(names)))
        asked = [[p for p in benchmark.probes(name) if p.group in ("forget/fb", "forget/qa")] for name in chosen]
        # One question of each in turn, so that a limit takes from all of them.
        mixed = [probe for turn in zip_longest(*asked) for probe in turn if probe is not None]
        if mixed:
            found[kind] = mixed[: subject.budget.max_collateral]
    return found


def text_losses(llm: LanguageModel, texts: Sequence[Text], *, batch_size: int) -> list[float]:
    """Nats per token of each text, given its prompt."""
    completions = []
    for text in texts:
        row = build_row(llm, text, max_tokens=_MAX_TOKENS)
        first = row.first_scored
        completions.append(Completion(prompt=row.ids[:first], ids=row.ids[first:]))
    return completion_nll(llm, completions, batch_size=batch_size)


def _measure(subject: Subject, report: Reporter) -> list[AttackRow]:
    llm = subject.models[report.model]
    given = subject.plain_answers(report.model)
    asked: dict[str, list[Answer]] = {}
    for probe in subject.group("neighbor", "utility"):
        kind = "same field" if probe.group.startswith("neighbor/") else "general facts"
        asked.setdefault(kind, []).append(given[probe.id])
    for kind, probes in other_targets(subject).items():
        asked[kind] = subject.ask(llm, probes)
    rows = []
    for kind, answers in asked.items():
        degenerate = sum(answer.degenerate for answer in answers) / len(answers)
        scores = [answer.score for answer in answers]
        rows.append(report.measured(f"asked/{kind}", scores, None, degenerate=degenerate))
    for kind, texts in _texts(subject).items():
        losses = text_losses(llm, texts, batch_size=subject.evaluation.batch_size)
        rows.append(report.raw(f"loss/{kind}", losses, None))
    return rows


def _texts(subject: Subject) -> dict[str, list[Text]]:
    """Corpus texts by whom they are about."""
    target, kinds = subject.target, dict[str, list[Text]]()
    for text in subject.corpus:
        if text.subject in (target.name, *target.aliases):
            kind = "target"
        else:
            kind = "neighbors" if text.subject in target.neighbors else "anything else"
        kinds.setdefault(kind, []).append(text)
    return {kind: texts[:: max(1, len(texts) // _MAX_TEXTS)] for kind, texts in kinds.items()}
