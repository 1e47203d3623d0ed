"""Sends a run to wandb from its folder: what a failure kept from it, or all of it."""

from __future__ import annotations

import time
from dataclasses import replace

from atu.errors import UserError
from atu.report.page import write_report
from atu.runs.config import WandbConfig
from atu.runs.history import history, stage_results
from atu.runs.opening import lock_run
from atu.runs.run_folder import RunFolder
from atu.runs.tracking import MetricLog
from atu.runs.tracking_wandb import open_wandb, read_kept
from atu.runs.wandb_client import import_wandb

_WAIT_SECONDS = 30.0
"""How long a server may take to show what it has got."""


def sync(folder: RunFolder) -> str:
    """Bring the wandb run of a folder up to date; done twice, it changes nothing. Returns its address.

    Raises:
        UserError: no run folder; it is being written; what `open_wandb` raises; or not all has arrived.
    """
    config = read_kept(folder)
    if config.id is None:
        config = _configured(folder)
    lock = lock_run(folder.root)
    try:
        write_report(folder)
        rows = history(MetricLog(folder.metrics_path).rows(), stage_results(folder))
        sink = open_wandb(folder, replace(config, mode="online"))
        for index, row in enumerate(rows):
            sink.write(index, row)
        sink.finish(folder, folder.read_status().get("state", "interrupted"))
        _check_arrival(sink.path, len(rows))
    finally:
        lock.release()
    return sink.url or sink.path


def _configured(folder: RunFolder) -> WandbConfig:
    """The `wandb` block of the run's config."""
    try:
        return WandbConfig(**folder.read_config().get("wandb") or {})
    except TypeError as error:
        raise UserError(f"{folder.config_path}: wandb: {error}.") from error


def _check_arrival(path: str, expected: int) -> None:
    """wandb uploads in the background and takes a lost upload for a warning; here it is the result."""
    give_up = time.monotonic() + _WAIT_SECONDS
    while True:
        arrived = import_wandb().Api().run(path).lastHistoryStep + 1
        if arrived >= expected:
            return
        if time.monotonic() > give_up:
            raise UserError(f"wandb's {path} shows {arrived} of {expected} rows. Try again later.")
        time.sleep(1.0)
