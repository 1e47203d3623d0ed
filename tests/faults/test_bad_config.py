"""A wrong word or number on the command line: one line, and not even a folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from atu.methods.terms import TERMS

from .conftest import Command

ALIGN = "{type: training, steps: 1}"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param(
            "task=unlearning_atuu",
            "There is no task 'unlearning_atuu'. Did you mean 'unlearning_atu'?",
            id="task",
        ),
        pytest.param(
            "task.first_step_steps=1",
            "There is no key 'task.first_step_steps'. Did you mean 'task.first_stage_steps'?",
            id="key",
        ),
        pytest.param(
            "task={first_steps: 1}",
            "'task' cannot be replaced as a whole. Set its keys one by one: task.NAME=VALUE, or +task.NAME=VALUE for "
            "one that it does not have.",
            id="group",
        ),
        pytest.param(
            f"task.stages=[{ALIGN}, {{type: unlearning, steps: 1, threshold: -1.5}}]",
            "task.stages[1]: threshold (tau) is a cosine and must lie in [-1, 1], found -1.5.",
            id="tau",
        ),
        pytest.param(
            f"task.stages=[{ALIGN}, {{type: unlearning, steps: -4}}]",
            "task.stages[1]: steps must not be negative, found -4.",
            id="steps",
        ),
        pytest.param(
            f"task.stages=[{ALIGN}]",
            "task: stages has no unlearning stage: nothing would be forgotten.",
            id="no unlearning stage",
        ),
        pytest.param(
            "+task.objective.distill.margin=1",
            "task.objective.distill: margin=1 has no effect with teacher=masked: set teacher=bounded.",
            id="margin without effect",
        ),
        pytest.param(
            "+task.objective.distill.steering=2",
            "Unknown key 'task.objective.distill.steering'. Known in task.objective.distill: hide_names, margin, "
            "repeat_name, teacher, weight.",
            id="option of another term",
        ),
        pytest.param(
            "task.objective.rmu.steering=2",
            "The objective has no term 'rmu' (it has push, refusal, retain_kl): write "
            "+task.objective.rmu.steering=... to add it.",
            id="term that the task does not have",
        ),
        pytest.param(
            "task.objective.simnpoo.weight=1",
            f"There is no term 'simnpoo'. Known: {', '.join(TERMS)}.",
            id="term",
        ),
        pytest.param(
            "task.objective.push.targett=name",
            "Unknown key 'task.objective.push.targett'. Known in task.objective.push: positions, target, "
            "threshold_percentile, weight.",
            id="option of a term",
        ),
        pytest.param(
            "task.objective.token=npo",
            "task.objective.token is now a term by its own name: +task.objective.npo={}, ~task.objective.distill.",
            id="key of before",
        ),
        pytest.param(
            "+task.objective.retain_weight=4",
            "task.objective.retain_weight is now task.objective.retain_kl.weight.",
            id="key of before, added",
        ),
        pytest.param(
            "~task.objective.npo",
            "Could not delete from config. 'task.objective.npo' does not exist.",
            id="term that cannot be deleted",
        ),
        pytest.param(
            f"task.stages=[{{type: unlearning, steps: 1}}, {ALIGN}]",
            "task: objective.push needs a trained predictor: stages must begin with a training stage of at "
            "least one step.",
            id="unlearning before aligning",
        ),
        pytest.param(
            "task.training_module.unlearning_weight_decay=-0.1",
            "task.training_module: unlearning_weight_decay must not be negative.",
            id="weight decay",
        ),
        pytest.param(
            "embedding_prediction_model.dropout=1",
            "embedding_prediction_model: dropout must lie in [0, 1), not 1.0.",
            id="dropout",
        ),
        pytest.param(
            "embedding_prediction_model.num_heads=0",
            "embedding_prediction_model: num_heads must be at least 1, not 0.",
            id="heads",
        ),
        pytest.param(
            "text_encoder.batch_size=0",
            "text_encoder: batch_size must be at least 1, not 0.",
            id="batch size",
        ),
        pytest.param(
            "text_encoder.window_tokens=0",
            "text_encoder: window_tokens must be at least 1, not 0.",
            id="k",
        ),
        pytest.param(
            "text_encoder.min_window_tokens=9",
            "text_encoder: min_window_tokens must lie in [1, window_tokens = 3], not 9; null takes full windows alone.",
            id="a shortest window longer than a window",
        ),
        pytest.param(
            "pre_trained_llm.dtype=bfloat16",
            "pre_trained_llm.dtype=bfloat16: updates as small as unlearning's are lost when they are added to 16-bit "
            "weights. Set dtype=float32, or train adapters (pre_trained_llm.adapter=lora or "
            "task.training_module.moves=subspace); if it is what you want to see, training.allow_16bit_weights=true.",
            id="bfloat16 weights",
        ),
        pytest.param(
            "pre_trained_llm.quantization=nf4",
            "pre_trained_llm.quantization=nf4: quantised weights cannot be trained. Train adapters on top of them "
            "(pre_trained_llm.adapter=lora or task.training_module.moves=subspace), or set quantization=none.",
            id="quantised weights",
        ),
        pytest.param(
            "devices=0",
            "devices must be auto or at least 1, not 0.",
            id="devices",
        ),
    ],
)
def test_a_wrong_value(command: Command, override: str, message: str) -> None:
    outcome = command(override)
    outcome.assert_refused(message)
    outcome.assert_nothing_written()


def test_a_gpu_where_there_is_none(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("atu.entry.early_checks.may_have_gpu", lambda: True)
    outcome = command("device=cuda")
    outcome.assert_refused("device=cuda, but torch sees no GPU here. Set device=cpu or install a CUDA build of torch.")
    outcome.assert_nothing_written()


def test_adapters_for_layers_that_do_not_exist(command: Command) -> None:
    outcome = command("pre_trained_llm.adapter=lora", "pre_trained_llm.lora.targets=[qkv_proj]")
    outcome.assert_refused(
        "pre_trained_llm.lora.targets: the blocks of 'tiny0' have no linear layer 'qkv_proj'; they have down_proj, "
        "gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj."
    )
    outcome.assert_failed()


def test_a_hook_layer_below_which_nothing_moves(command: Command) -> None:
    outcome = command(
        "task=unlearning_rmu",
        "task.training_module.pretrained_model_hook_layer=1",
        "task.training_module.first_trained_layer=1",
        "task.stages=[{type: unlearning, steps: 1}]",
    )
    outcome.assert_refused(
        "task.training_module.first_trained_layer leaves the first 1 blocks as they are, and the hook layer is block 1"
        ": nothing could change there. Lower it, or raise the hook layer."
    )
    outcome.assert_nothing_written()


def test_a_model_folder_without_weights(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / "hollow"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    outcome = command(f"pre_trained_llm={folder}")
    outcome.assert_refused(f"{folder} holds no weights (model.safetensors).")
    outcome.assert_nothing_written()


def test_more_processes_than_there_are_devices(command: Command) -> None:
    cores = os.cpu_count() or 1
    outcome = command(f"devices={cores + 1}")
    outcome.assert_refused(
        f"devices={cores + 1}, but this machine has {cores} CPU core{'s' if cores > 1 else ''}: a process needs one "
        f"for itself. Set devices={cores} or less."
    )
    outcome.assert_nothing_written()


def test_a_model_divided_among_one_process(command: Command) -> None:
    outcome = command("training.sharding=fsdp2")
    outcome.assert_refused(
        "training.sharding=fsdp2 divides a model among processes, but this is one: set devices=2 or more."
    )
    outcome.assert_nothing_written()


def test_other_processes_than_asked_for(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = command("devices=4")
    outcome.assert_refused("devices=4, but the launcher has started 2 processes. Leave devices=auto.")
    outcome.assert_nothing_written()


def test_a_sweep_in_each_of_several_processes(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    outcome = command("-m", "seed=0,1")
    outcome.assert_refused("A sweep (-m) starts its own processes: call it without a launcher, with devices=N.")
    outcome.assert_nothing_written()


def test_a_model_folder_that_does_not_exist(command: Command, tmp_path: Path) -> None:
    outcome = command(f"pre_trained_llm={tmp_path}/nothing")
    outcome.assert_refused(f"There is no model folder {tmp_path}/nothing.")
    outcome.assert_nothing_written()


def test_an_unknown_target_of_the_built_in_benchmark(command: Command) -> None:
    outcome = command(
        "data=builtin", "data.probes_path=null", "unlearning_target=William_Shakespear", "data.corpus.source=generated",
        "data.corpus.forget_path=null", "data.corpus.retain_path=null",
    )  # fmt: skip
    assert outcome.code == 2
    assert "Did you mean 'William_Shakespeare'?" in outcome.err
    assert outcome.err.count("\n") == 1
    outcome.assert_nothing_written()


def test_an_unknown_target_of_rwku(command: Command, tmp_path: Path) -> None:
    (tmp_path / "rwku" / "Target" / "1_Stephen_King").mkdir(parents=True)
    outcome = command(
        "data=rwku-positive", f"data.data_dir={tmp_path}/rwku", "unlearning_target=1_Steven_King",
        "data.probes_path=null", "data.corpus.source=rwku", "data.corpus.forget_path=null",
        "data.corpus.retain_path=null",
    )  # fmt: skip
    outcome.assert_refused(
        f"RWKU has no target '1_Steven_King' in {tmp_path}/rwku/Target. Did you mean '1_Stephen_King'?"
    )
    outcome.assert_nothing_written()
