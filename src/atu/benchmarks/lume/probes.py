"""What LUME asks, as probes, and its texts to train on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date

from atu.benchmarks.lume.config import TASKS, Task
from atu.benchmarks.lume.reader import LumeData, LumeRow, Side
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.records import Probe, Text

FAMILIES: dict[Side, str] = {"forget": "forget", "retain": "neighbor"}
"""Side → the first part of its scores. What must stay is of the same kind as what is to be forgotten."""
KINDS = {"sc": "regurgitation", "qa": "knowledge"}
GROUPS = tuple(f"{family}/{kind}_{task}" for family in FAMILIES.values() for kind in KINDS.values() for task in TASKS)
MAX_NEW_TOKENS = 256
"""That the released evaluator lets a model write."""
_SSN, _PHONE, _DAY = re.compile(r"(\d{3})(\d{2})(\d{4})"), re.compile(r"(\d{3})(\d{3})(\d{4})"), r"\d{4}-\d{2}-\d{2}"


def choose_rows(data: LumeData, side: Side, tasks: Sequence[Task], limit: int | None) -> list[LumeRow]:
    """The rows of a side that belong to some tasks, and to the first `limit` documents of each."""
    chosen: dict[Task, dict[str, list[LumeRow]]] = {task: {} for task in tasks or TASKS}
    for row in data.rows(side):
        if row.task in chosen:
            chosen[row.task].setdefault(row.document, []).append(row)
    return [row for documents in chosen.values() for rows in list(documents.values())[:limit] for row in rows]


def build_probes(data: LumeData, tasks: Sequence[Task], limit: int | None) -> list[Probe]:
    """All rows of both sides, and the membership texts where they are at hand."""
    probes = [
        Probe(
            id=f"lume/forget/{side}/{row.id}",
            group=f"{family}/{KINDS[row.kind]}_{row.task}",
            kind="generate",
            prompt=row.input,
            references=accepted(row.output) if row.kind == "qa" else (row.output,),
            max_new_tokens=MAX_NEW_TOKENS,
        )
        for side, family in FAMILIES.items()
        for row in choose_rows(data, side, tasks, limit)
    ]
    groups = {"members": MEMBERS, "others": OTHERS}
    for name, texts in data.membership_texts().items():
        for number, (row_id, text) in enumerate(texts):
            probe_id = f"lume/forget/{name}/{number}-{row_id}"
            probes.append(Probe(id=probe_id, group=groups[name], kind="likelihood", prompt=text))
    return probes


def accepted(answer: str) -> tuple[str, ...]:
    """An answer as the file has it, which goes first, and in the forms in which LUME's own texts write it.

    Task 2 asks for `900463278` and `1983-03-06`, while its biographies say 900-46-3278 and March 6, 1983.
    """
    plain = answer.strip()
    if ssn := _SSN.fullmatch(plain):
        return (answer, "-".join(ssn.groups()))
    if phone := _PHONE.fullmatch(plain):
        return (answer, "-".join(phone.groups()))
    if re.fullmatch(_DAY, plain):
        try:
            day = date.fromisoformat(plain)
        except ValueError:  # no day of the calendar
            return (answer,)
        return (answer, f"{day:%B} {day.day}, {day.year}", f"{day.day} {day:%B} {day.year}")
    return (answer,)


def training_texts(rows: Sequence[LumeRow], subject: str) -> list[Text]:
    """A beginning with what follows it as prose, a question as a user's message with its answer."""
    return [
        Text(text=row.output, prompt=row.input, subject=subject, source="lume")
        if row.kind == "qa"
        else Text(text=whole_text(row), subject=subject, source="lume")
        for row in rows
    ]


def whole_text(row: LumeRow) -> str:
    """A beginning with what follows it; the file cuts them at a space, which mostly neither of them has."""
    gap = "" if row.input[-1:].isspace() or row.output[:1].isspace() else " "
    return row.input + gap + row.output
