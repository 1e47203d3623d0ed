"""TensorBoard's own reader finds each value once, also after a resume."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

from atu.errors import UserError
from atu.runs.run_folder import RunFolder
from atu.runs.tracking import Tracker
from atu.runs.tracking_tensorboard import TensorboardSink


def points(folder: RunFolder, name: str) -> list[tuple[int, float]]:
    found = EventAccumulator(str(folder.tensorboard_dir), size_guidance={"tensors": 0})
    found.Reload()
    return [(event.step, float(tensor_util.make_ndarray(event.tensor_proto))) for event in found.Tensors(name)]


def test_metrics_lie_over_steps_and_scores_over_stages(make_run: Callable[..., RunFolder]) -> None:
    folder = make_run(num_answers=3, num_stages=3)
    for first, last in ((601, 604), (603, 605)):
        tracker = Tracker(folder)
        tracker.start({"tensorboard": lambda: TensorboardSink(folder.tensorboard_dir)})
        tracker.rewind(first - 1)
        for step in range(first, last + 1):
            tracker.log(step, 3, "train/loss", 1 / 4)
        tracker.finish("done")
    # Of the 300 steps of stage 2, and of the 5 after it.
    assert [step for step, _ in points(folder, "train/loss")] == list(range(301, 606))
    assert points(folder, "train/loss")[-1] == (605, 0.25)
    assert points(folder, "corrected/forget/all") == [(0, 87.0), (2, 56.0)]


def test_without_the_package_the_extra_is_named(
    make_run: Callable[..., RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary", None)
    with pytest.raises(UserError, match=r"\.\[tensorboard\]"):
        TensorboardSink(make_run(num_stages=0).tensorboard_dir)
