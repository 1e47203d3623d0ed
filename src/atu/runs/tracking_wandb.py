"""Weights & Biases: the history of a run, its config and its files, online or in a `.wandb` file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

from atu.errors import UserError, in_one_line
from atu.runs.config import WandbConfig
from atu.runs.history import HistoryRow
from atu.runs.run_folder import RunFolder, RunState
from atu.runs.wandb_client import import_wandb, log_in
from atu.runs.wandb_rows import MANIFEST, RECORD, to_wandb
from atu.storage.digests import read_sealed_json, write_sealed_json

if TYPE_CHECKING:
    from wandb import Run

DEFAULT_PROJECT = "align-then-unlearn"
FILES = ("config.yaml", "manifest.json", "metrics.jsonl", "report.html", "stages/**/*.json*", "figures/*")
"""What the artifact of a run holds: patterns inside of the run folder."""
UPLOAD_SECONDS = 60.0
"""How long the end of a run may wait for its upload. wandb's own WANDB_FINISH_TIMEOUT wins."""
_EXIT_CODES: dict[RunState, int] = {"done": 0, "failed": 1, "interrupted": 255, "running": 255}
"""wandb shows them as finished, failed and killed."""
_OFFLINE = " Or set wandb.mode=offline."


class WandbSink:
    """A run of wandb, new or gone on with. The index of a row is its wandb step."""

    def __init__(self, run: Run, folder: RunFolder, *, is_online: bool) -> None:
        self._run = run
        self._folder = folder
        self._hint = f"`atu report sync {folder.root}` sends what is missing"
        self._is_online = is_online
        self.path = f"{run.entity}/{run.project}/{run.id}"
        self.url = run.url
        for names, axis in ((("train/*", "align/*", "signal/*"), "step"), (("report/*", "corrected/*"), "stage")):
            for name in names:
                run.define_metric(name, step_metric=axis)
        run.define_metric(RECORD, hidden=True, summary="none")

    def write(self, index: int, row: HistoryRow) -> None:
        """Log the row, unless wandb has it from an earlier process."""
        if index >= self._run.starting_step:
            with self._explained():
                if row.results:  # by then the run has its manifest
                    manifest = {MANIFEST: self._folder.read_manifest()}
                    self._run.config.update(manifest, allow_val_change=True)
                self._run.log(to_wandb(row), step=index)

    def finish(self, folder: RunFolder, state: RunState) -> None:
        """Upload the run's files, and wait until all has arrived."""
        with self._explained():
            try:
                self._keep_files(folder)
            finally:
                self._run.finish(exit_code=_EXIT_CODES[state])

    def _keep_files(self, folder: RunFolder) -> None:
        from wandb import Artifact

        artifact = Artifact(f"run-{self._run.id}", type="run")
        for pattern in FILES:
            for path in sorted(folder.root.glob(pattern)):
                artifact.add_file(str(path), name=path.relative_to(folder.root).as_posix())
        self._run.log_artifact(artifact)
        if self._is_online:
            artifact.wait(timeout=int(_upload_seconds()))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            # A dead service would stay dead for the next run of this process, and complain when it ends. With its exit
            # status wandb would end this process too.
            with suppress(Exception, SystemExit):
                import_wandb().teardown()
            raise UserError(f"{in_one_line(error)}; {self._hint}.") from error


def open_wandb(folder: RunFolder, config: WandbConfig) -> WandbSink:
    """Begin a run of wandb, or resume the one that the folder belongs to.

    Which one it is, is kept in the folder's `wandb.json`.

    Raises:
        UserError: wandb is not installed, has no login, refuses the entity or project, is not reached, or has
            another run of this id.
    """
    wandb = import_wandb()
    is_online = config.mode == "online"
    if is_online:
        log_in(wandb, _OFFLINE)
    kept = read_kept(folder)
    is_chosen = config.id not in (None, kept.id)
    config = _complete(config, folder, kept)
    if is_online and is_chosen:
        _refuse_foreign(wandb, config)
    write_sealed_json(folder.wandb_path, {key: value for key, value in asdict(config).items() if key != "mode"})
    try:
        run = wandb.init(
            entity=config.entity,
            project=config.project,
            group=config.group,
            name=config.name,
            id=config.id,
            resume="allow" if is_online else None,
            mode=config.mode,
            dir=str(folder.root),
            config=folder.read_config(),
            settings=wandb.Settings(**_SETTINGS, finish_timeout=_upload_seconds()),
        )
    except Exception as error:
        raise UserError(
            f"wandb cannot begin the run {config.entity or '(default entity)'}/{config.project}/{config.id}: "
            f"{in_one_line(error)}.{_OFFLINE if is_online else ''}"
        ) from error
    return WandbSink(run, folder, is_online=is_online)


_SETTINGS: dict[str, Any] = {
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "finish_timeout_raises": True,
    "reinit": "create_new",
    "show_info": False,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}
"""The run's manifest says what it ran on; wandb need not look for it, nor record the terminal. `create_new` leaves
`wandb.run` alone, which a run that died would block for the next one of this process."""


def read_kept(folder: RunFolder) -> WandbConfig:
    """Which wandb run a folder belongs to; all None when it was never tracked.

    Raises:
        UserError: `wandb.json` is broken.
    """
    if not folder.wandb_path.exists():
        return WandbConfig()
    try:
        return WandbConfig(**read_sealed_json(folder.wandb_path, "Delete it, and name the run's wandb.id."))
    except TypeError as error:
        raise UserError(f"{folder.wandb_path} is not what a tracked run leaves: {error}.") from error


def _complete(config: WandbConfig, folder: RunFolder, kept: WandbConfig) -> WandbConfig:
    """The config with every gap filled but the entity, which wandb knows."""
    return replace(
        config,
        entity=config.entity or kept.entity,
        project=config.project or kept.project or os.environ.get("WANDB_PROJECT") or DEFAULT_PROJECT,
        group=config.group or folder.read_config().get("exp"),
        name=config.name or folder.root.resolve().name,
        id=config.id or kept.id or secrets.token_hex(4),
    )


def _refuse_foreign(wandb: ModuleType, config: WandbConfig) -> None:
    """Refuse an id that another run has: its rows would be taken for rows of this run that have arrived already."""
    try:
        found = wandb.Api().run("/".join(filter(None, (config.entity, config.project, config.id))))
    except (wandb.Error, ValueError):
        return  # there is none
    raise UserError(f"wandb has a run {'/'.join(found.path)} that is not of this folder. Choose another wandb.id.")


def _upload_seconds() -> float:
    return float(os.environ.get("WANDB_FINISH_TIMEOUT", UPLOAD_SECONDS))
