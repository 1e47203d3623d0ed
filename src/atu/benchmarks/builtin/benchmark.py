"""Concepts, neighbors and general facts from the package's own JSON files.

Prompts are worded as RWKU words them. The form belongs to the group, never to a single probe.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

from atu.benchmarks.icu import forget_in_context
from atu.benchmarks.plain import PlainScoring
from atu.errors import UserError, did_you_mean
from atu.records import Probe, Target
from atu.typed import from_mapping

FILL_IN = "Please complete the blank in the following question.\nQuestion: {question}"
ASK = "Please briefly answer the following question.\nQuestion: {question}"
BLANK = "___"
GENERAL = "general"
"""Stem of the file with the facts that are asked whatever the target is."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, or a sentence with a blank, and every answer that counts as right."""

    question: str
    answers: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.question.strip():
            raise UserError("the question is empty.")
        if not self.answers or not all(answer.strip() for answer in self.answers):
            raise UserError("answers must be a list of texts, none of them empty.")


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


@dataclass(frozen=True, kw_only=True)
class GeneralFacts:
    """The file of general facts."""

    questions: tuple[Question, ...]


@dataclass(frozen=True, kw_only=True)
class BuiltinBenchmark(PlainScoring):
    """The concepts that ship with the package."""

    icu: bool = False
    """Whether every prompt begins with the request to act as if the concept were unknown (in-context unlearning)."""
    name: str = "builtin"

    def targets(self) -> list[str]:
        """Folder names of the concepts, in alphabetical order."""
        return [stem for stem in _data_files() if stem != GENERAL]

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
        asked += self.general_probes()
        return forget_in_context(asked, concept.name) if self.icu else asked

    def general_probes(self) -> list[Probe]:
        """Facts that have nothing to do with any of the concepts or their neighbors."""
        facts = read_general(_data_files()[GENERAL])
        return _probes(GENERAL, "utility/gen", facts.questions)

    def checksum(self, folder: str) -> str:
        """sha256 over names and bytes of the concept's file and that of the general facts."""
        digest = hashlib.sha256()
        for stem in dict.fromkeys((folder, GENERAL)):
            content = _data_files()[stem].read_bytes()
            digest.update(f"{stem} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def _concept(self, folder: str) -> Concept:
        if folder not in self.targets():
            raise UserError(f"The built-in benchmark has no target '{folder}'.{did_you_mean(folder, self.targets())}")
        return read_concept(_data_files()[folder])


def read_concept(file: Traversable) -> Concept:
    """The concept of one JSON file.

    Raises:
        UserError: the file is no JSON, or a row is broken; file, group and row are named.
    """
    concept = from_mapping(Concept, _read_json(file), file.name)
    if f"{concept.folder}.json" != file.name:
        raise UserError(f"{file.name}: its folder is '{concept.folder}', so it must be named {concept.folder}.json.")
    return concept


def read_general(file: Traversable) -> GeneralFacts:
    """The general facts of one JSON file. Raises UserError as `read_concept`."""
    return from_mapping(GeneralFacts, _read_json(file), file.name)


def _data_files() -> dict[str, Traversable]:
    folder = files("atu.benchmarks.builtin") / "data"
    found = {file.name.removesuffix(".json"): file for file in folder.iterdir() if file.name.endswith(".json")}
    return dict(sorted(found.items()))


def _read_json(file: Traversable) -> dict[str, object]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise UserError(f"{file.name} is not a JSON file: {error}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{file.name} must hold one JSON object.")
    return value


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
