"""The recovered share, by hand."""

from __future__ import annotations

import pytest

from atu.attacks.recovery import recovered_share


def share(before: list[float], after: list[float], attacked: list[float]) -> float | None:
    found = recovered_share(before, after, attacked, name="x", samples=500)
    return None if found is None else found.value


def test_it_is_what_came_back_over_what_was_lost() -> None:
    # Lost 8 of 10, of which 2 are back.
    before, after, attacked = [1.0] * 9 + [0.0], [1.0] + [0.0] * 9, [1.0] * 3 + [0.0] * 7
    assert share(before, after, attacked) == pytest.approx(2 / 8)
    assert share(before, after, after) == 0.0
    assert share(before, after, before) == 1.0


def test_it_is_not_clipped() -> None:
    before, after = [0.5] * 10, [0.25] * 10
    assert share(before, after, [1.0] * 10) == pytest.approx(3.0)  # (1 - 1/4) / (1/2 - 1/4)
    assert share(before, after, [0.0] * 10) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([0.4] * 10, [0.4] * 10),  # nothing lost
        ([0.4] * 10, [0.9] * 10),  # gained
        ([0.44] * 10, [0.40] * 10),  # less than 5 points
        ([1.0] * 2 + [0.0] * 8, [0.0, 0.0, 1.0] + [0.0] * 7),  # 10 points, but one row against two: chance
    ],
)
def test_without_a_loss_it_is_not_measurable_and_never_0(before: list[float], after: list[float]) -> None:
    assert share(before, after, [1.0] * 10) is None


def test_no_rows_have_no_share() -> None:
    assert share([], [], []) is None


def test_the_interval_resamples_whole_rows() -> None:
    # Every row lost 1 and got 1/2 back, so every resample says one half.
    found = recovered_share([1.0] * 6, [0.0] * 6, [0.5] * 6, name="x", samples=100)
    assert found is not None
    assert (found.low, found.value, found.high) == (0.5, 0.5, 0.5)
    # Half of the rows are back in full: the share of a resample is that of its rows, within 0..1.
    found = recovered_share([1.0] * 40, [0.0] * 40, [1.0, 0.0] * 20, name="x", samples=2000)
    assert found is not None
    # Standard error of a mean of 40 fair coins: 0.079; the interval is about twice that to each side.
    assert found.value == 0.5
    assert found.low == pytest.approx(0.5 - 1.96 * 0.079, abs=0.04)
    assert found.high == pytest.approx(0.5 + 1.96 * 0.079, abs=0.04)
