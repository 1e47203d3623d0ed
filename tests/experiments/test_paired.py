"""Two methods at matched forgetting, question by question, with numbers computed by hand."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from types import ModuleType

import pytest
from made_run import make_run

from atu.errors import UserError
from atu.records import UNFINISHED, Answer
from atu.runs.run_folder import RunFolder

__all__ = ["make_run"]


@pytest.fixture
def paired(scripts: None) -> ModuleType:
    return importlib.import_module("paired")


def answers(forget: Sequence[float], neighbor: Sequence[float], p: float = 0.5) -> list[Answer]:
    """Rows of these scores; every other forget answer is broken, and `p` is that of each neighbor."""
    groups = {"forget/qa": forget, "neighbor/qa": neighbor, "utility/gen": [1.0]}
    return [
        Answer(
            probe_id=f"{group}/{number}",
            group=group,
            prompt="?",
            text="!",
            score=score,
            degenerate=group == "forget/qa" and number % 2 == 1,
            known_before=True,
            values={"p": score if group == "forget/qa" else p},
        )
        for group, scores in groups.items()
        for number, score in enumerate(scores)
    ]


BEFORE = answers([1.0] * 4, [1.0, 1.0, 0.0, 0.0])
HALF = answers([1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], 0.3)
GONE = answers([0.0] * 4, [0.0] * 4, 0.1)


def test_a_curve_is_read_where_it_has_the_share_that_the_shallower_one_ends_at(paired: ModuleType) -> None:
    ours = paired.Curve(concept="A", seed=0, answers=[BEFORE, HALF])
    other = paired.Curve(concept="A", seed=0, answers=[BEFORE, GONE])
    assert paired.share_left(ours, "forget/all") == [1.0, 0.5]
    level = paired.deepest_common([ours, other], "forget/all")
    assert level == 0.5
    # Half of the way from before to gone: the two neighbors that were right are half right; 100 / 0.5 before each.
    halfway = paired.at_level(other, "forget/all", level, paired.neighbors_kept)
    assert halfway == {"neighbor/qa/0": 100.0, "neighbor/qa/1": 100.0, "neighbor/qa/2": 0.0, "neighbor/qa/3": 0.0}
    assert paired.at_level(other, "forget/all", level, paired.neighbor_p)["neighbor/qa/0"] == pytest.approx(0.3)
    found = paired.gaps(ours, other, "forget/all", level, paired.neighbors_kept)
    assert found == {"neighbor/qa/0": 100.0, "neighbor/qa/1": -100.0, "neighbor/qa/2": 0.0, "neighbor/qa/3": 0.0}


def test_the_means_over_questions_are_the_scores(paired: ModuleType) -> None:
    kept = paired.neighbors_kept(BEFORE, HALF)
    assert sum(kept.values()) / len(kept) == 50.0  # one right of the two before
    assert sum(paired.broken(BEFORE, HALF).values()) / 4 == 50.0
    thought = [
        Answer(
            probe_id="x",
            group="neighbor/qa",
            prompt="?",
            text="",
            score=1.0,
            degenerate=False,
            values={UNFINISHED: 1.0},
        )
    ]
    assert paired.neighbors_kept(BEFORE, [*HALF, *thought]) == kept  # counts for no score


def test_questions_and_seeds_are_drawn_anew(paired: ModuleType) -> None:
    """A question that differs in the same way with each seed is one observation, not three."""
    values = {str(i): float(i % 2) for i in range(40)}
    one, three = paired.mean_gap([values]), paired.mean_gap([values] * 3)
    assert one.value == three.value == 0.5
    # The standard error of a mean of 40 coins is 0.079.
    assert (one.low, one.high) == pytest.approx((0.5 - 1.96 * 0.079, 0.5 + 1.96 * 0.079), abs=0.03)
    assert (three.low, three.high) == pytest.approx((one.low, one.high), abs=0.03)
    # Seeds that disagree by themselves: all of the spread is theirs.
    apart = paired.mean_gap([dict.fromkeys(values, gap) for gap in (0.0, 1.0)])
    assert (apart.value, apart.low, apart.high) == (0.5, 0.0, 1.0)
    assert math.isnan(paired.mean_gap([{}]).value)
    assert paired.mean_gap([{"a": 1.0, "b": 3.0}, {"a": 2.0}]).value == 1.5  # b is not there with each seed


def test_a_question_of_several_concepts_counts_once(paired: ModuleType) -> None:
    assert paired.pooled([{"general": 1.0, "a": 2.0}, {"general": 3.0, "b": 4.0}]) == {
        "general": 2.0,
        "a": 2.0,
        "b": 4.0,
    }


def test_the_table_has_a_line_for_each_concept_and_one_for_all(paired: ModuleType) -> None:
    def curves(last: list[Answer]) -> list[object]:
        return [paired.Curve(concept=c, seed=s, answers=[BEFORE, last]) for c in "AB" for s in (0, 1)]

    lines = paired.table(curves(HALF), curves(GONE)).splitlines()
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        [f"| {label}", name, left, "2"]
        for name in ("forget/all", "p/forget@known")
        for label, left in (("A", "50%"), ("B", "50%"), ("all 2", "50% / 50%"))
    ]
    assert lines[2].endswith("| 0.0 (0.0 to 0.0) | 0.000 (0.000 to 0.000) | 0.000 (0.000 to 0.000) |")
    old = [
        paired.Curve(
            concept="A",
            seed=0,
            answers=[[Answer(**{**vars(a), "values": {}}) for a in rows] for rows in (BEFORE, HALF)],
        )
    ]
    assert paired.table(old, old).splitlines()[2:] == [  # p can neither match nor be compared
        "| A | forget/all | 50% | 1 | 0.0 (0.0 to 0.0) | 0.0 (0.0 to 0.0) | – | – |"
    ]


def test_methods_without_a_run_of_the_same_are_refused(paired: ModuleType) -> None:
    one, two = (paired.Curve(concept="A", seed=seed, answers=[BEFORE, HALF]) for seed in (0, 1))
    with pytest.raises(UserError, match="no concept and seed in common"):
        paired.table([one], [two])
    with pytest.raises(UserError, match="same concept and seed"):
        paired.table([one, one], [one])


def test_a_run_is_read_from_its_folder(paired: ModuleType, make_run: Callable[..., RunFolder]) -> None:
    curve = paired.read_curve(make_run().root)
    assert (curve.concept, curve.seed, len(curve.answers)) == ("William Shakespeare", 0, 3)
    with pytest.raises(UserError, match="before and after"):
        paired.read_curve(make_run(name="begun", num_stages=1).root)
