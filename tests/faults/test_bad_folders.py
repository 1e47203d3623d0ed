"""The run's folder is somebody else's, or can't be written: one line, and what lies there is left alone."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from workplace import write_jsonl

from .conftest import WILD, Command


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, the lock aside."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_run_of_another_config(command: Command, tmp_path: Path) -> None:
    assert command(*WILD).code == 2
    before = contents(tmp_path / "runs")
    outcome = command(*WILD, "seed=7", "task.training_module.unlearning_lr=0.5")
    outcome.assert_refused(
        f"{tmp_path}/runs/tiny holds a run of another config (seed: 0 → 7; "
        "task.training_module.unlearning_lr: 1e+30 → 0.5). Choose another `name=`, or delete the folder to start anew."
    )
    assert contents(tmp_path / "runs") == before


def test_a_folder_that_is_no_run(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "thesis.tex").write_text("years of work")
    command().assert_refused(
        f"{tmp_path}/runs/tiny is not a run folder, but it holds thesis.tex. Choose another `name=`."
    )
    assert contents(tmp_path / "runs") == {"tiny/thesis.tex": b"years of work"}


def test_a_place_that_nobody_can_write_to(command: Command) -> None:
    if not Path("/sys").is_dir():
        pytest.skip("needs a file system that nobody can write to (/sys)")
    outcome = command("runs_dir=/sys/runs")
    assert outcome.code == 2
    assert re.fullmatch(r"error: Cannot write /sys/runs/tiny: .*; choose a folder .*\n", outcome.err)


def test_a_file_where_the_runs_should_lie(command: Command, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    command(f"runs_dir={tmp_path}/taken").assert_refused(
        f"Cannot write {tmp_path}/taken/tiny: a part of this path is a file, not a folder; choose another path."
    )


def test_a_run_that_another_process_is_writing(command: Command, tmp_path: Path) -> None:
    # How two real processes meet: tests/runs/test_run_folder.py.
    run = tmp_path / "runs" / "tiny"
    assert command(*WILD).code == 2
    before = contents(run)
    with (run / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        outcome = command(*WILD)
    outcome.assert_refused(
        f"Another process ({os.getpid()} on {socket.gethostname()}) is writing the run {run}. Wait for it, or choose "
        "another `name=`."
    )
    assert contents(run) == before


@pytest.mark.parametrize("name", ["state.json", "llm.safetensors", "predictor.safetensors"])
def test_a_damaged_checkpoint(command: Command, tmp_path: Path, name: str) -> None:
    assert command(*WILD).code == 2
    checkpoint = tmp_path / "runs" / "tiny" / "checkpoint"
    (checkpoint / name).write_bytes((checkpoint / name).read_bytes()[:-10])
    before = contents(checkpoint)
    outcome = command(*WILD)
    outcome.assert_refused(
        f"The checkpoint in {checkpoint} is damaged ({name} is not what was written). Delete that folder to start this "
        "run again."
    )
    outcome.assert_failed()
    assert contents(checkpoint) == before


@pytest.mark.parametrize(
    "what",
    ["model", "tokenizer or chat template", "model's configuration", "text encoder", "benchmark", "retain corpus"],
)
def test_a_run_whose_files_have_changed_since_it_began(
    command: Command, tmp_path: Path, tiny_folder: Path, tiny_encoder: Path, what: str
) -> None:
    encoder = Path(shutil.copytree(tiny_encoder, tmp_path / "own-encoder"))
    model = Path(shutil.copytree(tiny_folder, tmp_path / "own"))
    own = (f"pre_trained_llm={model}", f"text_encoder.model_name={encoder}")
    assert command(*WILD, *own).code == 2
    kept = contents(tmp_path / "runs" / "tiny" / "checkpoint")
    if what == "model":
        weights = load_file(model / "model.safetensors")
        weights["model.norm.weight"] += 0.1
        save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    elif what == "tokenizer or chat template":
        with (model / "chat_template.jinja").open("a") as file:
            file.write("Well,")
    elif what == "model's configuration":
        path = model / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "rms_norm_eps": 0.5}))
    elif what == "text encoder":
        path = encoder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_act": "relu"}))
    elif what == "retain corpus":
        with (tmp_path / "retain.jsonl").open("a") as file:
            file.write('{"text": "One more text."}\n')
    else:
        write_jsonl(tmp_path / "probes.jsonl", [{"group": "forget/qa", "prompt": "Who?", "references": ["Ann"]}])
    outcome = command(*WILD, *own)
    outcome.assert_refused(
        f"The files of the {what} have changed since the run {tmp_path}/runs/tiny began. Choose another `name=`, or "
        "delete the folder to start anew."
    )
    assert contents(tmp_path / "runs" / "tiny" / "checkpoint") == kept
