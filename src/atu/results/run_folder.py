"""The folder of one run: config, manifest, status and stages, readable without this code."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from filelock import BaseFileLock

from atu.errors import UserError
from atu.records import Answer, Judgement, Scoring, StageResult
from atu.results.files import PARTIAL_SUFFIX, disk_errors, publish_folder, write_json_atomic, write_jsonl_atomic
from atu.results.manifest import now
from atu.results.rows import read_answers, read_stage, to_row
from atu.user_files import read_json_object, read_yaml

RunState = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Paths and records of one run. Reading needs the root alone; `open_run` gives one to write."""

    root: Path
    lock: BaseFileLock | None = field(default=None, compare=False, repr=False)
    """Held while this process writes the run, so that two processes never do."""

    def close(self) -> None:
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
        if not self.config_path.exists():
            raise UserError(f"{self.root} is not a run folder: it has no {self.config_path.name}.")
        return read_yaml(self.config_path)

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

    Answers of an earlier evaluation in the same folder don't stay beside scores that are not theirs: its scores go
    first, and the new ones come last.

    Raises:
        UserError: the disk refuses.
    """
    blocks = {
        scoring: {name: to_row(score) for name, score in judgement.scores.items()}
        for scoring, judgement in judgements.items()
    }
    with disk_errors(folder):
        (folder / "scores.json").unlink(missing_ok=True)
    for scoring, judgement in judgements.items():
        if judgement.answers:
            write_jsonl_atomic(folder / f"answers.{scoring}.jsonl", map(to_row, judgement.answers))
    written = {f"answers.{scoring}.jsonl" for scoring, judgement in judgements.items() if judgement.answers}
    with disk_errors(folder):
        for path in folder.glob("answers.*.jsonl"):
            if path.name not in written:
                path.unlink()
    write_json_atomic(folder / "scores.json", blocks)


def flat_keys(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= flat_keys(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat


def _optional(path: Path) -> dict[str, Any]:
    """A JSON object that an unfinished run may not have yet."""
    return read_json_object(path) if path.exists() else {}
