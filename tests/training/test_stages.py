"""What moves, how fast, and that a run stopped in mid-stage resumes to the same weights."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import materials, own_llm, predictor, task
from torch import Tensor

from atu.errors import UserError
from atu.methods.config import StageConfig, TaskConfig, TrainingModule
from atu.models.adapters import add_adapter, add_subspace
from atu.models.config import LoraConfig, ModelConfig
from atu.models.language_model import LanguageModel
from atu.training.config import TrainingConfig
from atu.training.parameters import check_reach, trainable_parameters
from atu.training.stages import run_stage
from atu.training.state import TrainingState

Build = Callable[..., TrainingState]
Rows = list[tuple[int, int, str, float]]


@pytest.fixture
def rows() -> Rows:
    """What was logged: (step over all stages, stage number, name, value)."""
    return []


@pytest.fixture
def build(tiny_folder: Path, tiny_encoder: Path, tmp_path: Path, rows: Rows) -> Build:
    """States of a fresh model; those of the same folder resume each other."""

    def make(
        task: TaskConfig, folder: str = "checkpoint", lora: LoraConfig | None = None, **config: Any
    ) -> TrainingState:
        llm = own_llm(tiny_folder)
        if lora is not None:
            add_adapter(llm.model, ModelConfig(name="tiny", model_name="tiny", adapter="lora", lora=lora), seed=0)
        return TrainingState(
            llm=llm,
            task=task,
            materials=materials(llm, tiny_encoder, task),
            predictor=predictor() if task.aligns else None,
            reference_predictor=None,
            config=TrainingConfig(**config),
            seed=0,
            autocast=nullcontext,
            folder=tmp_path / folder,
            log=lambda step, stage, name, value: rows.append((step, stage, name, value)),
        )

    return make


def run(state: TrainingState, stop_after: int | None = None) -> None:
    """The stages that are left; stopped as by a signal after so many steps, if asked."""
    steps = 0

    def advance(done: int, total: int) -> None:
        nonlocal steps
        steps += done > 0
        if steps == stop_after:
            raise KeyboardInterrupt

    for stage in state.task.stages[state.progress.stage :]:
        run_stage(state, stage, advance)


def logged(rows: Rows, name: str) -> list[float]:
    return [value for _, _, logged_name, value in rows if logged_name == name]


def weights(state: TrainingState) -> dict[str, Tensor]:
    of_predictor = state.predictor.state_dict() if state.predictor is not None else {}
    return {**state.llm.model.state_dict(), **{f"predictor.{k}": v for k, v in of_predictor.items()}}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_the_rate_rises_over_the_warm_up_and_stays(build: Build, rows: Rows) -> None:
    module = {
        "training_lr": 4e-3, "training_warmup_steps": 2, "unlearning_lr": 1e-3, "unlearning_warmup_steps": 4
    }  # fmt: skip
    run(build(task(module, push={}, retain_kl={})))
    # two steps of warm-up and two after; then four of four
    assert logged(rows, "align/lr") == pytest.approx([2e-3, 4e-3, 4e-3, 4e-3])
    assert logged(rows, "train/lr") == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3])
    assert [(step, stage) for step, stage, name, _ in rows if name.endswith("/lr")] == [
        (1, 1), (2, 1), (3, 1), (4, 1), (5, 2), (6, 2), (7, 2), (8, 2)
    ]  # fmt: skip


def test_a_cosine_lowers_the_rate_over_all_unlearn_stages(build: Build, rows: Rows) -> None:
    module = {"unlearning_lr": 1e-3, "unlearning_warmup_steps": 2, "unlearning_schedule": "cosine"}
    stages = (StageConfig(type="unlearning", steps=3), StageConfig(type="unlearning", steps=1))
    state = build(replace(task(module, ga={}, retain_kl={}), stages=stages))
    for stage in stages:
        run_stage(state, stage, lambda done, total: None)
    # (1 + cos(pi s / 4)) / 2 for s = 0..3; the first two steps are warmed up
    assert logged(rows, "train/lr") == pytest.approx([0.5e-3, 0.853553e-3, 0.5e-3, 0.146447e-3], rel=1e-4)


def test_without_warm_up_the_rate_is_whole_at_once(build: Build, rows: Rows) -> None:
    run(build(task({"unlearning_lr": 0.001, "unlearning_warmup_steps": 0}, ga={}, retain_kl={})))
    assert logged(rows, "train/lr") == [1e-3] * 4


def test_the_gradient_is_clipped_to_its_norm(build: Build, rows: Rows) -> None:
    module = {"unlearning_optimizer": "sgd", "unlearning_lr": 0.5, "unlearning_warmup_steps": 0, "clip_grad_norm": 0.01}
    state = build(task(module, ga={}, retain_kl={}))
    before = {name: p.detach().clone() for name, p in state.llm.model.named_parameters()}
    run_stage(state, StageConfig(type="unlearning", steps=1), lambda done, total: None)
    moved = torch.stack([(p - before[name]).norm() for name, p in state.llm.model.named_parameters()]).norm()
    # a step of plain gradient descent: rate times the clipped norm
    assert moved.item() == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert logged(rows, "train/grad_norm")[0] > 0.01  # the norm is logged as it was


def test_token_embeddings_and_a_head_stay_unless_asked_for(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    everything = len(list(llm.model.parameters()))
    assert len(trainable_parameters(llm, train_embeddings=TrainingModule().train_embeddings)) == everything - 2
    assert len(trainable_parameters(llm, train_embeddings=True)) == everything


def test_a_subspace_above_the_hook_layer_is_refused(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    add_subspace(llm.model, {"model.layers.2.mlp.up_proj": torch.ones(1, 64)})
    trainable_parameters(llm, train_embeddings=False)
    check_reach(llm, 3)
    with pytest.raises(UserError) as caught:
        check_reach(llm, 2)
    assert str(caught.value) == (
        "All adapters lie above the hook layer (2), below which the whole loss is: nothing would be trained. Name "
        "lower blocks in pre_trained_llm.lora.layers, or lower task.training_module.subspace.min_ratio."
    )


def test_frozen_blocks_do_not_move_and_the_others_do(build: Build) -> None:
    state = build(task({"first_trained_layer": 2}, ga={}, retain_kl={}))
    before = {name: p.detach().clone() for name, p in state.llm.model.named_parameters()}
    run_stage(state, StageConfig(type="unlearning", steps=1), lambda done, total: None)
    moved = {name for name, p in state.llm.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert all(name.startswith(("model.layers.2.", "model.norm.")) for name in moved)


def test_nothing_moves_above_the_last_trained_block(build: Build) -> None:
    state = build(task({"first_trained_layer": 1, "last_trained_layer": 2}, ga={}, retain_kl={}))
    before = {name: p.detach().clone() for name, p in state.llm.model.named_parameters()}
    run_stage(state, StageConfig(type="unlearning", steps=1), lambda done, total: None)
    moved = {name for name, p in state.llm.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved
    assert all(name.startswith("model.layers.1.") for name in moved)


def test_adapters_in_frozen_blocks_do_not_move_either(build: Build) -> None:
    state = build(task({"first_trained_layer": 2}, ga={}, retain_kl={}), lora=LoraConfig(rank=2))
    assert state.trained
    assert all(name.startswith("model.layers.2.") and ".lora_" in name for name in state.trained)
    with pytest.raises(UserError, match=r"nothing would be trained. Name some of 3 to 3 in pre_trained_llm"):
        build(task({"first_trained_layer": 2}, ga={}, retain_kl={}), lora=LoraConfig(rank=2, layers=(1, 2)))
    with pytest.raises(UserError, match=r"nothing would be trained. Name some of 1 to 1 in pre_trained_llm"):
        build(task({"last_trained_layer": 1}, ga={}, retain_kl={}), lora=LoraConfig(rank=2, layers=(2, 3)))


def test_an_align_stage_leaves_the_llm_and_an_unlearn_stage_the_predictor(build: Build) -> None:
    state = build(task({"unlearning_lr": 0.01}, push={}, ga={}, retain_kl={}))
    start = {name: value.clone() for name, value in weights(state).items()}
    align, unlearn = state.task.stages

    def moved() -> set[str]:
        return {name.startswith("predictor.") for name, value in weights(state).items() if not start[name].equal(value)}

    run_stage(state, align, lambda done, total: None)
    assert moved() == {True}
    fitted = {name: value.clone() for name, value in weights(state).items() if name.startswith("predictor.")}
    run_stage(state, unlearn, lambda done, total: None)
    assert moved() == {True, False}
    assert_same({name: value for name, value in weights(state).items() if name in fitted}, fitted)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["full", "lora"])
@pytest.mark.parametrize("stop_after", [2, 4, 6, 8], ids=["align", "end of align", "unlearn", "end of unlearn"])
def test_a_run_stopped_in_mid_stage_resumes_to_the_same_weights(
    build: Build, rows: Rows, stop_after: int, lora: LoraConfig | None
) -> None:
    config = task(redirect={}, distill={}, retain_kl={})
    whole = build(config, folder="whole", lora=lora)
    run(whole)
    undisturbed = list(rows)

    stopped = build(config, lora=lora, checkpoint_seconds=0.0)
    assert not stopped.resume()
    with pytest.raises(KeyboardInterrupt):
        run(stopped, stop_after)
    resumed = build(config, lora=lora, checkpoint_seconds=0.0)
    assert resumed.resume()
    # The checkpoint is that of the step before: it is written after the step was shown.
    assert resumed.global_step == stop_after - 1
    rows.clear()
    run(resumed)
    assert_same(weights(resumed), weights(whole))
    assert rows == [row for row in undisturbed if row[0] > stop_after - 1]
    assert resumed.progress.signals == whole.progress.signals
    assert (resumed.progress.align_steps, resumed.progress.unlearn_steps, resumed.progress.stage) == (4, 4, 2)


@pytest.mark.parametrize(
    "objective",
    [
        {"undial": {"gamma": 5.0}, "retain_kl": {}},
        {"dpo": {}, "retain_kl": {}},
        {"refusal": {}, "retain_kl": {}},
        {"simnpo": {"beta": 2.5}, "retain_kl": {}},
        {"rmu": {}, "retain_kl": {}},
    ],
    ids=str,
)
def test_so_does_a_run_of_every_method_without_a_predictor(build: Build, objective: dict[str, Any]) -> None:
    config = task({"unlearning_lr": 1e-3, "first_trained_layer": 1}, **objective)
    whole = build(config, folder="whole")
    start = {name: value.clone() for name, value in weights(whole).items()}
    run(whole)
    assert any(not torch.equal(value, start[name]) for name, value in weights(whole).items())

    with pytest.raises(KeyboardInterrupt):
        run(build(config, checkpoint_seconds=0.0), 3)
    resumed = build(config, checkpoint_seconds=0.0)
    assert resumed.resume()
    assert resumed.global_step == 2
    run(resumed)
    assert_same(weights(resumed), weights(whole))


def test_a_finished_stage_leaves_a_checkpoint_that_points_to_the_next(build: Build) -> None:
    config = task(push={}, retain_kl={})
    run(build(config))
    resumed = build(config)
    assert resumed.resume()
    assert (resumed.progress.stage, resumed.progress.step) == (2, 0)
    assert set(resumed.progress.seconds) == {"0", "1"}


def test_rows_are_logged_as_often_as_asked(build: Build, rows: Rows) -> None:
    run(build(task(ga={}, retain_kl={}), log_every=2))
    assert [step for step, _, name, _ in rows if name == "train/loss"] == [2, 4]


def test_with_adapters_only_they_move_and_only_they_are_stored(
    build: Build, tiny_llm: LanguageModel, tmp_path: Path
) -> None:
    state = build(task(npo={}, retain_kl={}), lora=LoraConfig(targets=("q_proj", "up_proj")))
    run(state)
    after = state.llm.model.state_dict()
    for name, value in tiny_llm.model.state_dict().items():
        adapted = name.replace("q_proj.", "q_proj.base_layer.").replace("up_proj.", "up_proj.base_layer.")
        assert torch.equal(after[adapted], value), name
    stored = load_file(tmp_path / "checkpoint" / "llm.safetensors")
    assert {name.partition(".lora_")[2] for name in stored} == {"A.default.weight", "B.default.weight"}
    assert all(float(tensor.norm()) > 0 for name, tensor in stored.items() if "lora_B" in name)


def test_references_are_those_of_the_original_model(build: Build, tiny_llm: LanguageModel) -> None:
    state = build(task(npo={}, retain_kl={}), lora=LoraConfig())
    row, states = state.materials.forget.rows[0], state.materials.forget.states.final[0]
    with torch.no_grad():
        expected = tiny_llm.model.model(input_ids=torch.tensor([row.ids]), use_cache=False).last_hidden_state[0]
    torch.testing.assert_close(states, expected[row.first_scored - 1 : -1], rtol=1e-4, atol=1e-4)


def test_adapters_that_the_whole_loss_lies_below_are_refused(build: Build) -> None:
    config = task(push={})  # read at hook layer 2
    with pytest.raises(UserError, match=r"All adapters lie above the hook layer \(2\)"):
        build(config, lora=LoraConfig(layers=(3,)))
    build(config, lora=LoraConfig(layers=(2, 3)))
    build(task(push={}, retain_kl={}), lora=LoraConfig(layers=(3,)))  # the retain term reads all blocks


def test_checkpointing_changes_no_bit_of_a_run(build: Build) -> None:
    config = task({"unlearning_lr": 0.001}, redirect={}, distill={}, retain_kl={})
    plain, checkpointed = (build(config, folder=str(on), activation_checkpointing=on) for on in (False, True))
    for state in (plain, checkpointed):
        run(state)
    assert_same(weights(checkpointed), weights(plain))
