"""Jobs of a sweep, planned from the real config, and what submitit would leave of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from atu.storage.config_dir import config_dir
from atu.storage.files import write_json_atomic
from atu.sweep.job import JobEnd, end_path
from atu.sweep.plan import PlannedJob, plan
from atu.sweep.submit import Submitted

Compose = Callable[[Sequence[str]], DictConfig]


@pytest.fixture
def composed(tmp_path: Path) -> Compose:
    """The whole config of a job, Hydra's part included; its runs lie in the folder of the test."""

    def build(overrides: Sequence[str]) -> DictConfig:
        with initialize_config_dir(str(config_dir()), version_base="1.3"):
            own = [f"runs_dir={tmp_path / 'runs'}", "name=${unlearning_target}", *overrides]
            return compose("train", own, return_hydra_config=True)

    return build


@pytest.fixture
def jobs(composed: Compose) -> list[PlannedJob]:
    """A job about Japan and one about the heart."""
    return plan([["unlearning_target=Japan"], ["unlearning_target=Human_Heart"]], composed)


@pytest.fixture
def submitted(tmp_path: Path) -> list[Submitted]:
    """Their jobs, `7_0` and `7_1`."""
    found = [Submitted(job_id=f"7_{index}", folder=tmp_path / f"7_{index}") for index in range(2)]
    for one in found:
        one.folder.mkdir()
    return found


class Trap:
    """A pickle that whoever opens it runs: it leaves a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path, str]]:
        return Path.write_text, (self.folder / "sprung", "code of somebody else")


def leave(submitted: Submitted, end: JobEnd | str) -> None:
    """Write what lies there at the end: the job's word, or a log with a traceback; and a pickle in submitit's place."""
    if isinstance(end, JobEnd):
        write_json_atomic(end_path(submitted.folder, submitted.job_id), asdict(end))
    else:
        (submitted.folder / f"{submitted.job_id}_0_log.err").write_text(end)
    (submitted.folder / f"{submitted.job_id}_0_result.pkl").write_bytes(pickle.dumps(Trap(submitted.folder)))


def is_sprung(submitted: Submitted) -> bool:
    """Whether somebody opened the pickle."""
    return (submitted.folder / "sprung").exists()
