"""How much of the change is kept: as little as forgetting needs."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import pytest
import torch
from tiny_training import materials, own_llm, task
from torch.nn import Parameter

from atu.methods.config import ScaleConfig
from atu.methods.unlearning import concept_left, retain_kl
from atu.models.adapters import add_adapter
from atu.models.config import LoraConfig, ModelConfig
from atu.models.precision import Autocast
from atu.training.config import TrainingConfig
from atu.training.scale import set_scale, smallest_scale
from atu.training.stages import run_stage
from atu.training.state import TrainingState


def test_the_smallest_scale_that_reaches_the_goal_is_found() -> None:
    asked: list[float] = []

    def reaches(scale: float) -> bool:
        asked.append(scale)
        return scale >= 0.5

    found = smallest_scale(reaches, largest=2.0)

    assert 0.5 <= found <= 0.52
    assert len(asked) <= 9


@pytest.mark.parametrize(("goal", "scale"), [(1.0, 1.0), (3.0, 1.0), (0.0, 0.02)])
def test_a_goal_out_of_reach_keeps_everything_and_no_goal_hardly_anything(goal: float, scale: float) -> None:
    assert smallest_scale(lambda a: a >= goal, largest=1.0) == pytest.approx(scale, abs=0.02)


def test_a_scale_lies_on_the_line_from_reference_to_trained() -> None:
    parameters = {"w": Parameter(torch.tensor([9.0, 9.0])), "a": Parameter(torch.tensor([7.0]))}

    set_scale(parameters, {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 0.0])}, 0.25)

    assert parameters["w"].tolist() == [1.5, 1.5]
    assert parameters["a"].tolist() == [7.0]


def _bf16() -> AbstractContextManager[None]:
    return cast("AbstractContextManager[None]", torch.autocast("cpu", dtype=torch.bfloat16))


@dataclass(frozen=True)
class Runs:
    """Runs of the tiny model by gradient ascent, which differ by how much of the change they keep."""

    llm_folder: Path
    encoder_folder: Path
    out: Path
    adapted: bool = False
    autocast: Autocast = nullcontext

    def ended(self, scale: ScaleConfig) -> TrainingState:
        llm = own_llm(self.llm_folder)
        if self.adapted:
            config = ModelConfig(name="tiny", model_name="tiny", adapter="lora", lora=LoraConfig(rank=4))
            add_adapter(llm.model, config, seed=0)
        config_of_task = replace(task({"unlearning_lr": 1e-2}, ga={"weight": 1.0}), scale=scale)
        state = TrainingState(
            llm=llm,
            task=config_of_task,
            materials=materials(llm, self.encoder_folder, config_of_task),
            predictor=None,
            reference_predictor=None,
            config=TrainingConfig(),
            seed=0,
            autocast=self.autocast,
            folder=self.out / f"{scale.concept_left}-{scale.retain_kl}",
            log=lambda *_: None,
        )
        run_stage(state, config_of_task.stages[0], lambda *_: None)
        return state

    def left(self, state: TrainingState) -> float:
        with self.autocast():
            found = concept_left(state.llm, state.materials)
        assert found is not None
        return found


def _a_little_less(state: TrainingState) -> None:
    """Set the model to a scale that is smaller by the precision."""
    kept = {name: parameter.detach().clone() for name, parameter in state.trained.items()}
    scale = state.progress.signals["signal/scale"]
    set_scale(state.trained, state.reference, kept, (scale - 0.02) / scale)


@pytest.mark.parametrize("autocast", [nullcontext, _bf16])
@pytest.mark.parametrize("adapted", [False, True])
def test_a_run_ends_where_the_held_out_texts_are_as_unlikely_as_they_should_be(
    tiny_folder: Path, tiny_encoder: Path, tmp_path: Path, adapted: bool, autocast: Autocast
) -> None:
    runs = Runs(tiny_folder, tiny_encoder, tmp_path, adapted, autocast)

    whole = runs.ended(ScaleConfig())
    least = runs.left(whole)
    goal = (1 + least) / 2
    scaled = runs.ended(ScaleConfig(concept_left=goal))

    assert least < 0.9
    assert "signal/scale" not in whole.progress.signals
    assert 0 < scaled.progress.signals["signal/scale"] < 1
    assert runs.left(scaled) <= goal
    _a_little_less(scaled)
    assert runs.left(scaled) > goal


def test_no_more_is_kept_than_other_texts_stand(tiny_folder: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    runs = Runs(tiny_folder, tiny_encoder, tmp_path)
    whole = runs.ended(ScaleConfig())
    limit, least = whole.progress.signals["signal/retain_kl"] / 4, runs.left(whole)

    scaled = runs.ended(ScaleConfig(retain_kl=limit))
    out_of_reach = runs.ended(ScaleConfig(retain_kl=limit, concept_left=least / 2))
    in_reach = runs.ended(ScaleConfig(retain_kl=limit, concept_left=0.99))

    assert 0 < scaled.progress.signals["signal/scale"] < 1
    assert retain_kl(scaled.llm, scaled.materials) >= limit
    assert out_of_reach.progress.signals["signal/scale"] == scaled.progress.signals["signal/scale"]
    assert in_reach.progress.signals["signal/scale"] < scaled.progress.signals["signal/scale"]
    _a_little_less(scaled)
    assert retain_kl(scaled.llm, scaled.materials) < limit
