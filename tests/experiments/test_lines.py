"""The line of each run, from run folders made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from made_run import make_run

from atu.runs.run_folder import RunFolder

__all__ = ["make_run"]
pytestmark = pytest.mark.usefixtures("scripts")


def test_a_line_a_run_and_one_before_for_those_that_share_it(make_run: Callable[..., RunFolder]) -> None:
    from lines import lines

    runs = [make_run(name=name).root for name in ("one", "two")]
    heading, _, before, *after = lines(runs)
    assert heading == "| run | p | NLL | greedy | broken |"
    assert before == "| before | .570 / .580 / .630 | .730 / .690 / .680 | 87 / 91 / 94 | 0.0 |"
    assert after == [
        f"| {name} | .150 / .560 / .630 | 1.260 / .720 / .680 | 23 / 88 / 91 | 1.6 |" for name in ("one", "two")
    ]


def test_what_a_run_does_not_have_is_a_dash(make_run: Callable[..., RunFolder]) -> None:
    """A recorded run from before p was measured, and one that has not come to its end."""
    from lines import line, lines

    assert (
        line("old", {"nll/forget@known": 1.5, "forget/all": 20.0})
        == "| old | – / – / – | 1.500 / – / – | 20 / – / – | – |"
    )
    assert lines([make_run(num_stages=1).root])[-1] == "| shakespeare | – / – / – | – / – / – | – / – / – | – |"
