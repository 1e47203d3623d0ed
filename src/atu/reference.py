"""What a finished model is compared with: the record of a run, read from its folder. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.benchmarks.catalog import with_proposed
from atu.benchmarks.config import DataConfig
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.models.config import ModelConfig
from atu.records import Answer, Probe
from atu.runs.run_folder import BEFORE, RunFolder
from atu.typed import from_mapping


@dataclass(frozen=True)
class RunReference:
    """A run that asked its reference, the model that it began with, and what it asked."""

    folder: RunFolder
    target: str
    data: DataConfig
    evaluation: EvaluationConfig
    model: ModelConfig
    """The model that the run began with."""
    threads: int | None

    @property
    def identity(self) -> dict[str, Any]:
        """Whose answers they are, as `evaluation.json` names it."""
        manifest = self.folder.read_manifest()
        return {
            "run": str(self.folder.root),
            "label": str(manifest.get("model", self.model.name)),
            "sha256": str(manifest.get("checksums", {}).get("model", "")),
            "dtype": self.model.dtype,
            "quantization": self.model.quantization,
        }

    def answers_to(self, *probe_sets: Sequence[Probe]) -> list[Answer]:
        """What the reference answered, in the order of the probes.

        Args:
            *probe_sets: what must have been asked; the first that the run has answers to is taken.

        Raises:
            UserError: the run asked something else, which is named.
        """
        kept = {answer.probe_id: answer for answer in self.folder.read_answers(BEFORE)}
        missing = [_first_unasked(probes, kept) for probes in probe_sets]
        for probes, unasked in zip(probe_sets, missing, strict=True):
            if unasked is None:
                return [kept[probe.id] for probe in probes]
        raise UserError(
            f"{self.folder.root} has no answer from before to '{missing[0]}': it asked {self.data.benchmark} probes "
            f"about {self.target}. Give the same benchmark, target and tasks, or a model as --before."
        )


def _first_unasked(probes: Sequence[Probe], kept: dict[str, Answer]) -> str | None:
    """Id of the first probe that was not asked in these very words."""
    for probe in probes:
        answer = kept.get(probe.id)
        if answer is None or (answer.group, answer.prompt) != (probe.group, probe.prompt):
            return probe.id
        if probe.kind != "likelihood" and answer.references != probe.references:
            return probe.id
    return None


def find_reference(before: str, model: str) -> RunReference | None:
    """The run that `--before` names; None where it names a model.

    The model of a run that is given as its own before stands for that run: compared with itself, it would tell nothing.

    Raises:
        UserError: as `read_reference`.
    """
    path = Path(before).expanduser()
    if path.is_dir() and path.resolve() == Path(model).expanduser().resolve() and path.resolve().name == "model":
        path = path.resolve().parent
    return read_reference(path) if is_run_folder(path) else None


def is_run_folder(path: Path) -> bool:
    """Whether a path is the folder of a run, and no model."""
    return (path / "config.yaml").is_file() and not (path / "config.json").is_file()


def read_reference(root: Path) -> RunReference:
    """The record of what was before a run.

    Raises:
        UserError: the run has none, or a file of it is broken.
    """
    folder = RunFolder(root=root)
    config = folder.read_config()
    if not (folder.stage_dir(BEFORE) / "stage.json").is_file():
        raise UserError(
            f"{root} has no answers from before its unlearning (it has not come so far, or skip_initial_eval=true). "
            "Give the model that it was made from as --before."
        )
    threads = config.get("threads")
    return RunReference(
        folder=folder,
        target=str(config.get("unlearning_target", "")),
        data=with_proposed(from_mapping(DataConfig, config.get("data", {}), "data"), folder.probes_path),
        evaluation=from_mapping(EvaluationConfig, config.get("evaluation", {}), "evaluation"),
        model=from_mapping(ModelConfig, config.get("pre_trained_llm", {}), "pre_trained_llm"),
        threads=threads if isinstance(threads, int) else None,
    )
