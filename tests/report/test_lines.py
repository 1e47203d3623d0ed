"""The curves of the figures: what a mean line is made of, and where the shown point lies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from scored_runs import points, record

from atu.records import RunRecord
from atu.report.collect import Collection
from atu.report.figures import draw_figures
from atu.report.lines import Line, mean_lines, run_lines, target_dashes
from atu.report.selection import parse_rule
from atu.report.study import Study, build_study

ATU, GA = "unlearning_atu", "unlearning_ga"


def study(runs: Sequence[RunRecord], rule: str = "last") -> Study:
    return build_study(Collection(runs=tuple(runs)), rule=parse_rule(rule), scoring="corrected", names={})


def only(lines: Sequence[Line]) -> Line:
    (line,) = lines
    return line


def test_a_run_is_drawn_from_before_to_its_last_stage() -> None:
    line = only(run_lines(study([record(points((80, 90), (60, 80), (20, 60)))])))
    assert line.points["stage"] == [0, 1, 2]
    assert line.points["forget/all"] == [80, 60, 20]
    assert line.points["neighbor/all"] == [90, 80, 60]
    assert line.shown["stage"].value == 2
    assert line.shown["neighbor/all"].value == 60


def test_the_shown_point_of_matched_forgetting_lies_on_the_line() -> None:
    line = only(run_lines(study([record(points((80, 90), (60, 80), (20, 60)))], "matched:0.5")))
    at = {name: estimate.value for name, estimate in line.shown.items()}
    assert at == {"stage": 1.5, "forget/all": 40, "neighbor/all": 70, "utility/gen": 80}


def test_a_run_without_before_has_a_gap_there() -> None:
    run = record(points((80, 90), (20, 60)))
    late = RunRecord(**{**vars(run), "stages": {"corrected": run.stages["corrected"][1:]}})
    line = only(run_lines(study([late])))
    assert math.isnan(line.points["forget/all"][0])
    assert line.points["forget/all"][1] == 20


def test_a_mean_line_averages_seeds_then_targets() -> None:
    # Japan: seeds 20 and 40, so 30; Egypt 60: mean 45. Before: 80 everywhere.
    runs = [
        record(points((80, 90), (f, 60)), target=t, seed=s) for t, s, f in (("J", 0, 20), ("J", 1, 40), ("E", 0, 60))
    ]
    line = only(mean_lines(study(runs)))
    assert line.points["forget/all"] == [80, 45]
    assert line.shown["forget/all"].value == 45
    # Two targets, 30 and 60: standard error 15, t(0.975, 1) = 12.7062.
    assert line.shown["forget/all"].high == pytest.approx(45 + 15 * 12.7062, abs=1e-3)


def test_a_run_that_stopped_counts_with_its_last_stage_from_then_on() -> None:
    runs = [record(points((80, 90), (20, 60)), target="A"), record(points((80, 90), (60, 80), (40, 70)), target="B")]
    line = only(mean_lines(study(runs)))
    # Without holding A at 20 the mean would rise from 40 to B's 40 alone, by a change of targets.
    assert line.points["forget/all"] == [80, 40, 30]


def test_a_mean_point_without_all_targets_is_a_gap() -> None:
    runs = [
        record(points((80, 90), (20, 60)), target="A"),
        record([{"forget/all": 80}, {"forget/all": 60}], target="B"),
    ]
    line = only(mean_lines(study(runs)))
    assert line.points["forget/all"] == [80, 40]
    assert all(map(math.isnan, line.points["neighbor/all"]))
    assert math.isnan(line.shown["neighbor/all"].value)


def test_dashes_stand_for_targets_while_there_are_few() -> None:
    curve = points((80, 90), (20, 60))
    few = study([record(curve, target=target) for target in "AB"])
    assert target_dashes(few) == {"A": "-", "B": "--"}
    assert [line.label for line in run_lines(few)] == ["ATU", "ATU"]
    many = study([record(curve, target=target) for target in "ABCDE"])
    assert target_dashes(many) == {}


def test_variants_of_a_method_share_a_color_and_differ_in_dashes() -> None:
    curve = points((80, 90), (20, 60))
    runs = [record(curve, layer=layer, name=str(layer)) for layer in (0.4, 0.8)] + [record(curve, GA)]
    ours, other, ga = run_lines(study(runs))
    assert (ours.style, ours.dashes, other.dashes) == (other.style, "-", "--")
    assert (ours.layer, other.layer, ga.layer) == (0.4, 0.8, None)
    assert ga.dashes == "-"
    assert ga.style.color != ours.style.color


def test_a_line_in_a_row_of_its_own_is_named_by_target_and_seed() -> None:
    runs = [record(points((80, 90), (20, 60)), target="Ancient_Egypt", seed=seed) for seed in (0, 1)]
    assert [line.row for line in run_lines(study(runs))] == ["ATU, Ancient Egypt, seed 0", "ATU, Ancient Egypt, seed 1"]
    assert only(mean_lines(study(runs))).row == "ATU"


def test_stages_are_a_line_chart_only_where_a_run_has_two_of_them() -> None:
    short = [record(points((80, 90), (20, 60)), method) for method in (ATU, GA)]
    (axes,) = draw_figures(study(short), is_aggregate=False)["figure6_forget_over_stages"].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [line.row for line in run_lines(study(short))]
    longer = [*short, record(points((80, 90), (50, 80), (20, 60)), target="Japan")]
    (axes,) = draw_figures(study(longer), is_aggregate=False)["figure6_forget_over_stages"].axes
    assert axes.get_xlabel() == "number of unlearn stages"
