"""Whatever happens to a job, its folder and its sweep are told, and no other run's folder is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from omegaconf import DictConfig, open_dict

from atu.errors import UserError
from atu.runs.opening import lock_run
from atu.runs.run_folder import RunFolder
from atu.sweep.job import JobEnd, run_job
from atu.sweep.submit import Submitted

from .conftest import Compose


@pytest.fixture
def cfg(composed: Compose) -> DictConfig:
    """The config that a job is given."""
    cfg = composed(["unlearning_target=Japan"])
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def fail(error: Exception) -> None:
    raise error


def test_a_fault_before_the_run_began_is_in_its_folder(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    end = run_job(cfg, lambda cfg: fail(UserError("There is no file x.")))
    assert end == JobEnd(state="failed", message="There is no file x.")
    folder = RunFolder(root=tmp_path / "runs" / "Japan")
    assert folder.read_status()["state"] == "failed"
    assert folder.read_status()["message"] == "There is no file x."
    assert folder.read_config()["unlearning_target"] == "Japan"
    assert capsys.readouterr().err == "error: There is no file x.\n"


def test_a_fault_of_the_program_says_its_kind(
    cfg: DictConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    message = run_job(cfg, lambda cfg: fail(KeyError("x"))).message
    assert message.startswith(
        f"This is a bug of the program (KeyError: 'x'). Please report it with the file {tmp_path}/"
    )
    assert capsys.readouterr().err == f"error: {message}\n"
    assert RunFolder(root=tmp_path / "runs" / "Japan").read_status()["message"] == "KeyError: 'x'"


def test_what_the_run_itself_said_stays(cfg: DictConfig, tmp_path: Path) -> None:
    folder = RunFolder(root=tmp_path / "runs" / "Japan")

    def run(cfg: DictConfig) -> None:
        folder.set_status("failed", "02-unlearn", "The loss is NaN.")
        raise UserError("The loss is NaN.")

    run_job(cfg, run)
    assert folder.read_status()["stage"] == "02-unlearn"
    assert not folder.config_path.exists()


def test_the_folder_of_another_process_stays(cfg: DictConfig, tmp_path: Path) -> None:
    root = tmp_path / "runs" / "Japan"
    lock = lock_run(root)
    RunFolder(root=root).set_status("running", "01-align", "")
    run_job(cfg, lambda cfg: fail(UserError("Another process is writing the run.")))
    assert json.loads((root / "status.json").read_text())["state"] == "running"
    lock.release()


def test_a_job_that_submitit_runs_leaves_its_word_beside_its_log(
    cfg: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As submitit's own controller sets them.
    for name, value in (("EXECUTOR", "local"), ("LOCAL_JOB_ID", "4711"), ("FOLDER", str(tmp_path / "%j"))):
        monkeypatch.setenv(f"SUBMITIT_{name}", value)
    end = run_job(cfg, lambda cfg: fail(UserError("There is no file x.")))
    assert Submitted(job_id="4711", folder=tmp_path / "4711").read_end() == end
    # Queued again, it has no word until it ends again.
    seen = []
    run_job(cfg, lambda cfg: seen.append(Submitted(job_id="4711", folder=tmp_path / "4711").read_end()))
    assert seen == [None]


def test_a_job_that_went_through(cfg: DictConfig, tmp_path: Path) -> None:
    assert run_job(cfg, lambda cfg: None) == JobEnd(state="done")
    assert not any(tmp_path.iterdir())
