"""Runs for reports out of a project of wandb."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from atu.errors import UserError, in_one_line
from atu.records import RunRecord
from atu.runs.wandb_client import import_wandb, log_in
from atu.runs.wandb_rows import MANIFEST, read_stages

_STATES = {"finished": "done", "running": "running", "pending": "running", "failed": "failed"}
"""wandb's states to those of a run's status.json; `crashed`, `killed` and `preempted` runs were interrupted."""


def read_wandb(
    entity: str, project: str, *, run_ids: Sequence[str] = (), run_names: Sequence[str] = ()
) -> list[RunRecord]:
    """The runs of a project, oldest first; without ids and names all of them.

    Runs that this project logged and runs of the original project are understood. A run without history has no
    stages.

    Raises:
        UserError: wandb is not installed, or has no login; the server refuses, or has no such entity or project;
            the project is empty, or lacks a run that was asked for.
    """
    wandb = import_wandb()
    log_in(wandb)
    path = f"{entity}/{project}"
    with _told(path):
        runs = list(wandb.Api().runs(path, filters=_filters(run_ids, run_names), lazy=False))
    missing = [*({*run_ids} - {run.id for run in runs}), *({*run_names} - {run.name for run in runs})]
    if missing:
        raise UserError(f"wandb's project {path} has no run {', '.join(sorted(missing))}.")
    if not runs:
        raise UserError(f"wandb's project {path} has no runs.")
    records = []
    for run in runs:
        source = f"{path}/{run.id}"
        with _told(source):
            rows = list(run.scan_history())
        records.append(_record(run.name, source, run.state, run.config, rows))
    return records


def _record(
    name: str, source: str, state: str, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> RunRecord:
    try:
        stages = read_stages(rows, begins_with_before=not config.get("skip_initial_eval"))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"The history of {source} has a broken stage: {in_one_line(error)}.") from error
    config = dict(config)
    manifest = config.pop(MANIFEST, {})
    seed = config.get("seed")
    return RunRecord(
        name=name,
        source=source,
        method=_text(config, "task", "name"),
        target=_text(config, "unlearning_target"),
        model=_text(manifest, "model") or _text(config, "pre_trained_llm", "name"),
        seed=seed if isinstance(seed, int) else None,
        state=_STATES.get(state, "interrupted"),
        config=config,
        stages=stages,
    )


def _text(value: Any, *keys: str) -> str:
    """The text at nested keys; empty where a run of something else has none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""


def _filters(run_ids: Sequence[str], run_names: Sequence[str]) -> dict[str, Any]:
    """As a Mongo query: a run that has one of the ids or one of the names."""
    rules = [{key: {"$in": [*names]}} for key, names in (("name", run_ids), ("displayName", run_names)) if names]
    return {"$or": rules} if rules else {}


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Turn what the API raises, of whatever class, into one line."""
    try:
        yield
    except Exception as error:
        raise UserError(f"wandb cannot give {path}: {in_one_line(error)}.") from error
