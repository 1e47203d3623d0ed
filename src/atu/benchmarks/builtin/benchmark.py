"""Concepts, neighbors and general facts from the package's own JSON files.

Prompts are worded as RWKU words them. The form belongs to the group, never to a single probe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

from atu.benchmarks.base import Benchmark
from atu.benchmarks.general import ASK, Question, files_sha256, general_file, general_probes, read_object
from atu.benchmarks.icu import forget_in_context
from atu.errors import UserError, did_you_mean
from atu.records import Probe, Target
from atu.typed import from_mapping

FILL_IN = "Please complete the blank in the following question.\nQuestion: {question}"
BLANK = "___"


@dataclass(frozen=True, kw_only=True)
class FillIn(Question):
    """A sentence with one blank."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.question.count(BLANK) != 1:
            raise UserError(f"the question must hold the blank {BLANK} once.")


@dataclass(frozen=True, kw_only=True)
class Attack(Question):
    """A question in a form that may get round the forgetting."""

    attack: Literal["rephrase", "reverse", "in-context", "prefix", "role play"]
    context: str = ""
    """Facts about the concept that stand before the question (`in-context`)."""
    answer_prefix: str = ""
    """Words that the assistant has already said (`prefix`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.context) != (self.attack == "in-context"):
            raise UserError("an attack 'in-context' has a context, any other has none.")
        if bool(self.answer_prefix) != (self.attack == "prefix"):
            raise UserError("an attack 'prefix' has an answer_prefix, any other has none.")


@dataclass(frozen=True, kw_only=True)
class NeighborQuestion(Question):
    """A question about a neighbor of the concept."""

    neighbor: str


@dataclass(frozen=True, kw_only=True)
class NeighborFillIn(FillIn):
    """A sentence with a blank about a neighbor of the concept."""

    neighbor: str


@dataclass(frozen=True, kw_only=True)
class ForgetQuestions:
    """What must be forgotten: fill-ins, questions, adversarial questions."""

    fb: tuple[FillIn, ...]
    qa: tuple[Question, ...]
    aa: tuple[Attack, ...]


@dataclass(frozen=True, kw_only=True)
class NeighborQuestions:
    """What must stay although it is near."""

    fb: tuple[NeighborFillIn, ...]
    qa: tuple[NeighborQuestion, ...]


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One file of the data folder."""

    name: str
    folder: str
    kind: str
    """What sort of thing it is: person, country, ..."""
    description: str
    aliases: tuple[str, ...]
    neighbors: tuple[str, ...]
    """Names for the retain corpus; part of the neighbors that are asked about are deliberately not among them."""
    forget: ForgetQuestions
    neighbor: NeighborQuestions


class BuiltinBenchmark(Benchmark):
    """The concepts that ship with the package."""

    name = "builtin"
    groups = ("forget/fb", "forget/qa", "forget/aa", "neighbor/fb", "neighbor/qa", "utility/gen")

    def targets(self) -> list[str]:
        """Folder names of the concepts, in alphabetical order."""
        return list(_data_files())

    def target(self, folder: str) -> Target:
        """The concept, with the neighbors' names for the retain corpus.

        Raises:
            UserError: there is no such concept.
        """
        concept = self._concept(folder)
        return Target(
            name=concept.name,
            folder=concept.folder,
            description=concept.description,
            neighbors=concept.neighbors,
            aliases=concept.aliases,
        )

    def probes(self, folder: str) -> list[Probe]:
        """Probes of the concept and of its neighbors, then the general facts, which are the same for every concept.

        Raises:
            UserError: there is no such concept.
        """
        concept = self._concept(folder)
        groups: dict[str, Sequence[Question]] = {
            "forget/fb": concept.forget.fb,
            "forget/qa": concept.forget.qa,
            "forget/aa": concept.forget.aa,
            "neighbor/fb": concept.neighbor.fb,
            "neighbor/qa": concept.neighbor.qa,
        }
        asked = [probe for group, rows in groups.items() for probe in _probes(folder, group, rows)]
        asked += general_probes()
        return forget_in_context(asked, concept.name) if self.config.icu else asked

    def checksum(self, folder: str) -> str:
        """sha256 over names and bytes of the concept's file and that of the general facts."""
        return files_sha256({folder: _data_files()[folder], "general": general_file()})

    def _concept(self, folder: str) -> Concept:
        concepts = self.targets()
        if folder in concepts:
            return read_concept(_data_files()[folder])
        if self.config.corpus.source == "jsonl":
            raise UserError(
                f"The built-in benchmark has no target '{folder}', only {', '.join(concepts)}. For texts about another "
                "concept give your own questions too: data.benchmark=own data.probes_path=FILE (docs/own-concept.md)."
            )
        raise UserError(f"The built-in benchmark has no target '{folder}'.{did_you_mean(folder, concepts)}")


def read_concept(file: Traversable) -> Concept:
    """The concept of one JSON file.

    Raises:
        UserError: the file is no JSON, or a row is broken; file, group and row are named.
    """
    concept = from_mapping(Concept, read_object(file), file.name)
    if f"{concept.folder}.json" != file.name:
        raise UserError(f"{file.name}: its folder is '{concept.folder}', so it must be named {concept.folder}.json.")
    return concept


def _data_files() -> dict[str, Traversable]:
    folder = files("atu.benchmarks.builtin") / "data"
    found = {file.name.removesuffix(".json"): file for file in folder.iterdir() if file.name.endswith(".json")}
    return dict(sorted(found.items()))


def _probes(folder: str, group: str, rows: Sequence[Question]) -> list[Probe]:
    return [_probe(f"builtin/{folder}/{group}/{number}", group, row) for number, row in enumerate(rows)]


def _probe(probe_id: str, group: str, row: Question) -> Probe:
    form = FILL_IN if isinstance(row, FillIn) else ASK
    prompt = form.format(question=row.question)
    attack = row if isinstance(row, Attack) else None
    if attack is not None and attack.context:
        prompt = f"{attack.context}\n{prompt}"
    return Probe(
        id=probe_id,
        group=group,
        kind="generate",
        prompt=prompt,
        references=row.answers,
        answer_prefix=attack.answer_prefix if attack else "",
        attack=attack.attack if attack else "",
    )
