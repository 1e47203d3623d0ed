"""What a model knows of a concept before it is to forget it, and how well a verdict can be told from that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from atu.errors import UserError
from atu.records import Answer

_WIDE = 15.0
"""Points of uncertainty from which more questions are advised."""


@dataclass(frozen=True)
class PriorKnowledge:
    """Of the questions about the concept that can be known or not, how many the model answers rightly."""

    known: int
    asked: int

    @property
    def uncertainty(self) -> float:
        """Points, at most: half the 95% interval of the share of `known` that is left afterwards.

        1.96 sqrt(p (1 - p) / n) is largest at p = 1/2.
        """
        return uncertainty(self.known)


def uncertainty(known: int) -> float:
    """See `PriorKnowledge.uncertainty`."""
    return 100 * 1.96 * math.sqrt(0.25 / known)


def prior_knowledge(answers: Sequence[Answer]) -> PriorKnowledge:
    """From the answers of the model as it is, those to adversarial probes left out."""
    about = [
        answer
        for answer in answers
        if answer.group.startswith("forget/") and answer.known_before is not None and not answer.attack
    ]
    return PriorKnowledge(known=sum(bool(answer.known_before) for answer in about), asked=len(about))


def describe_prior(prior: PriorKnowledge, name: str) -> str:
    """A line for the user, before training.

    Raises:
        UserError: the model answers none of the questions, so that there is nothing to forget.
    """
    if not prior.known:
        raise UserError(
            f"Nothing to forget: the model answers none of {prior.asked} questions about {name} rightly. Ask what it "
            "knows (atu probes proposes such questions), or set data.allow_no_verdict=true to train all the same."
        )
    share = f"{prior.known} of {prior.asked} questions about {name} ({100 * prior.known / prior.asked:.0f}%)"
    told = f"how many of them are left will be known to within {prior.uncertainty:.0f} points"
    more = f"; 100 such questions would make it {uncertainty(100):.0f}" if prior.uncertainty > _WIDE else ""
    return f"the model knows the answer to {share}: {told}{more}"
