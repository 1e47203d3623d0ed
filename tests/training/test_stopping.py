"""When a schedule ends early."""

from __future__ import annotations

import pytest

from atu.methods.config import StopConfig
from atu.training.stopping import stop_reason

STOP = StopConfig(concept_nll_rise=2.0, retain_kl=0.5)


@pytest.mark.parametrize(
    ("rise", "moved", "reason"),
    [
        (1.99, 0.49, None),
        (2.0, 0.49, "what is told of the concept costs 2.00 nats per token more (goal 2)"),
        (0.0, 0.5, "held-out retain texts moved 0.50 nats per token (limit 0.5)"),
        (9.0, 0.7, "held-out retain texts moved 0.70 nats per token (limit 0.5)"),  # damage is the graver news
    ],
)
def test_a_goal_or_a_limit_that_is_reached(rise: float, moved: float, reason: str | None) -> None:
    assert stop_reason({"signal/concept_nll_rise": rise, "signal/retain_kl": moved}, STOP) == reason


def test_null_never_stops() -> None:
    never = StopConfig(concept_nll_rise=None, retain_kl=None)
    assert stop_reason({"signal/concept_nll_rise": 1e9, "signal/retain_kl": 1e9}, never) is None


def test_a_rise_that_could_not_be_measured_does_not_stop() -> None:
    assert stop_reason({"signal/retain_kl": 0.1}, STOP) is None
