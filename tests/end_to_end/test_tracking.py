"""A whole tiny run in wandb and TensorBoard."""

from __future__ import annotations

import pytest
from wandb_server import WandbServer
from workplace import Workplace

from atu.launch import run_and_report as run
from atu.report.wandb_source import read_wandb
from atu.runs.history import history, stage_results
from atu.runs.run_folder import flat_keys
from atu.runs.tracking import MetricLog


def test_a_run_is_in_wandb_as_it_is_in_its_folder(
    workplace: Workplace, wandb_server: WandbServer, capsys: pytest.CaptureFixture[str]
) -> None:
    config = workplace.config("wandb.mode=online", "wandb.project=forgetting", "exp=tiny-ones", "tensorboard=true")
    folder = run(config)
    (record,) = read_wandb("me", "forgetting")
    assert record.stages == {"corrected": tuple(folder.read_stages())}
    assert (record.name, record.method, record.target) == ("tiny", "unlearning_atu", "Zorblatt")
    kept_config = {key: value for key, value in flat_keys(folder.read_config()).items() if value != {}}
    assert (record.state, flat_keys(record.config)) == ("done", kept_config)  # wandb keeps no empty mapping
    (kept,) = wandb_server.projects["forgetting"].values()
    assert kept.group == "tiny-ones"
    assert len(kept.history) == len(history(MetricLog(folder.metrics_path).rows(), stage_results(folder)))
    assert {"train/loss", "align/held_out_cosine"} <= {name for row in kept.history for name in row}
    assert list(folder.tensorboard_dir.glob("events*"))
    # The same command again sends nothing, and says what would.
    requests = len(wandb_server.requests)
    capsys.readouterr()
    run(config)
    assert f"`atu report sync {folder.root}`" in "".join(capsys.readouterr().out.split("\n"))
    assert len(wandb_server.requests) == requests
