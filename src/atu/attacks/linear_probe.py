"""A linear probe: does a layer tell a true answer from a wrong one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from atu.attacks.states import answered_ids, last_states
from atu.models.language_model import LanguageModel
from atu.records import Probe

_REGULARIZATION = 0.01
"""C of the logistic regression: far fewer statements than dimensions."""


@dataclass(frozen=True)
class Statement:
    """A question with its answer and with a wrong one."""

    probe: Probe
    right: str
    wrong: str


@dataclass(frozen=True)
class Readings:
    """One number per question: how often the truth is ranked above the others, 0..1; by chance 0.5."""

    target: Sequence[float]
    unknown: Sequence[float]
    """The same for the questions about a name that nobody bears."""
    cosines: Sequence[float] = ()
    """Of the predicted to the true embedding."""


def read_with_probe(
    llm: LanguageModel,
    seen: Sequence[Statement],
    tested: Sequence[Statement],
    unknown: Sequence[Statement],
    layers: Sequence[int],
    *,
    batch_size: int,
) -> dict[int, Readings]:
    """Train a logistic regression on the state of the last token of each seen statement, and rank the tested ones.

    A question's number is the share of wrong statements that its true one is ranked above; their mean is the AUC.
    """
    # Takes seconds, and every run imports the attacks.
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    sets = (seen, tested, unknown)
    read = [answered_ids(llm, one.probe, said) for side in sets for one in side for said in (one.right, one.wrong)]
    rows = [[*before, *answer] for before, answer in read]
    states = last_states(llm, rows, layers, batch_size=batch_size).numpy()
    ends = np.cumsum([2 * len(side) for side in sets])[:-1]
    found = {}
    for layer, features in zip(layers, states, strict=True):
        train, *tests = np.split(features, ends)
        is_true = np.tile([1, 0], len(seen))
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=_REGULARIZATION, max_iter=2000))
        probe.fit(train, is_true)
        target, other = (_ranks(probe.decision_function(test)) for test in tests)
        found[layer] = Readings(target, other)
    return found


def ranked_above(score: float, others: Sequence[float]) -> float:
    """Share of the others below `score`, ties by half: the AUC of one positive."""
    values = np.asarray(others)
    return float((values < score).mean() + (values == score).mean() / 2)


def _ranks(scores: np.ndarray) -> list[float]:
    right, wrong = scores[0::2], scores[1::2]
    return [ranked_above(float(score), wrong.tolist()) for score in right]
