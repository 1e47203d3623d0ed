"""Runs from a folder, a JSON file or wandb, all as `RunRecord`. What can't be read is named and left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.errors import UserError, did_you_mean
from atu.records import RunRecord, Scoring, StageResult
from atu.runs.run_folder import RunFolder
from atu.storage.files import PARTIAL_SUFFIX

FILTERS = ("methods", "targets", "models", "seeds")
"""What runs can be filtered by; each is a list of the values that stay."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Runs, and what a reader must know of those that are not among them."""

    runs: tuple[RunRecord, ...]
    notes: tuple[str, ...] = ()


def read_local(root: Path) -> Collection:
    """Read every run folder at or below `root`. A run's name is its path below `root`.

    Raises:
        UserError: no such folder, or not one run in it that can be read.
    """
    if not root.is_dir():
        raise UserError(f"There is no folder {root}.")
    runs, faults = [], []
    for folder in _run_folders(root):
        name = root.resolve().name if folder == root else folder.relative_to(root).as_posix()
        try:
            runs.append(record_of(folder, name))
        except UserError as error:
            faults.append(f"{name} is left out: {error}")
    if not runs and faults:
        raise UserError(f"No run in {root} can be read. {faults[0]}")
    if not runs:
        raise UserError(f"{root} holds no runs: no folder in it has a config.yaml and stages.")
    return Collection(runs=tuple(runs), notes=tuple(faults))


def record_of(folder: Path, name: str) -> RunRecord:
    """What reports need of the run in a folder.

    Raises:
        UserError: a file of it is missing or broken.
    """
    run = RunFolder(root=folder)
    config, manifest, status = run.read_config(), run.read_manifest(), run.read_status()
    stages: dict[Scoring, tuple[StageResult, ...]] = {"corrected": tuple(run.read_stages())}
    released = tuple(run.read_stages("released"))
    if any(stage.scores for stage in released):
        stages["released"] = released
    seed = config.get("seed")
    return RunRecord(
        name=name,
        source=str(folder),
        method=str(_at(config, "task.name", folder)),
        target=str(_at(config, "unlearning_target", folder)),
        model=str(manifest.get("model") or _at(config, "pre_trained_llm.name", folder)),
        seed=seed if isinstance(seed, int) else None,
        # A process that was killed could not say so.
        state=str(status.get("state", "interrupted")),
        config=config,
        stages=stages,
    )


def choose(
    collection: Collection, *, ids: Sequence[str] = (), names: Sequence[str] = (), filters: Mapping[str, Sequence[Any]]
) -> Collection:
    """Keep the runs that the user names and the filters let through; none named means all.

    Args:
        ids: folders of runs, or the end of a wandb path; they tell runs of the same name apart.
        names: names of runs, or their last part; all runs of the name are kept.
        filters: one of `FILTERS` → values that stay.

    Raises:
        UserError: an id, a name or a value that no run has, or no run is left.
    """
    runs = list(collection.runs)
    _refuse_unknown("There is no run", ids, {key for run in runs for key in _ids(run)})
    _refuse_unknown("There is no run", names, {key for run in runs for key in _names(run)})
    if ids or names:
        wanted_ids = {os.path.normpath(key) for key in ids}
        runs = [run for run in runs if _ids(run) & wanted_ids or _names(run) & set(names)]
    for key, values in filters.items():
        attribute = key.removesuffix("s")
        wanted = {str(value) for value in values}
        _refuse_unknown(
            f"No run has the {attribute}", wanted, {str(getattr(run, attribute)) for run in collection.runs}
        )
        runs = [run for run in runs if str(getattr(run, attribute)) in wanted]
    if not runs:
        raise UserError("The filters leave no run.")
    return Collection(runs=tuple(runs), notes=collection.notes)


def _run_folders(root: Path) -> Iterator[Path]:
    for current, folders, files in os.walk(root):
        if "config.yaml" in files and ("stages" in folders or "status.json" in files):
            yield Path(current)
            folders.clear()
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.endswith(PARTIAL_SUFFIX))


def _ids(run: RunRecord) -> set[str]:
    return {os.path.normpath(run.source), run.source.rsplit("/", 1)[-1], os.path.normpath(run.name)}


def _names(run: RunRecord) -> set[str]:
    return {run.name, run.name.rsplit("/", 1)[-1]}


def _refuse_unknown(complaint: str, wanted: Iterable[str], known: Set[str]) -> None:
    for key in wanted:
        if key not in known and os.path.normpath(key) not in known:
            raise UserError(f"{complaint} '{key}'.{did_you_mean(key, known)}")


def _at(config: Mapping[str, Any], path: str, folder: Path) -> Any:
    """The value of a dotted key that every run's config has."""
    value: Any = config
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    if value is None:
        raise UserError(f"{folder / 'config.yaml'} has no {path}.")
    return value
