"""How much of the change is kept: as little as forgetting needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_training import materials, own_llm, task
from torch.nn import Parameter

from atu.methods.config import ScaleBackConfig
from atu.methods.unlearning import concept_nll_rise
from atu.models.adapters import add_adapter
from atu.models.config import LoraConfig, ModelConfig
from atu.training.config import TrainingConfig
from atu.training.scale_back import set_scale, smallest_scale
from atu.training.stages import run_stage
from atu.training.state import TrainingState


def test_the_smallest_scale_that_reaches_the_goal_is_found() -> None:
    asked: list[float] = []

    def rise(scale: float) -> float:
        asked.append(scale)
        return 4.0 * scale**2  # 1 at one half

    found = smallest_scale(rise, 1.0)

    assert 0.5 <= found <= 0.52
    assert rise(found) >= 1.0
    assert len(asked) <= 8


@pytest.mark.parametrize(("goal", "scale"), [(4.0, 1.0), (9.0, 1.0), (0.0, 0.02)])
def test_a_goal_out_of_reach_keeps_everything_and_no_goal_hardly_anything(goal: float, scale: float) -> None:
    assert smallest_scale(lambda a: 4.0 * a, goal) == pytest.approx(scale, abs=0.02)


def test_a_scale_lies_on_the_line_from_reference_to_trained() -> None:
    parameters = {"w": Parameter(torch.tensor([9.0, 9.0])), "a": Parameter(torch.tensor([7.0]))}

    set_scale(parameters, {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 0.0])}, 0.25)

    assert parameters["w"].tolist() == [1.5, 1.5]
    assert parameters["a"].tolist() == [7.0]


@pytest.mark.parametrize("adapted", [False, True])
def test_a_run_ends_where_the_held_out_texts_cost_what_they_should(
    tiny_folder: Path, tiny_encoder: Path, tmp_path: Path, adapted: bool
) -> None:
    def rise_of(share: float | None) -> tuple[TrainingState, float]:
        llm = own_llm(tiny_folder)
        if adapted:
            config = ModelConfig(name="tiny", model_name="tiny", adapter="lora", lora=LoraConfig(rank=4))
            add_adapter(llm.model, config, seed=0)
        config_of_task = replace(
            task({"unlearning_lr": 1e-2}, ga={"weight": 1.0}), scale_back=ScaleBackConfig(concept_share=share)
        )
        state = TrainingState(
            llm=llm,
            task=config_of_task,
            materials=materials(llm, tiny_encoder, config_of_task),
            predictor=None,
            reference_predictor=None,
            config=TrainingConfig(),
            seed=0,
            autocast=nullcontext,
            folder=tmp_path / f"{share}",
            log=lambda *_: None,
        )
        run_stage(state, config_of_task.stages[0], lambda *_: None)
        found = concept_nll_rise(state.llm, state.materials)
        assert found is not None
        return state, found

    whole, largest = rise_of(None)
    blind = _blind_rise(rise_of)
    share = 0.5 * largest / blind
    scaled, found = rise_of(share)

    assert "signal/scale" not in whole.progress.signals
    assert found == pytest.approx(0.5 * largest, rel=0.1)
    assert found >= share * blind
    assert 0 < scaled.progress.signals["signal/scale"] < 1
    assert scaled.progress.signals["signal/concept_nll_rise"] == pytest.approx(found, rel=1e-5)


def _blind_rise(rise_of: Callable[[float | None], tuple[TrainingState, float]]) -> float:
    """What the held-out texts cost the reference that cannot see the concept's words."""
    state, _ = rise_of(1.0)
    return state.progress.signals["signal/blind_nll_rise"]
