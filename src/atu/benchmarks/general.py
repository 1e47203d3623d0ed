"""General facts: questions that have nothing to do with any concept, which any benchmark may ask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from atu.errors import UserError
from atu.records import Probe
from atu.typed import from_mapping

ASK = "Please briefly answer the following question.\nQuestion: {question}"
"""As RWKU words it."""


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
class GeneralFacts:
    """The file of general facts."""

    questions: tuple[Question, ...]


def general_file() -> Traversable:
    """The facts that are asked whatever the target is."""
    return files("atu.benchmarks") / "general.json"


def general_probes() -> list[Probe]:
    """Facts that have nothing to do with any of the built-in concepts or their neighbors."""
    rows = read_general(general_file()).questions
    return [
        Probe(
            id=f"builtin/general/utility/gen/{number}",  # their home before other benchmarks asked them
            group="utility/gen",
            kind="generate",
            prompt=ASK.format(question=row.question),
            references=row.answers,
        )
        for number, row in enumerate(rows)
    ]


def read_general(file: Traversable) -> GeneralFacts:
    """The general facts of one JSON file.

    Raises:
        UserError: the file is no JSON, or a row is broken; file and row are named.
    """
    return from_mapping(GeneralFacts, read_object(file), file.name)


def read_object(file: Traversable) -> dict[str, object]:
    """The JSON object of a file of the package.

    Raises:
        UserError: it holds none.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:  # no JSON, or no UTF-8
        raise UserError(f"{file.name} is not a JSON file: {error}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{file.name} must hold one JSON object.")
    return value


def files_sha256(contents: Mapping[str, Traversable]) -> str:
    """sha256 (hex) over names and bytes of files of the package."""
    digest = hashlib.sha256()
    for name, file in contents.items():
        content = file.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()
