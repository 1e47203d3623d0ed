"""Before against after: changes, kept shares, and goals."""

from __future__ import annotations

import math

import pytest

from atu.benchmarks.comparison import checks, compare, number, signed
from atu.records import Score


def scores(**values: float) -> dict[str, Score]:
    return {
        name.replace("__", "/"): Score(value=value, n=50, low=value - 5, high=value + 5)
        for name, value in values.items()
    }


BEFORE = scores(forget__all=87.0, neighbor__all=91.0, utility__gen=94.0, degenerate__forget=0.0)


@pytest.mark.parametrize(
    ("after", "met"),
    [
        # 23/87 = 26% left, 88/91 = 97% kept, 91/94 = 97% kept.
        (scores(forget__all=23.0, neighbor__all=88.0, utility__gen=91.0, degenerate__forget=2.0), [True] * 4),
        # 30/87 = 34%: a little more than a third.
        (scores(forget__all=30.0, neighbor__all=88.0, utility__gen=91.0, degenerate__forget=2.0),
         [False, True, True, True]),
        # 47/91 = 52%.
        (scores(forget__all=23.0, neighbor__all=47.0, utility__gen=71.0, degenerate__forget=2.0),
         [True, False, False, True]),
        (scores(forget__all=0.0, neighbor__all=88.0, utility__gen=91.0, degenerate__forget=60.0),
         [True, True, True, False]),
        (scores(forget__all=23.0), [True, None, None, None]),
    ],
)  # fmt: skip
def test_each_goal_is_met_by_its_number(after: dict[str, Score], met: list[bool | None]) -> None:
    assert [check.is_met for check in checks(BEFORE, after)] == met


def test_a_share_near_its_goal_is_not_rounded_across_it() -> None:
    """81.5 / 91 = 89.56%, which is no 90; 82 / 91 = 90.1%. 29.2 / 87 = 33.56%, more than a third; 28.8 / 87 = 33.1%."""
    near = checks(BEFORE, scores(forget__all=29.2, neighbor__all=81.5))[:2]
    assert [(check.kept, check.is_met) for check in near] == [("34", False), ("89.6", False)]
    assert near[1].result.en == "91 → 82% (89.6% kept)"
    reached = checks(BEFORE, scores(forget__all=28.8, neighbor__all=82.0))[:2]
    assert [(check.kept, check.is_met) for check in reached] == [("33", True), ("90", True)]


def test_degenerate_answers_are_judged_where_they_rose_most() -> None:
    before = scores(degenerate__forget=0.0, degenerate__neighbor=1.0, degenerate__utility=1.0)
    after = scores(degenerate__forget=1.0, degenerate__neighbor=1.0, degenerate__utility=9.0)
    check = checks(before, after)[-1]
    assert check.row is not None
    assert check.row.metric.name == "degenerate/utility"
    assert (check.result.en, check.is_met) == ("+8 points", False)


def test_rows_keep_gaps() -> None:
    rows = compare(scores(forget__qa=80.0, old__one=1.0), {**scores(forget__qa=20.0), **scores(new__one=2.0)})
    assert [(row.metric.name, row.change, row.kept) for row in rows] == [
        ("forget/qa", -60.0, 25.0),
        ("new/one", None, None),
        ("old/one", None, None),
    ]
    assert rows[0].is_better is True


def test_no_number_is_a_gap_and_nothing_known_keeps_nothing() -> None:
    rows = compare(scores(forget__qa=math.nan, neighbor__qa=0.0), scores(forget__qa=20.0, neighbor__qa=0.0))
    assert rows[0].before is None
    assert rows[0].change is None
    assert rows[1].kept is None
    assert rows[1].is_better is None


@pytest.mark.parametrize(
    ("value", "unit", "plain", "with_sign"),
    [
        (12.34, "%", "12.3", "+12.3"),
        (-12.34, "%", "-12.3", "−12.3"),
        (0.04, "%", "0.0", "0.0"),
        (-0.04, "%", "-0.0", "0.0"),
        (0.5304, "nats/token", "0.530", "+0.530"),
        (0.0004, "", "4e-04", "+4e-04"),
        (1.2e-25, "", "1e-25", "+1e-25"),
        (0.0, "", "0.000", "0.000"),
        (0.0004, "nats/token", "0.000", "0.000"),
        (205.61, "nats × 100", "205.6", "+205.6"),
        (None, "%", "–", "–"),
        (math.nan, "%", "–", "–"),
    ],
)
def test_numbers_as_shown(value: float | None, unit: str, plain: str, with_sign: str) -> None:
    assert number(value, unit) == plain
    assert signed(value, unit) == with_sign
