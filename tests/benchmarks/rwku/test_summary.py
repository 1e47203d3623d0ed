"""RWKU's scores from answers, by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from atu.benchmarks.metrics import describe, known_names
from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.rows import ATTACK_TYPES
from atu.benchmarks.rwku.summary import corrected_scores, released_scores
from atu.records import Answer


def row(number: int, group: str, score: float, attack: str = "", **values: float) -> Answer:
    return Answer(
        probe_id=f"rwku/1_X/{group}/{number}",
        group=group,
        prompt="?",
        text="x",
        score=score,
        degenerate=number == 0,
        attack=attack,
        values={"f1": score / 2, "recall": score, **values},
    )


FORGET = [
    row(0, "forget/fb", 1.0),
    row(1, "forget/fb", 0.0),
    row(0, "forget/qa", 0.5),
    row(0, "forget/aa", 1.0, attack="role play"),
    row(1, "forget/aa", 0.0, attack="cross lingual (French)"),
    row(2, "forget/aa", 0.5, attack="cross lingual"),
]


def test_all_by_published_weights_and_by_own_counts() -> None:
    """Means 0.5, 0.5, 0.5 would hide a swap, so: 0.5, 0.5 and 0.5 pooled 3 of 6, and weighted on changed rows."""
    rows = [*FORGET[:2], row(0, "forget/qa", 0.0), *FORGET[3:]]
    weighted = 100 * (3268 * 0.5 + 2879 * 0.0 + 6984 * 0.5) / 13131
    released, corrected = (score(rows, samples=50) for score in (released_scores, corrected_scores))
    assert released["forget/all"].value == corrected["forget/all_fixed"].value == pytest.approx(weighted)
    assert released["forget/all_own"].value == corrected["forget/all"].value == pytest.approx(100 * 2.5 / 6)
    for name in ("forget/all", "forget/all_own"):
        assert released[name].low <= released[name].value <= released[name].high
        assert released[name].n == 6


def test_a_missing_level_has_no_weighted_mean() -> None:
    assert "forget/all" not in released_scores(FORGET[:3], samples=5)
    assert "forget/all_fixed" not in corrected_scores(FORGET[:3], samples=5)


def test_attacks_and_languages_stand_by_themselves() -> None:
    for scores in (released_scores(FORGET, samples=5), corrected_scores(FORGET, samples=5)):
        assert (scores["attack/role_play"].value, scores["attack/role_play"].n) == (100.0, 1)
        assert (scores["attack/cross_lingual"].value, scores["attack/cross_lingual"].n) == (25.0, 2)
        assert (scores["language/French"].value, scores["language/French"].n) == (0.0, 1)
        assert [name for name in scores if name.startswith("language/")] == ["language/French"]


def test_degenerate_answers_are_counted_by_group() -> None:
    scores = corrected_scores(FORGET, samples=5)
    assert scores["degenerate/forget_fb"].value == 50.0
    assert scores["degenerate/forget_qa"].value == 100.0
    assert scores["degenerate/forget"].value == pytest.approx(50.0)


def test_f1_stands_beside_recall() -> None:
    scores = corrected_scores(FORGET, samples=5)
    assert scores["forget/qa"].value == 50.0
    assert scores["forget/qa_f1"].value == 25.0


def text(number: int, group: str, loss: float) -> Answer:
    return row(number, group, -loss, **{"loss": loss, "zlib": -loss / 100, "mink_0.2": -loss, "mink++_0.2": loss})


def test_membership_as_means_and_as_auc() -> None:
    """Released: two means, whose gap says nothing of single texts. Corrected: the chance of a right guess."""
    rows = [text(0, "mia/fm", 3.0), text(1, "mia/fm", 1.0), text(0, "mia/rt", 2.0), text(1, "mia/rt", 4.0)]
    released, corrected = (score(rows, samples=50) for score in (released_scores, corrected_scores))
    assert (released["mia/fm"].value, released["mia/rt"].value) == (200.0, 300.0)
    assert released["mia/fm_mink"].value == -2.0
    assert (corrected["mia/fm"].value, corrected["mia/rt"].value) == (2.0, 3.0)
    # LOSS scores forget -3, -1 against retain -2, -4: won are (-3, -4), (-1, -2), (-1, -4): 3 of 4.
    assert corrected["mia/auc_loss"].value == corrected["mia/auc_zlib"].value == 75.0
    assert corrected["mia/auc_mink"].value == 75.0
    assert corrected["mia/auc_mink++"].value == 25.0
    assert corrected["mia/auc_loss"].low <= 75.0 <= corrected["mia/auc_loss"].high


def test_the_auc_of_two_equal_sets_is_half_although_outliers_move_the_means() -> None:
    """The defect of the means: one odd text makes the sets look apart."""
    rows = [text(n, group, loss) for group in ("mia/fm", "mia/rt") for n, loss in enumerate((2.0, 3.0))]
    odd = [*rows[:-1], text(1, "mia/rt", 30.0)]
    assert released_scores(odd, samples=5)["mia/rt"].value == 1600.0
    assert released_scores(rows, samples=5)["mia/rt"].value == 250.0
    assert corrected_scores(rows, samples=5)["mia/auc_loss"].value == 50.0
    assert corrected_scores(odd, samples=5)["mia/auc_loss"].value == 62.5  # one of four ties becomes a win


def test_a_nan_of_the_released_code_stays_one() -> None:
    truthful = row(0, "utility/tru", 0.0, choice=0.0, mc2=math.nan)
    score = released_scores([truthful], samples=5)["utility/tru_mc2"]
    assert math.isnan(score.value)
    assert math.isnan(score.low)


def test_every_score_has_a_name_that_is_known_and_described() -> None:
    """A name that a file written by hand may use, and that no table shows as a number without a description."""
    numbers = {"loss": 1.0, "zlib": 1.0, **{f"{name}_0.2": 1.0 for name in ("mink", "mink++")}}
    values = dict.fromkeys(("exact", "exact_fixed", "mc2"), 1.0)
    rows = [
        row(number, group, 1.0, attack=attack, **values, **(numbers if group.startswith("mia/") else {}))
        for group in RwkuBenchmark.groups
        for number, attack in enumerate((*ATTACK_TYPES, "cross lingual (French)"))
    ]
    rows = [replace(answer, known_before=True) for answer in rows]
    names = {*released_scores(rows, samples=2), *corrected_scores(rows, samples=2)}
    assert len(names) > 60
    assert names <= known_names()
    assert all(describe(name).unit for name in names)
