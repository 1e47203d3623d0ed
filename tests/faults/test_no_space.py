"""A disk that takes no more: the last good state stays, and the same command resumes once there is space."""

from __future__ import annotations

import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from atu.errors import UserError
from atu.training.checkpoint import Checkpoint, Progress, load_checkpoint, save_checkpoint

from .conftest import SHORT, Command

LIMIT = "the file would pass the size limit of this process or disk (see `ulimit -f`)"


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def assert_same_weights(first: Path, second: Path) -> None:
    one, two = load_file(first / "model" / "model.safetensors"), load_file(second / "model" / "model.safetensors")
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_no_space_for_a_checkpoint_and_then_there_is(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "tiny"
    assert command(*SHORT, "name=whole").code == 0
    # The LLM's trained weights take 298 kB, their optimiser 596 kB: it is empty up to the first unlearn stage.
    with files_up_to(450_000):
        outcome = command(*SHORT)
    outcome.assert_refused(f"Cannot write {run}/checkpoint: {LIMIT}.")
    outcome.assert_failed()
    kept = load_file(run / "checkpoint" / "llm.safetensors")
    start = load_file(run / "checkpoint" / "optimizer-unlearn.safetensors")
    assert kept
    assert not start  # that of the align stage

    assert command(*SHORT).code == 0
    assert_same_weights(run, tmp_path / "runs" / "whole")


def test_no_space_for_the_model_and_then_there_is(command: Command, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "tiny"
    method = "task.training_module.unlearning_optimizer=sgd"  # needs no space for a state of its own
    assert command(*SHORT, method, "name=whole").code == 0
    with files_up_to(600_000):
        outcome = command(*SHORT, method)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: Cannot write {run}/model: ")
    assert outcome.err.count("\n") == 1
    outcome.assert_failed()
    assert command(*SHORT, method).code == 0
    assert_same_weights(run, tmp_path / "runs" / "whole")


def test_no_space_for_the_cache(command: Command, tmp_path: Path) -> None:
    with files_up_to(120_000):  # of which the report takes its part
        outcome = command("skip_initial_eval=true")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: Cannot write the cache file {tmp_path}/cache/references/")
    assert "Free some space or set ATU_CACHE to another folder." in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list((tmp_path / "cache").rglob("*.partial"))
    outcome.assert_failed()


def test_no_space_for_the_first_file(command: Command, tmp_path: Path) -> None:
    with files_up_to(100):
        outcome = command()
    outcome.assert_refused(f"Cannot write {tmp_path}/runs/tiny/config.yaml: {LIMIT}.")


def test_no_space_for_the_digests_of_a_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, Checkpoint(Progress(step=1), {"a": torch.ones(1)}, {}), llm_changed=True)
    # Each file is of 100 bytes; the list of their digests, of more than 100 bytes for each, is not.
    others = {f"part-{number}": {"a": torch.ones(1)} for number in range(60)}
    with files_up_to(5000), pytest.raises(UserError, match=rf"^Cannot write {folder}: {re.escape(LIMIT)}\.$"):
        save_checkpoint(folder, Checkpoint(Progress(step=2), {"a": torch.zeros(1)}, others), llm_changed=True)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]
    kept = load_checkpoint(folder)
    assert kept is not None
    assert kept.progress.step == 1
