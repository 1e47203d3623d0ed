"""Which trackers a config names."""

from __future__ import annotations

from collections.abc import Callable

from atu.runs.config import WandbConfig
from atu.runs.run_folder import RunFolder
from atu.runs.tracking import Sink
from atu.runs.tracking_tensorboard import TensorboardSink
from atu.runs.tracking_wandb import WandbSink, open_wandb


def sinks(folder: RunFolder, wandb: WandbConfig, *, tensorboard: bool) -> dict[str, Callable[[], Sink]]:
    """Name of a tracker to what opens it."""
    chosen: dict[str, Callable[[], Sink]] = {}
    if wandb.mode != "disabled":
        chosen["wandb"] = lambda: _announced(open_wandb(folder, wandb))
    if tensorboard:
        chosen["tensorboard"] = lambda: TensorboardSink(folder.tensorboard_dir)
    return chosen


def _announced(sink: WandbSink) -> WandbSink:
    """Say where a run can be watched; offline it is nowhere."""
    if sink.url:
        print(f"wandb: {sink.url}")
    return sink
