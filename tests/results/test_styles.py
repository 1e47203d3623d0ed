"""Looks of the methods: told apart, and the same everywhere and always."""

from __future__ import annotations

from pathlib import Path

from atu.results.styles import PALETTE, method_order, method_style

TASKS = sorted(path.stem for path in (Path(__file__).parents[2] / "config" / "task").glob("unlearning_*.yaml"))


def test_every_method_of_the_project_has_a_look_of_its_own() -> None:
    styles = [method_style(task) for task in TASKS]
    assert len({style.color for style in styles}) == len(TASKS)
    assert len({style.marker for style in styles}) == len(TASKS)
    assert not {style.label for style in styles} & set(TASKS)


def test_an_unknown_method_never_looks_like_a_known_one() -> None:
    known = {(method_style(task).color, method_style(task).marker) for task in TASKS}
    for name in ("rmu", "simnpo", "", "unlearning_ATU"):
        style = method_style(name)
        assert style == method_style(name)
        assert style.color not in {color for color, _ in known}
        assert style.marker not in {marker for _, marker in known}
        assert style.label == (name or "?")
        assert style.color in PALETTE


def test_known_methods_come_first() -> None:
    assert sorted(["zzz", "unlearning_npo", "aaa", "unlearning_atu"], key=method_order) == [
        "unlearning_atu",
        "unlearning_npo",
        "aaa",
        "zzz",
    ]
