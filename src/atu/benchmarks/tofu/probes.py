"""TOFU's probes: one for each row that is asked, and which row that is."""

from __future__ import annotations

from dataclasses import dataclass

from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.benchmarks.tofu.config import TASKS, SplitName, Task
from atu.benchmarks.tofu.files import REAL_AUTHORS, RETAIN_ASKED, SPLITS, WORLD_FACTS, Row
from atu.benchmarks.tofu.reader import TofuData
from atu.errors import UserError
from atu.records import Probe, ProbeKind

MAX_NEW_TOKENS = 200
FORGET, NEIGHBOR = "forget/qa", "neighbor/qa"
AUTHORS, FACTS = "utility/real_authors", "utility/world_facts"
GROUPS = (FORGET, NEIGHBOR, AUTHORS, FACTS, MEMBERS, OTHERS)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Probes of one kind."""

    name: str
    task: Task
    group: str
    kind: ProbeKind
    file: str


def parts_of(split: SplitName) -> list[Part]:
    """All parts of a split, in the order in which they are asked."""
    files = SPLITS[split]
    asked = f"{files.forget}_perturbed"
    return [
        Part(name="forget", task="forget", group=FORGET, kind="generate", file=asked),
        Part(name="retain", task="retain", group=NEIGHBOR, kind="generate", file=RETAIN_ASKED),
        Part(name="real_authors", task="real_authors", group=AUTHORS, kind="generate", file=REAL_AUTHORS),
        Part(name="world_facts", task="world_facts", group=FACTS, kind="generate", file=WORLD_FACTS),
        Part(name="members", task="privacy", group=MEMBERS, kind="likelihood", file=asked),
        Part(name="others", task="privacy", group=OTHERS, kind="likelihood", file=files.holdout),
    ]


def build_probes(data: TofuData, split: SplitName, tasks: tuple[Task, ...]) -> list[Probe]:
    """The probes of some tasks, none = all; of a `likelihood` one the answer behind the question is scored."""
    return [
        Probe(
            id=f"tofu/{split}/{part.name}/{number}",
            group=part.group,
            kind=part.kind,
            prompt=row.question,
            references=(row.answer,),
            max_new_tokens=MAX_NEW_TOKENS,
        )
        for part in parts_of(split)
        if part.task in (tasks or TASKS)
        for number, row in enumerate(data.rows(part.file))
    ]


def row_of(data: TofuData, probe_id: str) -> Row:
    """The row that a probe, or one that an attack made of it, asks about."""
    _, split, name, number = probe_id.partition("#")[0].split("/")
    part = next((part for part in parts_of(split) if part.name == name), None) if split in SPLITS else None  # type: ignore[arg-type]
    if part is None:
        raise UserError(f"'{probe_id}' is no probe of TOFU.")
    return data.rows(part.file)[int(number)]
