"""Before against after: changes, kept shares, and the verdict made from them."""

from __future__ import annotations

import math

import pytest

from atu.records import Score
from atu.results.comparison import checks, compare, number, signed, verdict


def scores(**values: float) -> dict[str, Score]:
    return {
        name.replace("__", "/"): Score(value=value, n=50, low=value - 5, high=value + 5)
        for name, value in values.items()
    }


BEFORE = scores(forget__all=87.0, neighbor__all=91.0, utility__gen=94.0, degenerate__forget=0.0)


@pytest.mark.parametrize(
    ("after", "judgement", "met"),
    [
        # 23/87 = 26% left, 88/91 = 97% kept, 91/94 = 97% kept.
        (scores(forget__all=23.0, neighbor__all=88.0, utility__gen=91.0, degenerate__forget=2.0),
         "Forgotten, and the rest kept", [True, True, True, True]),
        # 30/87 = 34%: a little more than a third.
        (scores(forget__all=30.0, neighbor__all=88.0, utility__gen=91.0, degenerate__forget=2.0),
         "Not forgotten", [False, True, True, True]),
        # 47/91 = 52%.
        (scores(forget__all=23.0, neighbor__all=47.0, utility__gen=91.0, degenerate__forget=2.0),
         "Forgotten, but neighbors suffered", [True, False, True, True]),
        (scores(forget__all=23.0, neighbor__all=47.0, utility__gen=71.0, degenerate__forget=2.0),
         "Forgotten, but the rest suffered", [True, False, False, True]),
        (scores(forget__all=0.0, neighbor__all=88.0, utility__gen=91.0, degenerate__forget=60.0),
         "Collapsed, which is not forgetting", [True, True, True, False]),
    ],
)  # fmt: skip
def test_verdict(after: dict[str, Score], judgement: str, met: list[bool]) -> None:
    assert verdict(BEFORE, after).en.split(": ")[0] == judgement
    assert [check.is_met for check in checks(BEFORE, after)] == met


def test_verdict_is_made_of_the_numbers() -> None:
    after = scores(forget__all=23.0, neighbor__all=88.0, utility__gen=91.0, degenerate__forget=1.6)
    assert verdict(BEFORE, after) == (
        "Forgotten, and the rest kept: forgetting 87 → 23% (26% left), neighbors 91 → 88% (97% kept), "
        "general knowledge 94 → 91% (97% kept), degenerate answers +2 points.",
        "已遗忘，其余知识保留：遗忘 87 → 23%（剩余 26%），邻近知识 91 → 88%（保留 97%），"
        "通用能力 94 → 91%（保留 97%），退化回答 +2 个百分点。",
    )


def test_what_was_not_measured_is_not_judged() -> None:
    assert verdict(BEFORE, {}).en == "Not judged: no scores before and after."
    after = scores(forget__all=23.0)
    assert verdict(BEFORE, after).en == "Forgotten, and the rest kept: forgetting 87 → 23% (26% left)."
    assert [check.is_met for check in checks(BEFORE, after)] == [True, None, None, None]


def test_collapse_is_judged_where_it_is_worst() -> None:
    before = scores(degenerate__forget=0.0, degenerate__neighbor=1.0, degenerate__utility=1.0)
    after = scores(degenerate__forget=1.0, degenerate__neighbor=1.0, degenerate__utility=9.0)
    collapse = checks(before, after)[-1]
    assert collapse.row is not None
    assert collapse.row.metric.name == "degenerate/utility"
    assert (collapse.result.en, collapse.is_met) == ("+8 points", False)


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
        (205.61, "nats × 100", "205.6", "+205.6"),
        (None, "%", "–", "–"),
        (math.nan, "%", "–", "–"),
    ],
)
def test_numbers_as_shown(value: float | None, unit: str, plain: str, with_sign: str) -> None:
    assert number(value, unit) == plain
    assert signed(value, unit) == with_sign
