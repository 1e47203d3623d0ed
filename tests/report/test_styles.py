"""Looks of the methods: the same everywhere and always, and no two alike in one picture."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from atu.methods.terms import TERMS
from atu.report import styles as module
from atu.report.styles import PALETTE, method_order, method_style, method_styles

CONFIG = Path(__file__).parents[2] / "config"
TASKS = sorted(path.stem for path in (CONFIG / "task").glob("unlearning_*.yaml"))


def test_every_method_of_the_project_has_a_look_of_its_own() -> None:
    styles = [method_style(task) for task in TASKS]
    assert len({(style.color, style.marker) for style in styles}) == len(TASKS)
    assert len({style.label.en for style in styles}) == len(TASKS)
    assert not {style.label.en for style in styles} & set(TASKS)


def test_a_label_is_made_of_the_terms_unless_the_words_have_one() -> None:
    assert method_style("unlearning_npo").label == ("NPO + retain KL", "NPO + 保留 KL")
    assert method_style("unlearning_masked").label == ("masked distillation + retain KL", "遮蔽自蒸馏 + 保留 KL")
    assert method_style("unlearning_atu_released").label == ("ATU as released", "ATU（原发布版）")


@pytest.fixture
def own_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the tasks to which a user may add."""
    shutil.copytree(CONFIG / "task", tmp_path / "task")
    monkeypatch.setattr(module, "config_dir", lambda: tmp_path)
    module._known.cache_clear()
    yield tmp_path / "task"
    module._known.cache_clear()


def test_a_task_that_only_hydra_can_read_looks_as_an_unknown_method(own_tasks: Path) -> None:
    (own_tasks / "mine.yaml").write_text("defaults: [unlearning_npo]\nname: mine\n")
    (own_tasks / "other.yaml").write_text("name: other\nobjective: {npo: {weight: '${task.weight}'}}\n")
    (own_tasks / "empty.yaml").write_text("name: empty\nobjective: {}\n")
    assert [method_style(name).label.en for name in ("mine", "other", "empty", "unlearning_npo")] == [
        *("mine", "other", "empty", "NPO + retain KL"),
    ]


def test_tasks_of_the_same_terms_are_told_apart_by_their_names(own_tasks: Path) -> None:
    (own_tasks / "mine.yaml").write_text("name: mine\nobjective: {npo: {weight: 2.0}, retain_kl: {}}\n")
    assert [method_style(name).label.en for name in ("mine", "unlearning_npo", "unlearning_ga")] == [
        *("NPO + retain KL (mine)", "NPO + retain KL (unlearning_npo)", "GA + retain KL"),
    ]


def test_of_two_tasks_with_the_same_first_term_one_looks_as_the_term_does(own_tasks: Path) -> None:
    (own_tasks / "mine.yaml").write_text("name: mine\nobjective: {npo: {weight: 2.0}, retain_kl: {}}\n")
    npo, mine = (method_style(name) for name in ("unlearning_npo", "mine"))
    assert (npo.color, npo.marker) == TERMS["npo"].look
    assert (mine.color, mine.marker) != (npo.color, npo.marker)


def test_an_unknown_method_never_looks_like_a_known_one() -> None:
    known = [term.look for term in TERMS.values() if term.look is not None]  # a term without one gets an automatic one
    for name in ("elm", "simnpo2", "", "unlearning_ATU"):
        style = method_style(name)
        assert style == method_style(name)
        assert style.color not in {color for color, _ in known}
        assert style.marker not in {marker for _, marker in known}
        assert style.label.en == style.label.zh == (name or "?")
        assert style.color in PALETTE


def test_known_methods_come_first() -> None:
    assert sorted(["zzz", "unlearning_npo", "aaa", "unlearning_atu"], key=method_order) == [
        "unlearning_atu",
        "unlearning_npo",
        "aaa",
        "zzz",
    ]


def test_a_known_method_looks_the_same_in_any_company() -> None:
    alone = method_styles(["unlearning_npo"], {})["unlearning_npo"]
    among = method_styles(["RMU", "unlearning_npo", "unlearning_ga", "x", "y"], {})["unlearning_npo"]
    assert alone == among == method_style("unlearning_npo")


def test_no_two_of_twenty_methods_look_alike() -> None:
    styles = method_styles([f"method {i}" for i in range(20)] + ["unlearning_atu", "unlearning_ga"], {})
    assert len({(style.color, style.marker) for style in styles.values()}) == 22


def test_ours_comes_first_and_unknown_methods_last() -> None:
    methods = ["RMU", "unlearning_ga", "unlearning_atu"]
    assert list(method_styles(methods, {})) == ["unlearning_atu", "unlearning_ga", "RMU"]


def test_a_method_by_its_name_in_papers_looks_like_ours_of_that_name() -> None:
    npo, ours = method_style("NPO"), method_style("unlearning_npo")
    assert (npo.label.zh, npo.color, npo.marker) == ("NPO", ours.color, ours.marker)
    both = method_styles(["NPO", "unlearning_npo"], {})
    assert both["unlearning_npo"] == ours
    assert both["NPO"].color != ours.color
