"""The folder of one run: config, manifest, status and stages, readable without this code."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import BaseFileLock, FileLock, Timeout

from atu.errors import UserError
from atu.records import Answer, Judgement, Scoring, StageResult
from atu.results.files import (
    PARTIAL_SUFFIX,
    disk_errors,
    publish_folder,
    read_json,
    write_json_atomic,
    write_jsonl_atomic,
    write_text_atomic,
)
from atu.results.manifest import now
from atu.results.rows import read_answers, read_stage, to_row

RunState = Literal["running", "done", "failed", "interrupted"]

_LOCK = ".lock"
_SHOWN_DIFFERENCES = 5


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Paths and records of one run. Reading needs the root alone; `open_run` gives one to write."""

    root: Path
    lock: BaseFileLock | None = field(default=None, compare=False, repr=False)
    """Held while this process writes the run, so that two processes never do."""

    def release(self) -> None:
        """Let other processes write the run; done by `session` at its end, and by the end of the process."""
        if self.lock is not None:
            self.lock.release()

    @property
    def config_path(self) -> Path:
        return self.root / "config.yaml"

    @property
    def manifest_path(self) -> Path:
        return self.root / "manifest.json"

    @property
    def status_path(self) -> Path:
        return self.root / "status.json"

    @property
    def metrics_path(self) -> Path:
        return self.root / "metrics.jsonl"

    @property
    def attacks_path(self) -> Path:
        return self.root / "attacks.json"

    @property
    def wandb_path(self) -> Path:
        return self.root / "wandb.json"

    @property
    def tensorboard_dir(self) -> Path:
        return self.root / "tensorboard"

    @property
    def log_path(self) -> Path:
        return self.root / "log.txt"

    @property
    def checkpoint_dir(self) -> Path:
        return self.root / "checkpoint"

    @property
    def model_dir(self) -> Path:
        return self.root / "model"

    @property
    def report_path(self) -> Path:
        return self.root / "report.html"

    @property
    def holds_work(self) -> bool:
        """Whether a checkpoint or a finished stage would be lost with the folder."""
        return self.checkpoint_dir.exists() or (self.root / "stages").exists()

    def stage_dir(self, label: str) -> Path:
        """Folder of a stage, such as `stages/02-unlearn`."""
        return self.root / "stages" / label

    def write_stage(
        self, result: StageResult, answers: Sequence[Answer], others: Mapping[Scoring, Judgement] | None = None
    ) -> None:
        """Keep a finished stage, whole or not at all; an earlier one of the same label is replaced.

        A stage that asked no probes has no answers file. `others`: what scorings beside `corrected` give.

        Raises:
            UserError: the disk refuses; what was there before still is.
        """
        final = self.stage_dir(result.label)
        partial = final.with_name(final.name + PARTIAL_SUFFIX)
        with disk_errors(final):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        stage = to_row(result)
        stage.pop("scores")
        write_json_atomic(partial / "stage.json", stage)
        corrected = Judgement(scores=result.scores, answers=answers)
        write_evaluation(partial, {**(others or {}), "corrected": corrected})
        with disk_errors(final):
            if final.exists():
                shutil.rmtree(final)
        publish_folder(partial, final)

    def read_stages(self, scoring: Scoring = "corrected") -> list[StageResult]:
        """The finished stages, by index, with the scores of one scoring (none where it was not asked for).

        Raises:
            UserError: a stage file is missing or broken.
        """
        folders = sorted(path.parent for path in self.root.glob("stages/*/stage.json"))
        finished = [folder for folder in folders if not folder.name.endswith(PARTIAL_SUFFIX)]
        return sorted((read_stage(folder, scoring) for folder in finished), key=lambda stage: stage.index)

    def read_answers(self, label: str) -> list[Answer]:
        """The answers given at the end of a stage; empty when it asked no probes.

        Raises:
            UserError: there is no such stage, or a row is broken.
        """
        folder = self.stage_dir(label)
        if not (folder / "stage.json").exists():
            raise UserError(f"{self.root} has no finished stage '{label}'.")
        path = folder / "answers.corrected.jsonl"
        if not path.exists():
            return []
        return read_answers(path)

    def read_config(self) -> dict[str, Any]:
        """The config of the run, as plain values.

        Raises:
            UserError: no config.yaml, or it can't be parsed.
        """
        return _read_yaml(self.config_path)

    def write_manifest(self, value: Mapping[str, Any]) -> None:
        """Keep what `manifest` gave."""
        write_json_atomic(self.manifest_path, dict(value))

    def read_manifest(self) -> dict[str, Any]:
        """What `write_manifest` kept; empty when the run did not come so far."""
        return _optional(self.manifest_path)

    def read_status(self) -> dict[str, Any]:
        """What `set_status` said last; empty when it never did."""
        return _optional(self.status_path)

    def set_status(self, state: RunState, stage: str, message: str) -> None:
        """Say where the run stands, for people and for `report.html`."""
        write_json_atomic(
            self.status_path,
            {
                "state": state,
                "stage": stage,
                "message": message,
                "updated": now(),
                "pid": os.getpid(),
                "host": socket.gethostname(),
            },
        )


def write_evaluation(folder: Path, judgements: Mapping[Scoring, Judgement]) -> None:
    """Write `scores.json` with a block a scoring and, where probes were asked, `answers.<scoring>.jsonl`.

    Answers of an earlier evaluation in the same folder don't stay beside scores that are not theirs.

    Raises:
        UserError: the disk refuses.
    """
    blocks = {
        scoring: {name: to_row(score) for name, score in judgement.scores.items()}
        for scoring, judgement in judgements.items()
    }
    write_json_atomic(folder / "scores.json", blocks)
    for scoring, judgement in judgements.items():
        if judgement.answers:
            write_jsonl_atomic(folder / f"answers.{scoring}.jsonl", map(to_row, judgement.answers))
    written = {f"answers.{scoring}.jsonl" for scoring, judgement in judgements.items() if judgement.answers}
    with disk_errors(folder):
        for path in folder.glob("answers.*.jsonl"):
            if path.name not in written:
                path.unlink()


def open_run(root: Path, config: Mapping[str, Any], config_hash: str, *, may_differ: Sequence[str] = ()) -> RunFolder:
    """Create a run folder, or resume it when it holds the same config.

    A folder whose run failed before it kept anything takes the new config.

    Args:
        root: folder of the run; its parents are made.
        config: plain nested values (mappings, sequences, strings, numbers, None).
        config_hash: kept as a comment at the head of `config.yaml`.
        may_differ: dotted keys, or beginnings of them, that a resumed run may give anew; `config.yaml` keeps
            the first values.

    Raises:
        UserError: the folder belongs to a run of another config (the differing keys are named), to
            something that is no run, or to a process that is still writing; or it can't be written.
            Nothing is changed then.
    """
    config = _plain(config)
    _refuse_foreign(root)
    lock = lock_run(root)
    folder = RunFolder(root=root, lock=lock)
    try:
        holds_work = folder.holds_work
        first = folder.read_config() if folder.config_path.exists() else None
        if holds_work and first is not None:
            refuse_other_config(root, first, config, may_differ)
        _remove_leftovers(root)
        if not holds_work or first is None:
            text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
            write_text_atomic(folder.config_path, f"# config hash: {config_hash}\n{text}")
        folder.set_status("running", "", "")
    except UserError:
        lock.release()
        raise
    return folder


def is_folder_name(name: str) -> bool:
    """Whether a run may be called so: no slash, and no dot in front."""
    return bool(name) and not name.startswith(".") and not set(name) & set("/\\\0\n")


def lock_run(root: Path) -> BaseFileLock:
    """Keep other processes from writing a run, until the lock is released or this process ends.

    Raises:
        UserError: another process is writing it.
    """
    # The lock belongs to the process, whichever thread lets go of it.
    lock = FileLock(root / _LOCK, timeout=0, thread_local=False)
    with disk_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(
                f"Another process{_holder(root)} is writing the run {root}. Wait for it, or choose another `name=`."
            ) from error
    return lock


def _holder(root: Path) -> str:
    status = RunFolder(root=root).read_status()
    return f" ({status['pid']} on {status['host']})" if {"pid", "host"} <= set(status) else ""


def _refuse_foreign(root: Path) -> None:
    """Refuse a folder with content that isn't ours; nothing in it is touched."""
    if not root.exists() or (root / "config.yaml").exists():
        return
    with disk_errors(root):
        others = sorted(path.name for path in root.iterdir() if not _is_leftover(path) and path.name != _LOCK)
    if others:
        raise UserError(
            f"{root} is not a run folder, but it holds {others[0]}"
            f"{f' and {len(others) - 1} more' if len(others) > 1 else ''}. Choose another `name=`."
        )


def refuse_other_config(
    root: Path, first: Mapping[str, Any], config: Mapping[str, Any], may_differ: Sequence[str]
) -> None:
    """Refuse to go on with a run under another config than its first one.

    Raises:
        UserError: names the keys that differ.
    """
    old, new = flat_keys(first), flat_keys(_plain(config))
    keys = [
        key
        for key in {**old, **new}
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
        and not any(key == free or key.startswith(f"{free}.") for free in may_differ)
    ]
    if not keys:
        return
    shown = [f"{key}: {_word(old, key)} → {_word(new, key)}" for key in keys[:_SHOWN_DIFFERENCES]]
    if len(keys) > len(shown):
        shown.append(f"and {len(keys) - len(shown)} more")
    raise UserError(
        f"{root} holds a run of another config ({'; '.join(shown)}). "
        "Choose another `name=`, or delete the folder to start anew."
    )


_ABSENT = object()


def _word(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key], ensure_ascii=False, default=str) if key in flat else "(not set)"


def flat_keys(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= flat_keys(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def _is_leftover(path: Path) -> bool:
    return path.name.endswith(PARTIAL_SUFFIX)


def _remove_leftovers(root: Path) -> None:
    """Remove what a killed process left unfinished."""
    with disk_errors(root):
        for path in [*root.glob(f"*{PARTIAL_SUFFIX}"), *root.glob(f"stages/*{PARTIAL_SUFFIX}")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _plain(value: Any) -> Any:
    """As yaml and JSON know it: tuples are lists, paths are text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _optional(path: Path) -> dict[str, Any]:
    """A JSON object that an unfinished run may not have yet."""
    if not path.exists():
        return {}
    value = read_json(path)
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no JSON object.")
    return value


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path.parent} is not a run folder: it has no {path.name}.") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"Cannot read {path}: {' '.join(str(error).split())}.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} holds no keys.")
    return value
