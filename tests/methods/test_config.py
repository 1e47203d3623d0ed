"""What a task may be made of."""

from __future__ import annotations

from typing import Any

import pytest

from atu.errors import UserError
from atu.methods.config import ObjectiveConfig, StageConfig, TaskConfig, TrainingModule

ALIGN, UNLEARN = StageConfig(type="training", steps=5), StageConfig(type="unlearning", steps=5)
PUSH, GA = ObjectiveConfig(embedding="push"), ObjectiveConfig(token="ga")


def build(objective: ObjectiveConfig, *stages: StageConfig, **more: Any) -> TaskConfig:
    return TaskConfig(name="test", objective=objective, stages=stages, **more)


def test_the_stages_must_fit_the_terms() -> None:
    build(PUSH, ALIGN, UNLEARN)
    build(PUSH, StageConfig(type="training", steps=0), ALIGN, UNLEARN)
    build(GA, UNLEARN)


@pytest.mark.parametrize(
    ("objective", "stages", "message"),
    [
        (PUSH, (), "stages has no unlearning stage"),
        (PUSH, (ALIGN,), "stages has no unlearning stage"),
        (PUSH, (UNLEARN,), "needs a trained predictor"),
        (PUSH, (UNLEARN, ALIGN), "needs a trained predictor"),
        (PUSH, (StageConfig(type="training", steps=0), UNLEARN, ALIGN), "needs a trained predictor"),
        (GA, (ALIGN, UNLEARN), "no term reads the predictor"),
        (GA, (StageConfig(type="training", steps=0), UNLEARN), "no term reads the predictor"),
    ],
)
def test_stages_that_do_not_fit(objective: ObjectiveConfig, stages: tuple[StageConfig, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(objective, *stages)


@pytest.mark.parametrize(
    ("cls", "values", "message"),
    [
        (StageConfig, {"type": "unlearning", "steps": -1}, "steps must not be negative, found -1"),
        (StageConfig, {"type": "unlearning", "steps": 1, "threshold": 1.01}, r"lie in \[-1, 1\], found 1.01"),
        (StageConfig, {"type": "unlearning", "steps": 1, "threshold": float("nan")}, r"lie in \[-1, 1\]"),
        (TrainingModule, {"training_warmup_steps": -1}, "training_warmup_steps must not be negative"),
        (TrainingModule, {"training_weight_decay": -1.0}, "training_weight_decay must not be negative"),
        (TrainingModule, {"forget_batch_size": 0}, "forget_batch_size must be at least 1"),
        (TrainingModule, {"unlearning_lr": 0.0}, "unlearning_lr must be positive"),
        (TrainingModule, {"clip_grad_norm": float("nan")}, "clip_grad_norm must be positive"),
        (ObjectiveConfig, {}, "no forget term"),
        (ObjectiveConfig, {"token": "ga", "retain_weight": -0.1}, "retain_weight must not be negative"),
        (ObjectiveConfig, {"token": "npo", "beta": 0.0}, "beta must be positive"),
        (ObjectiveConfig, {"token": "ga", "threshold_percentile": 101.0}, r"must lie in \[0, 100\]"),
    ],
)
def test_a_value_out_of_range(cls: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cls(**values)


def test_the_ends_of_the_range_of_tau_are_allowed() -> None:
    for tau in (-1.0, 1.0):
        assert StageConfig(type="unlearning", steps=0, threshold=tau).threshold == tau


@pytest.mark.parametrize(
    ("objective", "needs"),
    [
        (ObjectiveConfig(embedding="redirect"), True),
        (ObjectiveConfig(token="distill", teacher="bounded"), True),
        (ObjectiveConfig(token="distill", teacher="masked"), False),
        (ObjectiveConfig(embedding="push", token="npo", teacher="bounded"), False),
    ],
)
def test_only_terms_that_compare_with_a_blind_model_need_one(objective: ObjectiveConfig, needs: bool) -> None:
    assert objective.needs_blind_states is needs


def test_a_task_says_what_it_is_made_of() -> None:
    objective = ObjectiveConfig(embedding="redirect", token="distill", token_weight=0.5, retain_weight=2.0)
    assert build(objective, ALIGN, UNLEARN).describe() == (
        "test (embedding redirect x 1 + token masked distill x 0.5 + retain KL x 2)"
    )
    assert build(ObjectiveConfig(token="ga", retain_weight=0.0), UNLEARN).describe() == "test (token ga x 1)"
