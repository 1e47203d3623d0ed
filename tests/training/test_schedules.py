"""Learning rates, step by step, by hand."""

from __future__ import annotations

import pytest

from atu.training.schedules import Rate, cosine, linear, warmed_up


def rates(rate: Rate, steps: int) -> list[float]:
    return [rate(step) for step in range(steps)]


def test_it_rises_over_the_warm_up_and_stays() -> None:
    assert rates(warmed_up(0.4, 4), 6) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert rates(warmed_up(0.4, 0), 2) == [0.4, 0.4]


def test_a_cosine_falls_to_nothing_over_all_steps() -> None:
    # (1 + cos(pi s / 4)) / 2 for s = 0..4: 1, (1 + 1/sqrt 2) / 2, 1/2, (1 - 1/sqrt 2) / 2, 0; the first is warmed up
    expected = [0.5, 0.853553, 0.5, 0.146447, 0.0]
    assert rates(cosine(warmed_up(1.0, 2), 4), 5) == pytest.approx(expected, rel=1e-5, abs=1e-12)


def test_a_line_rises_and_falls_to_a_share_at_the_last_step() -> None:
    # 2 steps up to the whole rate, then 8 steps down to a tenth, in equal pieces of 0.9 / 7
    falling = [1.0 - 0.9 * step / 7 for step in range(8)]
    assert rates(linear(3.0, 10, warmup_steps=2, last=0.1), 10) == pytest.approx([1.5, 3.0, *(3 * s for s in falling)])


def test_the_only_step_of_a_line_is_its_last() -> None:
    assert linear(1.0, 1, warmup_steps=0, last=0.1)(0) == pytest.approx(0.1)
