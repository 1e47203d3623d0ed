"""The comparison at matched forgetting, from the rows of runs."""

from __future__ import annotations

import importlib
import math
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def summary(scripts: None) -> ModuleType:
    return importlib.import_module("summary")


def point(forget: float, neighbor: float, minutes: float) -> dict[str, float]:
    return {
        "forget/all": forget,
        "neighbor/all": neighbor,
        "utility/gen": 80 + neighbor / 10,
        "nll/neighbor@known": 1 - neighbor / 100,
        "p/forget@known": forget / 100,
        "p/neighbor@known": neighbor / 100,
        "degenerate/forget": 10.0,
        "minutes": minutes,
    }


def run(method: str, concept: str, *curve: dict[str, float], seed: int = 0) -> dict[str, Any]:
    head = {"method": method, "concept": concept, "seed": seed, "config_hash": f"of {concept}"}
    return {**head, "before": point(80, 50, 0), "curve": list(curve)}


def row(rows: list[dict[str, Any]], method: str, level: float | str) -> dict[str, Any]:
    (found,) = (row for row in rows if row["method"] == method and row["forget_level"] == level)
    return found


def test_scores_are_read_where_the_curve_crosses_the_level(summary: ModuleType) -> None:
    # From 80 to 20 half of before (40) lies two thirds of the way: neighbor 50 → 35 is 40 there, minutes 0 → 3 are 2.
    found = row(summary.summarize("t", [run("unlearning_atu", "A", point(20, 35, 3))]), "unlearning_atu", 0.5)
    assert found["neighbor_kept"]["value"] == pytest.approx(0.8)
    assert found["minutes"]["value"] == pytest.approx(2.0)
    assert found["utility_change"]["value"] == pytest.approx(-1.0)
    assert found["perplexity_ratio"]["value"] == pytest.approx(math.exp(0.1), abs=1e-4)
    assert found["forget_p_left"]["value"] == pytest.approx(0.5)
    assert found["neighbor_p_kept"]["value"] == pytest.approx(0.8)
    assert found["utility_p_kept"]["value"] is None  # of runs that have none
    assert found["degenerate_share"]["value"] == pytest.approx(0.1)
    assert (found["concepts"], found["reached"]) == (1, 1)
    assert found["neighbor_kept"]["low"] is None  # one concept has no interval


def test_at_the_end_every_run_counts(summary: ModuleType) -> None:
    runs = [
        run("unlearning_atu", "A", point(60, 45, 1), point(20, 35, 3)),
        run("unlearning_atu", "B", point(60, 40, 3)),
    ]
    found = row(summary.summarize("t", runs), "unlearning_atu", "end")
    assert (found["concepts"], found["reached"]) == (2, 2)
    assert found["forget_left"]["value"] == pytest.approx((0.25 + 0.75) / 2)
    assert found["neighbor_kept"]["value"] == pytest.approx((0.7 + 0.8) / 2)
    assert found["minutes"]["value"] == pytest.approx(3.0)


def attack(concept: str, recovered: float | None, name: str = "relearn") -> dict[str, Any]:
    low, high = (None, None) if recovered is None else (recovered - 0.1, recovered + 0.1)
    head = {"method": "unlearning_atu", "concept": concept, "config_hash": f"of {concept}", "attack": name}
    return {**head, "recovered": recovered, "low": low, "high": high}


def test_what_relearning_brought_back_stands_behind_the_last_stage(summary: ModuleType) -> None:
    runs = [run("unlearning_atu", "A", point(20, 35, 3))]
    rows = summary.summarize("t", runs, [attack("A", 0.4), attack("B", None), attack("A", 0.9, "prompt")])
    found = row(rows, "unlearning_atu", "end")
    assert found["relearned_share"] == {"value": 0.4, "low": 0.3, "high": 0.5}
    assert found["relearned_concepts"] == 1
    assert row(rows, "unlearning_atu", 0.5)["relearned_share"] is None
    more = [*runs, run("unlearning_atu", "B", point(20, 35, 3))]
    of_other_settings = {**attack("B", 0.9), "config_hash": "of B with another rate"}
    attacked = [attack("A", 0.4), attack("B", 0.6), of_other_settings]
    both = row(summary.summarize("t", more, attacked), "unlearning_atu", "end")
    assert (both["relearned_share"]["value"], both["relearned_concepts"]) == (0.5, 2)


def test_a_benchmark_without_general_facts_has_no_utility(summary: ModuleType) -> None:
    one = run("unlearning_atu", "A", point(20, 35, 3))
    for scores in (one["before"], *one["curve"]):
        del scores["utility/gen"]
    found = row(summary.summarize("t", [one]), "unlearning_atu", 0.5)
    assert found["utility_change"]["value"] is None
    assert found["neighbor_kept"]["value"] == pytest.approx(0.8)


def test_every_concept_belongs_to_one_group(summary: ModuleType) -> None:
    grouped = [(testbed.name, concept) for testbed, concepts in summary.GROUPS.values() for concept in concepts]
    comparison = importlib.import_module("comparison")
    # TOFU is judged against a gold model, and has no `forget/all`.
    testbeds = [testbed for testbed in comparison.TESTBEDS.values() if testbed is not comparison.TOFU]
    assert sorted(grouped) == sorted((testbed.name, concept) for testbed in testbeds for concept in testbed.concepts)


def test_a_level_that_is_not_reached_has_no_number(summary: ModuleType) -> None:
    runs = [run("unlearning_atu", "A", point(20, 35, 3)), run("unlearning_atu", "B", point(60, 50, 3))]
    found = row(summary.summarize("t", runs), "unlearning_atu", 0.5)
    assert (found["concepts"], found["reached"]) == (2, 1)
    assert found["neighbor_kept"]["value"] == pytest.approx(0.8)  # of the concept that got there
    assert row(summary.summarize("t", runs), "unlearning_atu", 0.1)["neighbor_kept"]["value"] is None


def test_a_concept_counts_once_and_methods_are_compared_on_those_that_both_have(summary: ModuleType) -> None:
    runs = [
        run("unlearning_atu", "A", point(40, 50, 1)),
        run("unlearning_atu", "A", point(40, 40, 1), seed=1),  # A: kept 1.0 and 0.8, mean 0.9
        run("unlearning_npo", "A", point(40, 25, 1)),  # 0.5
        run("unlearning_npo", "B", point(40, 50, 1)),
    ]
    rows = summary.summarize("t", runs)
    assert row(rows, "unlearning_atu", 0.5)["neighbor_kept"]["value"] == pytest.approx(0.9)
    assert row(rows, "unlearning_npo", 0.5)["neighbor_kept"]["value"] == pytest.approx(0.75)
    assert row(rows, "unlearning_npo", 0.5)["neighbor_kept_ours_minus_this"]["value"] == pytest.approx(0.4)


def test_asking_to_forget_has_no_curve_and_stands_at_the_end(summary: ModuleType) -> None:
    rows = summary.summarize("t", [run("unlearning_atu", "A", point(20, 35, 3)), run("icu", "A", point(20, 25, 0))])
    assert [found["forget_level"] for found in rows if found["method"] == "icu"] == ["end"]
    assert row(rows, "icu", "end")["neighbor_kept_ours_minus_this"]["value"] == pytest.approx(0.2)
