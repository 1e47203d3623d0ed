"""Whether a model knows what it was taught: how likely it finds the right answers, before and after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from atu.benchmarks.curriculum import Wordings
from atu.evaluation.likelihood import Completion, completion_nll
from atu.evaluation.scores import bootstrap_mean
from atu.models.language_model import LanguageModel
from atu.models.rows import build_rows
from atu.records import Score

_SAMPLE = 32
"""Facts that are looked at, spread evenly over all of them."""
_BATCH_SIZE = 8
_RESAMPLINGS = 1000
LITTLE = 50.0
"""Percent below which a model cannot be said to know what it was taught."""


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """Mean probability of right answers, in percent, before a lesson and after it."""

    before: Score
    after: Score

    def describe(self) -> str:
        """As a card and the terminal say it."""
        after = self.after
        return (
            f"{self.before.value:.1f}% before, {after.value:.1f}% after ({after.low:.1f} to {after.high:.1f}, "
            f"n = {after.n})"
        )


def knowledge(llm: LanguageModel, facts: Sequence[Wordings], max_tokens: int) -> Score:
    """Mean probability of the right answers to a sample of facts, asked as the judge asks, in percent.

    The probability of an answer is that of its tokens, the end of the turn among them, as a geometric mean:
    exp(-nats per token), so that long answers count like short ones.
    """
    count = min(_SAMPLE, len(facts))
    chosen = [facts[len(facts) * i // count].chat[0] for i in range(count)]
    rows = build_rows(llm, chosen, max_tokens=max_tokens)
    completions = [Completion(prompt=row.ids[: row.first_scored], ids=row.ids[row.first_scored :]) for row in rows]
    losses = completion_nll(llm, completions, batch_size=_BATCH_SIZE)
    return bootstrap_mean([100 * math.exp(-loss) for loss in losses], name="taught", samples=_RESAMPLINGS, seed=0)
