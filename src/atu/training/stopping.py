"""When to stop before the schedule ends: training-side signals only, the same rule for every method."""

from __future__ import annotations

from collections.abc import Mapping

from atu.methods.config import StopConfig


def stop_reason(signals: Mapping[str, float], stop: StopConfig) -> str | None:
    """Why the run should end after this unlearn stage, or None to continue.

    Args:
        signals: from `atu.methods.unlearning.held_out_signals`; benchmark scores are never among them.
    """
    rise, moved = signals.get("signal/concept_nll_rise"), signals["signal/retain_kl"]
    if stop.retain_kl is not None and moved >= stop.retain_kl:
        return f"held-out retain texts moved {moved:.2f} nats per token (limit {stop.retain_kl:g})"
    if stop.concept_nll_rise is not None and rise is not None and rise >= stop.concept_nll_rise:
        return f"what is told of the concept costs {rise:.2f} nats per token more (goal {stop.concept_nll_rise:g})"
    return None
