"""A run in wandb: written to a server on loopback or to a file, and read back as it was."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from wandb_server import WandbServer

from atu.errors import UserError
from atu.records import RunRecord
from atu.results.config import WandbConfig
from atu.results.run_folder import RunFolder
from atu.results.session import session
from atu.results.sinks import sinks
from atu.results.sync import sync
from atu.results.wandb_source import read_offline, read_wandb

ONLINE = WandbConfig(mode="online", project="forgetting")
MakeRun = Callable[..., RunFolder]


def track(folder: RunFolder, config: WandbConfig = ONLINE) -> None:
    """A process that finds the whole run in the folder and has nothing to add."""
    with session(folder) as tracker:
        tracker.start(sinks(folder, config, tensorboard=False))
        tracker.rewind(10_000)


def read_back(**selection: list[str]) -> RunRecord:
    (record,) = read_wandb("me", "forgetting", **selection)
    return record


def test_an_online_run_comes_back_as_it_was_written(make_run: MakeRun, wandb_server: WandbServer) -> None:
    folder = make_run(num_answers=9)
    track(folder)
    record = read_back()
    assert record.stages == {"corrected": tuple(folder.read_stages())}
    assert (record.name, record.method, record.target) == ("shakespeare", "unlearning_atu", "William Shakespeare")
    assert (record.model, record.seed, record.state) == ("smollm2-135m-instruct", 0, "done")
    assert record.config == folder.read_config()
