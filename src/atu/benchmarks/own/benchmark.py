"""A concept of the user's own: a name and one sentence, with or without probes of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.benchmarks.base import Benchmark
from atu.benchmarks.config import DataConfig
from atu.benchmarks.general import files_sha256, general_file, general_probes
from atu.benchmarks.icu import forget_in_context
from atu.benchmarks.options import Option
from atu.errors import UserError
from atu.records import Probe, Target
from atu.storage.user_files import file_sha256, json_rows, shown

_FIELDS = {"group", "prompt", "references", "max_new_tokens", "answer_prefix", "attack", "target"}
_MAX_NEW_TOKENS = 4096
"""Of an answer: a model that never ends would write for hours beyond it."""


@dataclass(frozen=True, kw_only=True)
class OwnConfig(DataConfig):
    """What the user says of the concept."""

    benchmark: str = "own"
    description: str | None = None
    """One sentence about the concept."""
    neighbors: tuple[str, ...] = ()
    """Names that must stay; filled up from a general list."""
    probes_path: str | None = None
    """JSONL with the user's own probes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.neighbors) > self.corpus.num_neighbors:
            raise UserError(
                f"data.neighbors names {len(self.neighbors)} concepts, but data.corpus.num_neighbors is "
                f"{self.corpus.num_neighbors}: raise it, or the last ones would be left out."
            )


class OwnConcept(Benchmark):
    """The concept that `unlearning_target` names, described by `data.description`.

    Without `data.probes_path` only the general facts are asked: they show damage, not forgetting.
    """

    name = "own"
    groups = ("forget/fb", "forget/qa", "forget/aa", "neighbor/fb", "neighbor/qa", "utility/gen")
    config: OwnConfig
    config_class = OwnConfig
    options = (Option(flag="--probes", key="probes_path", help="File of your own questions (docs/own-concept.md)."),)
    how_to_ask = "give questions by data.probes_path"

    def targets(self) -> list[str]:
        """Any name is a target here, so none is listed."""
        return []

    def target(self, folder: str) -> Target:
        """The concept itself."""
        name = folder.replace("_", " ")
        return Target(
            name=name,
            folder=folder,
            description=self.config.description or name,
            neighbors=self.config.neighbors,
        )

    def probes(self, folder: str) -> list[Probe]:
        """The user's probes, but those whose `target` is another concept, and the general facts.

        Raises:
            UserError: the file is missing, or a row of it is broken (its line is named).
        """
        own: list[Probe] = []
        if self.config.probes_path is not None:
            own = _read_probes(Path(self.config.probes_path), folder)
        asked = own + general_probes()
        return forget_in_context(asked, self.target(folder).name) if self.config.icu else asked

    def checksum(self, folder: str) -> str:
        """sha256 of the probes' file, or of the general facts where there is none."""
        if self.config.probes_path is None:
            return files_sha256({"general": general_file()})
        return file_sha256(Path(self.config.probes_path))


def _read_probes(path: Path, folder: str) -> list[Probe]:
    if not path.exists():
        raise UserError(f"data.probes_path: the file {shown(path)} does not exist.")
    rows = [(_to_probe(row, where, f"own/{folder}/{number}"), row) for where, number, row in json_rows(path)]
    probes = [probe for probe, row in rows if row.get("target", folder) == folder]
    if not rows:
        raise UserError(f"data.probes_path: the file {path} holds no probe.")
    return probes


def _to_probe(row: dict[str, Any], where: str, probe_id: str) -> Probe:
    if row.get("group") not in OwnConcept.groups:
        raise UserError(f'{where}: each line must be an object with a "group", one of {", ".join(OwnConcept.groups)}.')
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise UserError(f"{where}: unknown field '{unknown[0]}'; known are {', '.join(sorted(_FIELDS))}.")
    references = row.get("references")
    if not isinstance(references, list) or not references or not all(isinstance(r, str) and r for r in references):
        raise UserError(f'{where}: "references" must be a list of accepted answers.')
    if not isinstance(row.get("prompt"), str) or not row["prompt"]:
        raise UserError(f'{where}: "prompt" must be a non-empty string.')
    max_new_tokens = row.get("max_new_tokens", 24)
    if type(max_new_tokens) is not int or not 1 <= max_new_tokens <= _MAX_NEW_TOKENS:
        raise UserError(f'{where}: "max_new_tokens" must be a whole number in 1..{_MAX_NEW_TOKENS}.')
    for key in ("answer_prefix", "attack", "target"):
        if not isinstance(row.get(key, ""), str):
            raise UserError(f'{where}: "{key}" must be a string.')
    return Probe(
        id=probe_id,
        group=row["group"],
        kind="generate",
        prompt=row["prompt"],
        references=tuple(references),
        max_new_tokens=max_new_tokens,
        answer_prefix=row.get("answer_prefix", ""),
        attack=row.get("attack", ""),
    )
