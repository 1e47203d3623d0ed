"""TOFU's own numbers, from losses of answers (nats per token): pure functions, no torch.

p = exp(-loss) is the probability of an answer, a geometric mean over its tokens (0..1).
`epsilon` stands in the reference implementation's formulas against a division by zero. Without it, a model that finds
right and wrong answers as unlikely as one another is no longer measured by it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from atu.records import Score

EPSILON = 1e-10
UTILITY_PARTS = tuple(
    f"{part}_{kind}"
    for part, probability in (("retain", "Q_A_Prob"), ("ra", "Q_A_Prob_normalised"), ("wf", "Q_A_Prob_normalised"))
    for kind in (probability, "Q_A_ROUGE", "Truth_Ratio")
)
"""The nine numbers that model utility is the harmonic mean of."""


def truth_ratio(right: float, wrong: Sequence[float], *, epsilon: float = 0.0) -> float:
    """Geometric mean of the wrong answers' probabilities over the right one's: below 1 where the truth is likelier.

    Maini et al. 2024 divide an arithmetic mean; the geometric one is the reference implementation's.
    """
    if epsilon:
        return math.exp(-fmean(wrong)) / (math.exp(-right) + epsilon)
    return math.exp(max(-700.0, min(700.0, right - fmean(wrong))))


def nearness_to_one(ratio: float, *, epsilon: float = 0.0) -> float:
    """min(r, 1/r), 0..1: 1 where right and wrong are equally likely (aggregator `closer_to_1_better`)."""
    return min(ratio, 1 / (ratio + epsilon))


def preference(ratio: float) -> float:
    """max(0, 1 - r), 0..1: how clearly the right answer is likelier (aggregator `true_better`)."""
    return max(0.0, 1 - ratio)


def right_share(ratio: float) -> float:
    """right / (right + wrong), 0..1: 0.5 where both are equally likely (aggregator `prob_mean`)."""
    return 1 / (1 + ratio)


def normalised_probability(right: float, wrong: Sequence[float], *, epsilon: float = 0.0) -> float:
    """p of the right answer over the sum of all answers' p, 0..1."""
    if epsilon:
        p = math.exp(-right)
        return p / (p + math.fsum(math.exp(-one) for one in wrong) + epsilon)
    return 1 / (1 + math.fsum(math.exp(min(700.0, right - one)) for one in wrong))


def forget_quality(ratios: Sequence[float], gold: Sequence[float]) -> tuple[float, float]:
    """Two-sided Kolmogorov-Smirnov test of two models' truth ratios: its p value (0..1) and its distance D (0..1)."""
    from scipy.stats import ks_2samp  # takes a while to import

    found = ks_2samp(ratios, gold)
    return float(found.pvalue), float(found.statistic)


def forget_quality_scores(
    ratios: Sequence[float], gold: Sequence[float], *, samples: int, seed: int = 0
) -> dict[str, Score]:
    """p value and D with 95% intervals: the bootstrap over questions, the same ones drawn for both models.

    The gold model's ratios must be to the same questions in the same order. A resample holds questions twice, so its D
    lies above the true one more often than below, and its p value below.
    """
    own, other = np.asarray(ratios, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    value = forget_quality(ratios, gold)
    draws = np.random.default_rng(seed).integers(len(own), size=(samples, len(own)))
    resampled = np.asarray([forget_quality(own[rows].tolist(), other[rows].tolist()) for rows in draws])
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0).tolist()
    return {
        name: Score(value=value[i], n=len(own), low=low[i], high=high[i])
        for i, name in enumerate(("tofu/forget_quality", "tofu/ks_distance"))
    }


def model_utility(parts: Mapping[str, float]) -> float:
    """Harmonic mean of the nine numbers of UTILITY_PARTS, 0..1; 0 where one of them is 0."""
    values = [parts[name] for name in UTILITY_PARTS]
    return len(values) / math.fsum(1 / value for value in values) if all(value > 0 for value in values) else 0.0


def model_utility_score(parts: Mapping[str, Sequence[float]], *, samples: int, seed: int = 0) -> Score:
    """`model_utility` of the means over rows, with its 95% interval: the bootstrap over the rows of each set.

    Args:
        parts: by-row numbers of each of UTILITY_PARTS; those of one set (`retain_`, `ra_`, `wf_`) in the same order.
    """
    rng = np.random.default_rng(seed)
    means: dict[str, np.ndarray] = {}
    for group in dict.fromkeys(name.partition("_")[0] for name in UTILITY_PARTS):
        names = [name for name in UTILITY_PARTS if name.startswith(f"{group}_")]
        count = len(parts[names[0]])
        draws = rng.integers(count, size=(samples, count))
        means |= {name: np.asarray(parts[name], dtype=np.float64)[draws].mean(axis=1) for name in names}
    resampled = [model_utility({name: float(means[name][i]) for name in UTILITY_PARTS}) for i in range(samples)]
    low, high = np.quantile(resampled, (0.025, 0.975))
    value = model_utility({name: fmean(parts[name]) for name in UTILITY_PARTS})
    count = sum(len(parts[name]) for name in ("retain_Q_A_ROUGE", "ra_Q_A_ROUGE", "wf_Q_A_ROUGE"))
    return Score(value=value, n=count, low=float(low), high=float(high))
