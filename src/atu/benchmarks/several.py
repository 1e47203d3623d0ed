"""Several concepts that are forgotten together: one name for all, one target, and what is asked about each. No torch.

Their name is theirs with commas between them, `Japan,Diabetes`; a comma before an underscore belongs to a name
(`10_Prince_Harry,_Duke_of_Sussex`). The name of one concept is its own, so these functions serve for both.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.errors import UserError
from atu.evaluation.scorers import contains_any
from atu.records import Probe, Target, Text

_BETWEEN = re.compile(r",(?!_)")


def split_names(text: str) -> list[str]:
    """The names between commas."""
    return [name for part in _BETWEEN.split(text) if (name := part.strip())]


def join_names(names: Iterable[object]) -> str:
    """One name for several concepts."""
    return ",".join(str(name).strip() for name in names)


def members_of(benchmark: Benchmark, name: str) -> tuple[str, ...]:
    """The folder names of the concepts that a name stands for; of one concept, that alone.

    Raises:
        UserError: none or twice the same, or a concept that the benchmark does not have.
    """
    found = [member for one in split_names(name) for member in benchmark.members(one)]
    twice = [member for member in found if found.count(member) > 1]
    if twice:
        raise UserError(f"The target '{twice[0]}' is named twice: name each concept once.")
    if not found:
        raise UserError(f"The target '{name[:60]}' names no concept.")
    return tuple(found)


def find_target(benchmark: Benchmark, name: str) -> Target:
    """What to forget. What one concept has for a neighbor is none where it is to be forgotten too.

    Raises:
        UserError: as `members_of`.
    """
    members = [benchmark.target(member) for member in members_of(benchmark, name)]
    if len(members) == 1:
        return members[0]
    own = {word.casefold() for one in members for word in (one.name, *one.aliases)}
    return Target(
        name=", ".join(one.name for one in members),
        folder=join_names(one.folder for one in members),
        description=" ".join(dict.fromkeys(one.description for one in members)),
        neighbors=tuple(
            dict.fromkeys(other for one in members for other in one.neighbors if other.casefold() not in own)
        ),
        aliases=tuple(dict.fromkeys(word for one in members for word in (one.name, *one.aliases))),
        members=tuple(name for one in members for name in one.concepts),
    )


def find_probes(benchmark: Benchmark, name: str) -> list[Probe]:
    """What to ask about each concept, under the ids that its probes have alone.

    What must stay is asked once where several of them ask it, and not at all where question or answers name another of
    the concepts: it is to be forgotten.

    Raises:
        UserError: as `members_of`.
    """
    members = members_of(benchmark, name)
    if len(members) == 1:
        return benchmark.probes(members[0])
    names = {member: _names(benchmark.target(member)) for member in members}
    found: list[Probe] = []
    asked: set[object] = set()
    for member in members:
        others = [word for other in members if other != member for word in names[other]]
        for probe in benchmark.probes(member):
            if probe.group.startswith("forget/"):
                found.append(probe)
                continue
            # With in-context unlearning the general facts have one id, and a prompt for each concept.
            same = {probe.id, (probe.group, probe.prompt, probe.answer_prefix, probe.references)}
            is_to_be_forgotten = probe.group.startswith("neighbor/") and _is_about(probe, others)
            if not is_to_be_forgotten and not asked & same:
                found.append(probe)
                asked |= same
    return found


def member_of_probe(probe_id: str) -> str:
    """Folder name of the concept that a probe of this id is asked for."""
    return probe_id.split("/")[1]


def find_checksum(benchmark: Benchmark, name: str) -> str:
    """sha256 (hex) of the data behind the probes of each concept.

    Raises:
        UserError: as `members_of`.
    """
    sums = [benchmark.checksum(member) for member in members_of(benchmark, name)]
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()


def find_texts(benchmark: Benchmark, target: Target, *, writer: str, seed: int) -> GivenTexts:
    """The benchmark's own texts about each concept; those that must stay are about none of them.

    Args:
        target: of `find_target`.
        writer: name of the model that is trained.

    Raises:
        UserError: it has none for a concept, or none for this model.
    """
    members = members_of(benchmark, target.folder)
    parts = [benchmark.texts(benchmark.target(member), writer=writer, seed=seed) for member in members]
    if len(parts) == 1:
        return parts[0]
    return GivenTexts(
        forget=_distinct(text for part in parts for text in part.forget),
        retain=_distinct(text for part in parts for text in part.retain if text.subject not in target.members),
        questionnaire=tuple(dict.fromkeys(question for part in parts for question in part.questionnaire)),
        is_running=any(part.is_running for part in parts),
        remark=next((part.remark for part in parts if part.remark is not None), None),
    )


def _names(target: Target) -> tuple[str, ...]:
    return (target.name, *target.aliases)


def _is_about(probe: Probe, names: Sequence[str]) -> bool:
    return contains_any(" \n ".join([probe.prompt, *probe.references]), names) > 0


def _distinct(texts: Iterable[Text]) -> tuple[Text, ...]:
    return tuple(dict.fromkeys(texts))
