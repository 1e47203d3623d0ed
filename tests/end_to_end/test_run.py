"""The whole path with a tiny model: every file is there, and the model folder is an ordinary one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from killed_once import interrupt_before_stage
from safetensors.torch import load_file
from workplace import Workplace

from atu.errors import UserError
from atu.launch import run_and_report as run
from atu.storage.config_dir import config_dir


def test_a_run_leaves_everything_the_user_was_promised(workplace: Workplace) -> None:
    folder = run(workplace.config())
    names = {path.name for path in folder.root.iterdir()}
    assert {
        "config.yaml", "manifest.json", "metrics.jsonl", "log.txt", "status.json", "stages", "checkpoint", "model",
        "report.html",
    } <= names  # fmt: skip
    assert [stage.label for stage in folder.read_stages()] == [
        "00-before", "01-align", "02-unlearn", "03-align", "04-unlearn"
    ]  # fmt: skip
    last = folder.read_stages()[-1]
    assert {"forget/all", "neighbor/all", "utility/gen"} <= set(last.scores)
    assert set(last.signals) == {"signal/concept_nll_rise", "signal/retain_kl", "signal/scale"}
    assert json.loads(folder.status_path.read_text())["state"] == "done"
    names_logged = {row["name"] for row in map(json.loads, folder.metrics_path.read_text().splitlines())}
    assert {
        "train/loss",
        "train/push",
        "train/retain_kl",
        "align/held_out_cosine",
    } <= names_logged


def test_the_model_folder_loads_without_this_project(workplace: Workplace) -> None:
    folder = run(workplace.config("task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]"))
    script = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1]); AutoTokenizer.from_pretrained(sys.argv[1])\n"
        "assert 'atu' not in sys.modules; print(sum(p.numel() for p in model.parameters()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder.model_dir)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 0
    before = load_file(workplace.model / "model.safetensors")
    after = load_file(folder.model_dir / "model.safetensors")
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    is_same = [
        torch.equal(before[name], after[name]) for i in range(3) if (name := f"model.layers.{i}.mlp.up_proj.weight")
    ]
    assert is_same == [True, False, False]  # the lower half, rounded down, stays as it is


def test_a_model_with_settings_that_transformers_would_not_save_comes_through_a_whole_run(workplace: Workplace) -> None:
    """Vicuna and the first Llama 2 have a temperature without sampling. The run ended in a ValueError at the export."""
    model = shutil.copytree(workplace.model, workplace.root / "vicuna")
    settings = {"do_sample": False, "temperature": 0.9, "top_p": 0.6, "eos_token_id": 2}
    (model / "generation_config.json").write_text(json.dumps(settings))
    stages = "task.stages=[{type: unlearning, steps: 1}]"
    folder = run(workplace.config("task=unlearning_ga", f"pre_trained_llm={model}", "skip_initial_eval=true", stages))
    kept = json.loads((folder.model_dir / "generation_config.json").read_text())
    assert "temperature" not in kept
    assert kept["eos_token_id"] == [2]


def test_the_same_seed_gives_the_same_weights_bit_for_bit(workplace: Workplace) -> None:
    first = run(workplace.config("name=one"))
    second = run(workplace.config("name=two"))
    other = run(workplace.config("name=three", "seed=1"))
    weights = [load_file(folder.model_dir / "model.safetensors") for folder in (first, second, other)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])


@pytest.mark.parametrize("task", ["unlearning_enpo", "unlearning_atu_released"])
def test_methods_with_a_predictor_run_on_the_same_path(workplace: Workplace, task: str) -> None:
    folder = run(workplace.config(f"task={task}", f"name={task}"))
    assert folder.read_stages()[-1].kind == "unlearn"
    assert (folder.model_dir / "model.safetensors").is_file()


WITH_PREDICTOR = {"unlearning_atu", "unlearning_atu_released", "unlearning_enpo"}
WITHOUT_PREDICTOR = sorted({path.stem for path in (config_dir() / "task").glob("*.yaml")} - WITH_PREDICTOR)


@pytest.mark.parametrize("task", WITHOUT_PREDICTOR)
def test_methods_without_a_predictor_run_on_the_same_path(workplace: Workplace, task: str) -> None:
    folder = run(workplace.config(f"task={task}", "task.stages=[{type: unlearning, steps: 3}]"))
    assert folder.read_stages()[-1].kind == "unlearn"
    before, after = (load_file(root / "model.safetensors") for root in (workplace.model, folder.model_dir))
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name.split(".")[2] for name in moved if "layers" in name} == {"1", "2"}  # the upper half
    assert not any("predictor" in path.name for path in folder.checkpoint_dir.iterdir())


def test_a_stop_rule_ends_the_schedule_early(workplace: Workplace) -> None:
    folder = run(workplace.config("task.stop={concept_nll_rise: -100.0, retain_kl: null}"))
    assert [stage.label for stage in folder.read_stages()] == ["00-before", "01-align", "02-unlearn"]


def test_a_run_that_settles_has_its_last_stage_before_it_stops(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    settling = (
        "task.stages=[{type: training, steps: 6}, {type: unlearning, steps: 2}, {type: unlearning, steps: 2}, "
        "{type: training, steps: 3}, {type: unlearning, steps: 2}]",
        "task.stop={concept_nll_rise: -100.0, retain_kl: null, settle: true}",
        "task.training_module.unlearning_schedule=cosine",
        "task.training_module.unlearning_warmup_steps=0",
    )
    folder = run(workplace.config(*settling, "name=whole"))
    assert [stage.label for stage in folder.read_stages()] == ["00-before", "01-align", "02-unlearn", "05-unlearn"]
    rows = [json.loads(line) for line in folder.metrics_path.read_text().splitlines()]
    # (1 + cos(pi s / 6)) / 2 for the first two and the last two of six steps
    rates = [row["value"] / 1e-3 for row in rows if row["name"] == "train/lr"]
    assert rates == pytest.approx([1.0, 0.933013, 0.25, 0.066987], rel=1e-4)

    interrupt_before_stage(workplace.config(*settling, "name=killed"), 4, monkeypatch)
    again = run(workplace.config(*settling, "name=killed"))
    assert again.read_stages()[-1].label == "05-unlearn"
    weights = [load_file(root / "model.safetensors") for root in (folder.model_dir, again.model_dir)]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_finished_run_is_reported_and_not_trained_again(workplace: Workplace) -> None:
    folder = run(workplace.config())
    stamp = (folder.checkpoint_dir / "state.json").stat().st_mtime_ns
    folder.lock.release()
    run(workplace.config())
    assert (folder.checkpoint_dir / "state.json").stat().st_mtime_ns == stamp


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"not finite.*unlearning_lr"):
        run(workplace.config("task.training_module.unlearning_lr=1e30", "name=wild"))
    root = workplace.root / "runs" / "wild"
    assert json.loads((root / "status.json").read_text())["state"] == "failed"
    kept = load_file(root / "checkpoint" / "llm.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in kept.values())


def test_a_predictor_that_learnt_nothing_stops_the_run(workplace: Workplace) -> None:
    with pytest.raises(UserError, match="learnt too little"):
        run(workplace.config("task.min_predictor_gain=0.9", "name=blind"))
