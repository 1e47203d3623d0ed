"""What a task may be made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from atu.errors import UserError
from atu.methods.config import StageConfig, TaskConfig, TrainingModule
from atu.methods.old_keys import refuse_old_keys
from atu.methods.terms import TERMS, Need, Term
from atu.methods.terms.distill import Distill
from atu.methods.terms.dpo import Dpo
from atu.methods.terms.enpo import Enpo
from atu.methods.terms.ga import Ga
from atu.methods.terms.npo import Npo
from atu.methods.terms.push import Push
from atu.methods.terms.redirect import Redirect
from atu.methods.terms.retain_kl import RetainKl
from atu.methods.terms.rmu import Rmu
from atu.methods.terms.simnpo import Simnpo
from atu.methods.terms.undial import Undial
from atu.typed import from_mapping

ALIGN, UNLEARN = StageConfig(type="training", steps=5), StageConfig(type="unlearning", steps=5)
PUSH: dict[str, Term] = {"push": Push(), "retain_kl": RetainKl()}
GA: dict[str, Term] = {"ga": Ga(), "retain_kl": RetainKl()}


def build(objective: Mapping[str, Term], *stages: StageConfig, **more: Any) -> TaskConfig:
    return TaskConfig(name="test", objective=objective, stages=stages, **more)


def test_the_stages_must_fit_the_terms() -> None:
    build(PUSH, ALIGN, UNLEARN)
    build(PUSH, StageConfig(type="training", steps=0), ALIGN, UNLEARN)
    build(GA, UNLEARN)


def test_without_a_term_that_reads_the_predictor_align_stages_are_left_out() -> None:
    later = StageConfig(type="unlearning", steps=3)
    task = build(GA, ALIGN, UNLEARN, ALIGN, later)
    assert task.schedule == (UNLEARN, later)
    assert (task.last_unlearning_stage, task.unlearning_steps) == (1, UNLEARN.steps + 3)
    assert task.unlearning_steps_before(1) == UNLEARN.steps
    assert build(PUSH, ALIGN, UNLEARN).schedule == (ALIGN, UNLEARN)


@pytest.mark.parametrize(
    ("objective", "stages", "message"),
    [
        (PUSH, (), "stages has no unlearning stage"),
        (PUSH, (ALIGN,), "stages has no unlearning stage"),
        (PUSH, (UNLEARN,), "needs a trained predictor"),
        (PUSH, (UNLEARN, ALIGN), "needs a trained predictor"),
        (PUSH, (StageConfig(type="training", steps=0), UNLEARN, ALIGN), "needs a trained predictor"),
    ],
)
def test_stages_that_do_not_fit(objective: Mapping[str, Term], stages: tuple[StageConfig, ...], message: str) -> None:
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
        (RetainKl, {"weight": -0.1}, "weight must not be negative"),
        (Npo, {"beta": 0.0}, "beta must be positive"),
        (Push, {"threshold_percentile": 101.0}, r"must lie in \[0, 100\]"),
        (Simnpo, {"gamma": -0.1}, "gamma must not be negative"),
        (Simnpo, {"gamma": float("nan")}, "gamma must not be negative"),
        (Dpo, {"beta": -1.0}, "beta must be positive"),
        (Enpo, {"beta": 0.0}, "beta must be positive"),
        (Rmu, {"steering": 0.0}, "steering must be positive"),
        (Undial, {"gamma": 0.0}, "gamma must be positive"),
        (Distill, {"teacher": "bounded", "margin": -1.0}, "margin must not be negative"),
        (Distill, {"margin": 2.0}, "margin=2 has no effect with teacher=masked: set teacher=bounded"),
    ],
)
def test_a_value_out_of_range(cls: type, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cls(**values)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({}, "objective has no term that forgets"),
        ({"retain_kl": RetainKl()}, "objective has no term that forgets"),
        ({"ga": Ga(weight=0.0), "retain_kl": RetainKl()}, "objective has no term that forgets"),
        (
            {"push": Push(positions="all"), "ga": Ga()},
            "objective.push.positions=all reads padding as text, which no other term may: leave out the others of "
            "push, ga, or set it to windows",
        ),
        ({"push": Push(positions="all"), "retain_kl": RetainKl()}, "leave out the others of push, retain_kl"),
    ],
)
def test_terms_that_do_not_fit(objective: dict[str, Term], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(objective, ALIGN, UNLEARN)


def test_a_term_of_weight_zero_is_as_if_it_were_not_there() -> None:
    built = build({"retain_kl": RetainKl(weight=0.0), "push": Push(weight=0.0), "npo": Npo()}, UNLEARN)
    assert list(built.terms) == ["npo"]
    assert not built.aligns
    build({"push": Push(positions="all"), "retain_kl": RetainKl(weight=0.0)}, ALIGN, UNLEARN)


def test_terms_are_summed_up_in_the_order_of_the_table_whatever_the_yaml_has() -> None:
    built = build({"retain_kl": RetainKl(), "npo": Npo(), "redirect": Redirect()}, ALIGN, UNLEARN)
    assert list(built.terms) == ["redirect", "npo", "retain_kl"]


def test_terms_on_retain_texts_come_last_when_the_logits_of_the_others_are_no_longer_kept() -> None:
    texts = [term.texts == "retain" for term in TERMS.values()]
    assert texts == sorted(texts)


def test_a_task_needs_what_its_terms_need_and_nothing_else() -> None:
    assert build({"dpo": Dpo(), "retain_kl": RetainKl()}, UNLEARN).needs == (
        Need.LOGITS
        | Need.INSTEAD
        | Need.RETAIN
        | Need.REFERENCE_LOGITS
        | Need.REFERENCE_INSTEAD
        | Need.REFERENCE_RETAIN
    )
    assert build({"rmu": Rmu(adaptive=False)}, UNLEARN).needs == Need.HOOK


@pytest.mark.parametrize("cls", TERMS.values(), ids=list(TERMS))
def test_a_term_says_what_it_is_in_both_languages(cls: type[Term]) -> None:
    term = cls()
    assert all(0 < len(words) < 40 for words in term.label)
    assert term.sentence.en.endswith(".")
    assert term.sentence.zh.endswith("。")
    assert cls.__module__ == f"atu.methods.terms.{next(name for name, known in TERMS.items() if known is cls)}"


def test_only_push_has_a_tau() -> None:
    stages = (ALIGN, StageConfig(type="unlearning", steps=1, threshold=0.5))
    build(PUSH, *stages)
    with pytest.raises(UserError, match="stages has a threshold"):
        build({"redirect": Redirect()}, *stages)


def test_the_ends_of_the_range_of_tau_are_allowed() -> None:
    for tau in (-1.0, 1.0):
        assert StageConfig(type="unlearning", steps=0, threshold=tau).threshold == tau


@pytest.mark.parametrize(
    ("term", "is_blind"),
    [(Redirect(), True), (Distill(teacher="bounded"), True), (Distill(), False), (Undial(), False), (Push(), False)],
)
def test_only_terms_that_compare_with_a_blind_model_need_one(term: Term, is_blind: bool) -> None:
    assert bool(Need.BLIND & term.needs) is is_blind


def test_a_task_says_what_it_is_made_of() -> None:
    ours = {"redirect": Redirect(), "distill": Distill(teacher="bounded", weight=0.5), "retain_kl": RetainKl(weight=2)}
    assert build(ours, ALIGN, UNLEARN).describe() == (
        "test (redirection x 1 + bounded distillation x 0.5 + retain KL x 2)"
    )
    both = {"distill": Distill(), "npo": Npo(weight=0.25, skip_end=True)}
    assert build(both, UNLEARN).describe() == "test (masked distillation x 1 + NPO x 0.25)"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"npoo": {}}, "Unknown key 'task.objective.npoo'. Known in task.objective: "),
        (
            {"npo": {"gamma": 1.0}},
            "Unknown key 'task.objective.npo.gamma'. Known in task.objective.npo: beta, skip_end, weight.",
        ),
        ({"npo": {"beta": -1.0}}, "task.objective.npo: beta must be positive."),
        ({"npo": {"beta": "x"}}, "task.objective.npo.beta: expected a number, got 'x'."),
        ({"distill": {"teacher": "undial"}}, "task.objective.distill.teacher: 'undial' is not one of masked, bounded."),
        ({"npo": None}, "task.objective.npo: expected keys and values, got None."),
        (3, "task.objective: expected keys and values, got 3."),
    ],
)
def test_what_is_wrong_with_an_objective_is_said_in_one_line(data: object, message: str) -> None:
    mapping = {"name": "test", "objective": data, "stages": [{"type": "unlearning", "steps": 1}]}
    with pytest.raises(UserError) as error:
        from_mapping(TaskConfig, mapping, "task")
    assert str(error.value).startswith(message)


def test_an_objective_is_read_by_the_names_of_its_terms() -> None:
    mapping = {
        "name": "test",
        "objective": {"npo": {"beta": 1}, "ga": {}},
        "stages": [{"type": "unlearning", "steps": 1}],
    }
    assert from_mapping(TaskConfig, mapping, "task").objective == {"npo": Npo(beta=1.0), "ga": Ga()}


def test_an_old_key_is_answered_with_the_new_one() -> None:
    refuse_old_keys(["task.objective.npo.beta", "task.stop.retain_kl", "beta"])
    with pytest.raises(UserError, match=r"^task.objective.retain_weight is now task.objective.retain_kl.weight.$"):
        refuse_old_keys(["task.name", "task.objective.retain_weight"])
