"""The stage that is shown: the last, the one at matched forgetting, or the best; the same rule for every method."""

from __future__ import annotations

import math

import pytest
from scored_runs import points, stages

from atu.errors import UserError
from atu.report.selection import Rule, parse_rule, select, value

# forget 80 -> 60 -> 20 (shares of before: 1, 0.75, 0.25), neighbor 90 -> 80 -> 60
CURVE = stages(points((80, 90), (60, 80), (20, 60)))


def test_the_last_stage_is_shown_as_it_is() -> None:
    node = select(CURVE, Rule(kind="last"))
    assert (node.label, node.position) == ("02-unlearn", 2)
    assert node.scores == CURVE[2].scores


def test_matched_forgetting_is_interpolated_between_two_stages() -> None:
    # 0.5 of 80 = 40 lies in the middle of 60 and 20, so neighbor is in the middle of 80 and 60.
    node = select(CURVE, Rule(kind="matched", level=0.5))
    assert value(node.scores, "forget/all") == pytest.approx(40)
    assert value(node.scores, "neighbor/all") == pytest.approx(70)
    assert node.position == pytest.approx(1.5)
    assert node.label == "01-unlearn + 50% of the way to 02-unlearn"


def test_an_interpolated_score_has_no_interval() -> None:
    score = select(CURVE, Rule(kind="matched", level=0.5)).scores["neighbor/all"]
    assert math.isnan(score.low)
    assert math.isnan(score.high)


def test_a_level_between_before_and_the_first_stage() -> None:
    # 0.9 of 80 = 72: (80 - 72) / (80 - 60) = 0.4 of the way, neighbor 90 - 0.4 * 10 = 86.
    node = select(CURVE, Rule(kind="matched", level=0.9))
    assert value(node.scores, "neighbor/all") == pytest.approx(86)
    assert node.position == pytest.approx(0.4)


def test_a_stage_that_stands_exactly_at_the_level_is_shown_with_its_interval() -> None:
    node = select(CURVE, Rule(kind="matched", level=0.25))
    assert node.scores == CURVE[2].scores
    assert node.position == 2


def test_the_first_crossing_counts_where_forgetting_comes_back() -> None:
    back = stages(points((80, 90), (20, 50), (60, 80), (10, 40)))
    # 0.5: between before and the first stage, (1 - 0.5) / (1 - 0.25) = 2/3 of the way; neighbor 90 - 2/3 * 40.
    node = select(back, Rule(kind="matched", level=0.5))
    assert value(node.scores, "neighbor/all") == pytest.approx(90 - 80 / 3)


def test_a_score_that_one_side_lacks_is_a_gap() -> None:
    curve = stages([{"forget/all": 80, "utility/gen": 50}, {"forget/all": 20, "neighbor/all": 60}])
    assert set(select(curve, Rule(kind="matched", level=0.5)).scores) == {"forget/all"}


@pytest.mark.parametrize(
    ("curve", "label"),
    [
        (CURVE[1:], "no forget/all before to take a share of"),
        (stages(points((0, 90), (0, 80))), "no forget/all before to take a share of"),
        (stages(points((80, 90), (60, 80))), "never at 50% of before; lowest 75%"),
        (stages([{"forget/all": 80}, {"neighbor/all": 1}, {"forget/all": 20}]), "a stage without forget/all"),
        (CURVE[:1], "no stage was scored"),
        ((), "no stage was scored"),
    ],
    ids=["no before", "nothing known", "not reached", "a hole in the curve", "before alone", "nothing"],
)
def test_where_the_level_cannot_be_found_there_is_a_gap_with_its_reason(curve: tuple, label: str) -> None:
    node = select(curve, Rule(kind="matched", level=0.5))
    assert (node.scores, node.label) == ({}, label)


def test_best_is_the_stage_with_most_neighbor_over_forget() -> None:
    # neighbor - forget: 20 at the first stage, 40 at the second.
    assert select(CURVE, Rule(kind="best")).label == "02-unlearn"
    worse_at_the_end = stages(points((80, 90), (40, 80), (20, 40)))  # 40, then 20
    assert select(worse_at_the_end, Rule(kind="best")).label == "01-unlearn"


def test_the_reference_model_is_never_the_best() -> None:
    assert select(stages(points((10, 90), (9, 20))), Rule(kind="best")).label == "01-unlearn"


def test_rules_are_written_out() -> None:
    assert str(parse_rule("last")) == "last stage of every run"
    assert "at or under 33% of before" in str(parse_rule("matched:0.33"))
    asked = str(parse_rule("best:unlearning_atu"))
    assert "asked for unlearning_atu and given to all alike" in asked
    assert "flatters every method" in asked


@pytest.mark.parametrize("level", ["", "0", "1", "1.5", "33", "-0.3", "nan", "a third", "0.0"])
def test_an_unknown_level_is_refused(level: str) -> None:
    with pytest.raises(UserError, match="is no level of forgetting: give the share"):
        parse_rule(f"matched:{level}")


@pytest.mark.parametrize("rule", ["", "first", "last:3", "Last"])
def test_an_unknown_rule_is_refused(rule: str) -> None:
    with pytest.raises(UserError, match="There is no stage rule"):
        parse_rule(rule)
