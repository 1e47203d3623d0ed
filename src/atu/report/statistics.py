"""Means, intervals and paired comparisons over targets. scipy is imported where it is used: it takes half a second."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

RESAMPLES = 10_000


class Estimate(NamedTuple):
    """A mean with its 95% interval; NaN where there is none."""

    value: float
    low: float
    high: float
    n: int
    """Number of values behind the mean."""


class Paired(NamedTuple):
    """What the differences of two methods on the same targets say."""

    mean: float
    low: float
    high: float
    """Ends of the 95% percentile bootstrap interval over targets; NaN below two targets."""
    p: float
    """Two-sided Wilcoxon signed-rank test; NaN where no difference is left to rank."""
    n: int


GAP = Estimate(math.nan, math.nan, math.nan, 0)


def mean_interval(values: Iterable[float]) -> Estimate:
    """Mean of the values that are there, with Student's t interval.

    Not a bootstrap: with the few targets of a table that would be far too narrow. One value has no interval.
    """
    from scipy.special import stdtrit

    present = pd.Series(list(values), dtype=float).dropna()
    mean, n = float(present.mean()), len(present)
    half = float(stdtrit(n - 1, 0.975) * present.sem())
    return Estimate(mean, mean - half, mean + half, n)


def by_target(values: Iterable[tuple[str, float]]) -> pd.Series:
    """Mean over the seeds of each target, indexed by target: each counts once.

    A target of which one seed has no value has none: the mean of the seeds that are left would be chosen by their
    outcome, for instance by having forgotten enough.
    """
    return pd.DataFrame(values, columns=["target", "value"]).groupby("target")["value"].mean(skipna=False)


def paired(differences: Sequence[float]) -> Paired:
    """Mean of per-target differences, bootstrap interval and Wilcoxon p."""
    n = len(differences)
    if n == 0:
        return Paired(math.nan, math.nan, math.nan, math.nan, 0)
    values = np.asarray(differences)
    low = high = p = math.nan
    if values.any():
        from scipy.stats import wilcoxon

        p = float(wilcoxon(values).pvalue)  # leaves out differences of zero
    if n > 1:
        picks = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
        low, high = (float(end) for end in np.percentile(values[picks].mean(axis=1), (2.5, 97.5)))
    return Paired(float(values.mean()), low, high, p, n)
