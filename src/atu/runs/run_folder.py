"""The folder of one run: config, manifest, status and stages, readable without this code."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import BaseFileLock

from atu.errors import UserError
from atu.processes.notices import notice
from atu.records import Answer, Judgement, Score, Scoring, StageResult
from atu.runs.manifest import now
from atu.runs.rows import read_answers, read_stage, to_row
from atu.storage.digests import (
    DIGESTS_NAME,
    DamagedError,
    check_folder,
    find_damage,
    read_sealed_json,
    write_digests,
    write_sealed_json,
)
from atu.storage.files import (
    PARTIAL_SUFFIX,
    disk_errors,
    publish_folder,
    remove_folder,
    write_json_atomic,
    write_jsonl_atomic,
    write_text_atomic,
)
from atu.storage.locks import is_abandoned
from atu.storage.user_files import file_sha256, read_text, read_yaml

BEFORE = "00-before"
"""Label of the record of the reference model."""
_CHECK_LINE = "# check of these values: "
_MEASURE_AGAIN = "Put it back, or run the command of this run again, which measures anew what it can."
_LABEL = re.compile(r"\d+-(?:before|align|unlearn(?:--?\d+\.\d+)?)")
_ABANDONED = "its process ({pid}) ended without a word; the same command resumes from here"

RunState = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class RunFolder:
    """Paths and records of one run. Reading needs the root alone; `open_run` gives one to write."""

    root: Path
    lock: BaseFileLock | None = field(default=None, compare=False, repr=False)
    """Held while this process writes the run, so that two processes never do."""

    replaced: frozenset[str] = field(default=frozenset(), compare=False)
    """Labels of stages of a finished run whose records are others than it wrote."""

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
    def probes_path(self) -> Path:
        """The probes that the model proposed, in a run to which none were given."""
        return self.root / "probes.jsonl"

    @property
    def corpus_dir(self) -> Path:
        """`forget.jsonl` and `retain.jsonl`: the texts of the run, those that it only measures among them."""
        return self.root / "corpus"

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
    def subspace_dir(self) -> Path:
        """The directions of the forget subspace, where a run has one."""
        return self.root / "subspace"

    @property
    def model_dir(self) -> Path:
        return self.root / "model"

    @property
    def report_path(self) -> Path:
        return self.root / "report.html"

    def finished_model(self) -> Path:
        """Folder of the model that a run left.

        Raises:
            UserError: this is no run, or has no model yet.
        """
        self.read_config()
        if not (self.model_dir / "config.json").is_file():
            raise UserError(f"{self.root} has no model yet: it is written when the run is done.")
        return self.model_dir

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

        A stage that asked no probes has no answers file. `others`: what further scorings give.

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
            write_digests(partial)
            remove_folder(final)
        publish_folder(partial, final)

    def read_stages(self, scoring: Scoring = "corrected") -> list[StageResult]:
        """The finished stages, by index, with the scores of one scoring (none where it was not asked for).

        Raises:
            UserError: a stage file is missing, broken, or not what was written, or a finished run has not the stages
                that it had when it was done.
        """
        for name, fault in self._changed_since_done(self.read_status()).items():
            if name != self.model_dir.name:
                raise DamagedError(f"{fault}. {_MEASURE_AGAIN}")
        return sorted((self.read_stage(label, scoring) for label in self.stage_labels()), key=lambda stage: stage.index)

    def read_measured(self) -> list[StageResult]:
        """The finished stages that asked probes; raises as `read_stages` does."""
        return [stage for stage in self.read_stages() if stage.scores]

    def read_ends(self) -> tuple[Mapping[str, Score], Mapping[str, Score]]:
        """The scores before the run and after its last measured stage; empty where that was not measured.

        Raises as `read_stages` does.
        """
        stages = self.read_measured()
        before = stages[0].scores if stages and stages[0].kind == "before" else {}
        return before, stages[-1].scores if stages and stages[-1].kind != "before" else {}

    def read_stage(self, label: str, scoring: Scoring = "corrected") -> StageResult:
        """One finished stage; raises as `read_stages` does."""
        check_folder(self.stage_dir(label), _MEASURE_AGAIN)
        stage = read_stage(self.stage_dir(label), scoring)
        if stage.label != label:
            raise DamagedError(
                f"{self.stage_dir(label)} holds the record of another stage, {stage.label}. {_MEASURE_AGAIN}"
            )
        return stage

    def stage_labels(self) -> list[str]:
        """Labels of the finished stages, in order; a folder of another name, such as a copy by hand, is none."""
        names = [path.parent.name for path in self.root.glob("stages/*/stage.json")]
        names += [path.parent.name for path in self.root.glob(f"stages/*/{DIGESTS_NAME}")]
        return sorted(name for name in set(names) if _LABEL.fullmatch(name))

    def _written(self) -> dict[str, str]:
        """Checksum of `digests.json` of each stage and of the model, by folder; empty where a folder has none."""
        folders = {f"stages/{label}": self.stage_dir(label) for label in self.stage_labels()}
        if (self.model_dir / "config.json").is_file():
            folders[self.model_dir.name] = self.model_dir
        paths = {name: folder / DIGESTS_NAME for name, folder in folders.items()}
        return {name: file_sha256(path) if path.is_file() else "" for name, path in paths.items()}

    def replaced_stages(self) -> frozenset[str]:
        """Labels of the stages whose records are others than a run wrote that says it is done."""
        if not self.says_done:
            return frozenset()
        return frozenset(map(os.path.basename, self._changed_since_done(self.read_status()))) & {*self.stage_labels()}

    def _changed_since_done(self, status: Mapping[str, Any]) -> dict[str, str]:
        """By folder, how it differs from what was there when this status said that the run is done."""
        kept = status.get("written") if status.get("state") == "done" else None
        if not kept:  # or an older version wrote it
            return {}
        found, changed = self._written(), {}
        for name in sorted({*kept, *found}):
            if name not in found:
                changed[name] = f"{self.root / name} is missing"
            elif name not in kept:
                changed[name] = f"{self.root / name} is not of this run"
            elif found[name] != kept[name]:
                changed[name] = f"{self.root / name / DIGESTS_NAME} is not what was written"
        return changed

    def stage_fault(self, label: str) -> str | None:
        """Why the record of a stage does not count; None when it is there, as it was written."""
        folder = self.stage_dir(label)
        if label not in self.stage_labels():
            return f"{folder} is missing"
        if label in self.replaced:
            return f"{folder / DIGESTS_NAME} is not what was written"
        damaged = find_damage(folder)
        if damaged:
            return f"{folder / damaged[0]} is damaged"
        with suppress(UserError):
            stage = read_stage(folder, "corrected")
            return None if stage.label == label else f"{folder} holds the record of another stage, {stage.label}"
        return f"{folder / 'stage.json'} cannot be read"

    def settle_stages(self, count: int, *, can_measure: bool) -> None:
        """Bring the records in line with a model that has `count` stages behind it.

        Those of later stages go: the run comes to them again. So does a damaged one of the last stage, where the model
        is still the one that it left. The record of the reference model is not looked at.

        Args:
            can_measure: no step has been made since.

        Raises:
            UserError: the record of an earlier stage is damaged, or the disk refuses.
        """
        for label in self.stage_labels():
            folder, number = self.stage_dir(label), int(label.partition("-")[0])
            fault = self.stage_fault(label)
            if number > count:
                with disk_errors(folder):
                    remove_folder(folder)
            elif number and fault is not None:
                if number < count or not can_measure:
                    raise UserError(f"{fault}{self._lost}")
                notice(f"{fault}; the stage is measured again.")
                with disk_errors(folder):
                    remove_folder(folder)

    def refuse_lost_stage(self, label: str) -> None:
        """Raise UserError: the record of a stage is missing, and the model is no longer the one that it left."""
        raise UserError(f"{self.stage_dir(label)} is missing{self._lost}")

    @property
    def _lost(self) -> str:
        return (
            ", and the model has gone on since, so that this stage cannot be measured again. Put it back, or delete "
            f"{self.root} to start anew."
        )

    def read_answers(self, label: str) -> list[Answer]:
        """The answers given at the end of a stage; empty when it asked no probes.

        Raises:
            UserError: there is no such stage, or a row is broken.
        """
        folder = self.stage_dir(label)
        if not (folder / "stage.json").exists():
            raise UserError(f"{self.root} has no finished stage '{label}'.")
        check_folder(folder, _MEASURE_AGAIN)
        path = folder / "answers.corrected.jsonl"
        if not path.exists():
            return []
        return read_answers(path)

    def read_config(self) -> dict[str, Any]:
        """The config of the run, as plain values.

        Raises:
            UserError: no config.yaml, or it can't be parsed, or its values are not those that were written.
        """
        if not self.config_path.exists():
            raise UserError(f"{self.root} is not a run folder: it has no {self.config_path.name}.")
        value = read_yaml(self.config_path)
        kept = re.search(rf"^{_CHECK_LINE}([0-9a-f]+)$", read_text(self.config_path), flags=re.MULTILINE)
        if kept is not None and kept.group(1) != _values_check(value):
            raise DamagedError(
                f"{self.config_path} is damaged, or was edited: its values are not those that it was written with. Put "
                "it back, or run the command of this run again."
            )
        return value

    def write_config(self, config: Mapping[str, Any], config_hash: str) -> None:
        """Keep the config, with a check of its values; comments and layout may be edited later.

        Raises:
            UserError: the disk refuses.
        """
        text = yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=100)
        check = _values_check(yaml.safe_load(text))
        write_text_atomic(self.config_path, f"# config hash: {config_hash}\n{text}{_CHECK_LINE}{check}\n")

    def write_manifest(self, value: Mapping[str, Any]) -> None:
        """Keep what `manifest` gave."""
        write_sealed_json(self.manifest_path, value)

    def add_to_manifest(self, **values: Any) -> None:
        """Keep in the manifest what a run chooses by itself; a value of an earlier start is replaced."""
        self.write_manifest(self.read_manifest() | values)

    def read_manifest(self) -> dict[str, Any]:
        """What `write_manifest` kept; empty when the run did not come so far.

        Raises:
            DamagedError: it is not what was written.
        """
        return _optional(
            self.manifest_path,
            "Put it back, or delete it: then nothing tells whether model and texts are those that the run began with.",
        )

    def read_status(self) -> dict[str, Any]:
        """What `set_status` said last; empty when it never did.

        A run that says it is running, but whose process on this machine is gone, is interrupted.

        Raises:
            DamagedError: it is not what was written.
        """
        status = _optional(self.status_path, "Delete it: the run's own command writes it anew.")
        if status.get("state") == "running" and is_abandoned(self.root, status):
            return status | {"state": "interrupted", "message": _ABANDONED.format(**status)}
        return status

    @property
    def says_done(self) -> bool:
        """Whether the status says that the run is through; one that is damaged says nothing."""
        try:
            return bool(self.read_status().get("state") == "done")
        except DamagedError:
            return False

    def is_done(self, *, sizes_only: bool = False) -> bool:
        """Whether the run is through and what it made is there, whole; what is wrong is told.

        A model card that was edited is told, and left.

        Args:
            sizes_only: do not read the model's files, only look at their sizes.
        """
        try:
            status = self.read_status()
            if status.get("state") != "done":
                return False
            faults = list(self._changed_since_done(status).values())
            faults += [fault for label in self.stage_labels() if (fault := self.stage_fault(label)) is not None]
        except DamagedError as error:
            notice(str(error))
            return False
        if not (self.model_dir / "config.json").is_file():
            faults.append(f"{self.model_dir} is missing")
        damaged = find_damage(self.model_dir, sizes_only=sizes_only)
        faults += [f"{self.model_dir / name} is damaged" for name in damaged if name != "README.md"]
        if faults:
            notice(f"{self.root} was done, but {faults[0]}: it is made again from the checkpoint.")
        elif damaged:
            notice(f"{self.model_dir / 'README.md'} was edited, or is damaged; it is left as it is.")
        return not faults

    def set_status(self, state: RunState, stage: str, message: str) -> None:
        """Say where the run stands, for people and for `report.html`; of one that is done also what it wrote."""
        write_sealed_json(
            self.status_path,
            {
                "state": state,
                "stage": stage,
                "message": message,
                "updated": now(),
                "pid": os.getpid(),
                "host": socket.gethostname(),
                **({"written": self._written()} if state == "done" else {}),
            },
        )


def write_evaluation(folder: Path, judgements: Mapping[Scoring, Judgement]) -> None:
    """Write `scores.json` with a block a scoring and, where probes were asked, `answers.<scoring>.jsonl`.

    Answers of an earlier evaluation in the same folder don't stay with scores that are not theirs.

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


def is_among(key: str, prefixes: Iterable[str]) -> bool:
    """Whether a dotted key is one of these, or lies below one."""
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def _optional(path: Path, what_to_do: str) -> dict[str, Any]:
    """A JSON object that an unfinished run may not have yet."""
    return read_sealed_json(path, what_to_do) if path.exists() else {}


def _values_check(value: Any) -> str:
    """A check of the values of a yaml file; comments and layout play no part."""
    text = json.dumps(value, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
