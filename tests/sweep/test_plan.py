"""Before anything is launched: what is done is left out, what cannot run says so."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console

from atu.config import NOT_DEFINING, config_hash, to_mapping
from atu.errors import UserError
from atu.runs.opening import open_run
from atu.storage.digests import write_digests
from atu.sweep.job import JobEnd
from atu.sweep.plan import PlannedJob, plan, record_faults
from atu.sweep.preview import differing_keys, print_plan

from .conftest import Compose


def finish(job: PlannedJob) -> None:
    """Leave the folder of a finished run."""
    assert job.root is not None
    assert job.config is not None
    folder = open_run(job.root, to_mapping(job.config), config_hash(job.config), may_differ=NOT_DEFINING)
    folder.model_dir.mkdir()
    (folder.model_dir / "config.json").write_text("{}")
    write_digests(folder.model_dir)
    folder.set_status("done", "02-unlearn", "")


def test_a_new_job_is_to_run(jobs: list[PlannedJob], tmp_path: Path) -> None:
    assert [(job.number, job.name, job.root, job.end) for job in jobs] == [
        (0, "Japan", tmp_path / "runs" / "Japan", None),
        (1, "Human_Heart", tmp_path / "runs" / "Human_Heart", None),
    ]
    assert not any(tmp_path.iterdir())


def test_a_run_that_is_done_is_not_run_again(jobs: list[PlannedJob], composed: Compose) -> None:
    finish(jobs[0])
    # How often it is logged does not matter to what it gave; attacks may still be added.
    same = ["unlearning_target=Japan", "training.log_every=5"]
    assert plan([same], composed)[0].end == JobEnd(state="done", message="earlier")
    assert plan([[*same, "attacks=[quantize]"]], composed)[0].end is None


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_run_that_is_done_but_whose_model_is_not_there_is_run_again(
    jobs: list[PlannedJob], composed: Compose, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    finish(jobs[0])
    assert jobs[0].root is not None
    model = jobs[0].root / "model"
    if damage == "missing":
        shutil.rmtree(model)
    else:
        (model / "config.json").write_text("{")
    assert plan([["unlearning_target=Japan"]], composed)[0].end is None
    assert capsys.readouterr().err.startswith(f"warning: {jobs[0].root} was done, but {model}")


def test_a_run_that_is_done_with_another_config_stays_as_it_is(jobs: list[PlannedJob], composed: Compose) -> None:
    finish(jobs[0])
    root = jobs[0].root
    assert root is not None
    before = (root / "status.json").read_text()
    end = plan([["unlearning_target=Japan", "seed=3"]], composed)[0].end
    message = (
        f"{root} holds a run of another config (seed: 0 → 3). Choose another `name=`, or delete the folder to start "
        "anew."
    )
    assert end == JobEnd(state="failed", message=message)
    assert (root / "status.json").read_text() == before


def test_a_bad_config_fails_alone_and_says_so_in_its_folder(composed: Compose, tmp_path: Path) -> None:
    bad, good = plan([["unlearning_target=Japan", "threads=0"], ["unlearning_target=Human_Heart"]], composed)
    assert not (tmp_path / "runs").exists()
    record_faults([bad, good])
    message = "threads must be at least 1, or null, not 0."
    assert (bad.name, bad.end, good.end) == ("Japan", JobEnd(state="failed", message=message), None)
    status = json.loads((tmp_path / "runs" / "Japan" / "status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", message)
    # Mended, the same folder takes it.
    finish(plan([["unlearning_target=Japan"]], composed)[0])


@pytest.mark.parametrize("name", ["a/b", ".a", "''", "${nothing}"])
def test_a_name_that_is_no_folder_writes_nothing(name: str, composed: Compose, tmp_path: Path) -> None:
    job = plan([["unlearning_target=Japan", f"name={name}"]], composed)[0]
    assert (job.name, job.root) == (f"unlearning_target=Japan name={name}", None)
    assert job.end is not None
    assert job.end.state == "failed"
    assert not any(tmp_path.iterdir())


def test_two_jobs_may_not_share_a_folder(composed: Compose, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The jobs 'seed=1' and 'seed=2' would write the same run 'William_Shakespea"):
        plan([["seed=1"], ["seed=2"], ["threads=0", "name=a"]], composed)
    assert not any(tmp_path.iterdir())


def test_keys_that_differ_are_those_of_which_two_jobs_have_other_values(composed: Compose, tmp_path: Path) -> None:
    planned = plan(
        [["unlearning_target=Japan", "seed=1"], ["unlearning_target=Human_Heart", "seed=1"], ["threads=0"]], composed
    )
    assert differing_keys(planned) == ["unlearning_target"]
    out = io.StringIO()
    slurm = OmegaConf.create({"gres": "gpu:1", "timeout_min": 480, "qos": None})
    print_plan(planned, slurm, Console(file=out, width=100))
    said = out.getvalue()
    assert "would start" in said
    assert "wrong: threads must be at least 1" in said
    assert "SLURM, each job: gres=gpu:1, timeout_min=480\n" in said
    assert "2 of 3 runs would start." in said
    assert not any(tmp_path.iterdir())
