"""What a task may be made of."""

from __future__ import annotations

from typing import Any

import pytest

from atu.errors import UserError
from atu.methods.config import StageConfig, TaskConfig, TrainingModule
from atu.methods.objective import ObjectiveConfig

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
        (ObjectiveConfig, {"embedding": "push", "threshold_percentile": 101.0}, r"must lie in \[0, 100\]"),
        (ObjectiveConfig, {"token": "simnpo", "gamma": -0.1}, "gamma must not be negative"),
        (ObjectiveConfig, {"token": "simnpo", "gamma": float("nan")}, "gamma must not be negative"),
        (ObjectiveConfig, {"token": "dpo", "beta": -1.0}, "beta must be positive"),
        (ObjectiveConfig, {"representation": "rmu", "steering": 0.0}, "steering must be positive"),
        (ObjectiveConfig, {"representation": "rmu", "representation_weight": -1.0}, "must not be negative"),
        (ObjectiveConfig, {"token": "distill", "teacher": "undial"}, "set gamma above 0, such as 10"),
    ],
)
def test_a_value_out_of_range(cls: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cls(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"token": "distill", "margin": 2.0}, r"margin=2.0 has no effect with token=distill \(teacher=masked\)"),
        ({"token": "distill", "teacher": "undial", "gamma": 1.0, "margin": 2.0}, r"margin=2.0 .* \(teacher=undial\)"),
        ({"token": "distill", "gamma": 1.0}, r"gamma=1.0 .* \(teacher=masked\): leave it at 0.0"),
        ({"token": "ga", "beta": 0.5}, "beta=0.5 has no effect with token=ga: leave it at 0.1"),
        ({"token": "npo", "gamma": 0.5}, "gamma=0.5 has no effect with token=npo"),
        ({"token": "distill", "teacher": "undial", "gamma": 1.0, "hide_names": True}, "hide_names=True has no effect"),
        ({"token": "npo", "npo_weight": 0.5}, "npo_weight=0.5 has no effect"),
        ({"token": "distill", "beta": 0.5}, "beta=0.5 has no effect"),
        ({"token": "distill", "npo_weight": -1.0}, "npo_weight must not be negative"),
        ({"token": "dpo", "teacher": "bounded"}, "teacher=bounded has no effect with token=dpo"),
        ({"token": "refusal", "beta": 1.0}, "beta=1.0 has no effect with token=refusal"),
        ({"token": "refusal", "steering": 1.0}, "steering=1.0 has no effect with token=refusal"),
        ({"token": "ga", "adaptive_steering": False}, "adaptive_steering=False has no effect"),
        ({"token": "ga", "representation_weight": 0.5}, "representation_weight=0.5 has no effect"),
        ({"token": "ga", "embedding_weight": 0.5}, "embedding_weight=0.5 has no effect"),
        ({"representation": "rmu", "token_weight": 0.5}, "token_weight=0.5 has no effect with representation=rmu"),
        ({"embedding": "redirect", "beta": 1.0}, "beta=1.0 has no effect with embedding=redirect"),
        ({"embedding": "redirect", "target": "description"}, "target=description has no effect"),
        ({"embedding": "enpo", "threshold_percentile": 90.0}, "threshold_percentile=90.0 has no effect"),
        (
            {"embedding": "redirect", "embedding_positions": "all", "retain_weight": 0.0},
            "embedding_positions=all has no",
        ),
        ({"embedding": "enpo", "embedding_positions": "all", "retain_weight": 0.0}, "embedding_positions=all has no"),
        (
            {"embedding": "push", "token": "ga", "retain_weight": 0.0, "embedding_positions": "all"},
            "reads padding as text",
        ),
        (
            {"embedding": "push", "embedding_positions": "all"},
            "set token=none, representation=none and retain_weight=0",
        ),
    ],
)
def test_an_option_that_no_term_reads_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ObjectiveConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"token": "distill", "teacher": "bounded", "margin": 2.0},
        {"token": "distill", "teacher": "undial", "gamma": 10.0},
        {"token": "simnpo", "beta": 2.5, "gamma": 0.5},
        {"token": "npo", "beta": 0.2, "token_weight": 2.0},
        {"token": "dpo", "beta": 0.2},
        {"embedding": "enpo", "beta": 10.0, "embedding_weight": 2.0, "target": "description"},
        {"embedding": "push", "target": "description", "threshold_percentile": 90.0},
        {"embedding": "push", "embedding_positions": "all", "retain_weight": 0.0},
        {"representation": "rmu", "steering": 2.0, "adaptive_steering": False, "representation_weight": 0.1},
    ],
)
def test_an_option_that_a_term_reads_is_taken(values: dict[str, Any]) -> None:
    config = ObjectiveConfig(**values)
    assert {key: getattr(config, key) for key in values} == values


def test_only_push_has_a_tau() -> None:
    stages = (ALIGN, StageConfig(type="unlearning", steps=1, threshold=0.5))
    build(PUSH, *stages)
    with pytest.raises(UserError, match="stages has a threshold"):
        build(ObjectiveConfig(embedding="redirect"), *stages)


def test_the_ends_of_the_range_of_tau_are_allowed() -> None:
    for tau in (-1.0, 1.0):
        assert StageConfig(type="unlearning", steps=0, threshold=tau).threshold == tau


@pytest.mark.parametrize(
    ("objective", "needs"),
    [
        (ObjectiveConfig(embedding="redirect"), True),
        (ObjectiveConfig(token="distill", teacher="bounded"), True),
        (ObjectiveConfig(token="distill", teacher="masked"), False),
        (ObjectiveConfig(token="distill", teacher="undial", gamma=1.0), False),
        (ObjectiveConfig(embedding="push", token="npo"), False),
    ],
)
def test_only_terms_that_compare_with_a_blind_model_need_one(objective: ObjectiveConfig, needs: bool) -> None:
    assert objective.needs_blind_states is needs


def test_a_task_says_what_it_is_made_of() -> None:
    objective = ObjectiveConfig(embedding="redirect", token="distill", token_weight=0.5, retain_weight=2.0)
    assert build(objective, ALIGN, UNLEARN).describe() == (
        "test (embedding redirect x 1 + token masked distill x 0.5 + retain KL x 2)"
    )
    both = ObjectiveConfig(token="distill", npo_weight=0.25, retain_weight=0.0)
    assert build(both, UNLEARN).describe() == "test (token masked distill x 1 + NPO x 0.25)"
    assert build(ObjectiveConfig(token="ga", retain_weight=0.0), UNLEARN).describe() == "test (token ga x 1)"
    rmu = ObjectiveConfig(representation="rmu", representation_weight=0.5)
    assert build(rmu, UNLEARN).describe() == "test (representation rmu x 0.5 + retain KL x 1)"
