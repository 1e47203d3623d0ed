"""Membership inference: was a text in the training data? Attacks on what a model says of its tokens. No torch.

Every attack is signed like a loss: the higher, the less likely a member. What all take are numbers of the tokens that
are scored, in order; which these are is the caller's to say.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from atu.records import Score

if TYPE_CHECKING:
    from atu.evaluation.likelihood import TokenStatistics

MIN_K_SHARE = 0.4
"""Share of the unlikeliest tokens in MUSE and open-unlearning."""
RELEASED_SPREAD = 1e-3
"""Least spread of a distribution in open-unlearning's Min-K++, in nats: the root of a variance of 1e-6."""
_SMALLEST_SPREAD = 1e-6
_ALIKE = 50.0
"""AUC, in percent, of a model that treats both sets alike."""


@dataclass(frozen=True, kw_only=True)
class MembershipSample:
    """Scores of one attack on one model, the texts in a fixed order."""

    members: Sequence[float]
    others: Sequence[float]


def loss(logprobs: Sequence[float]) -> float:
    """Mean negative log-likelihood, nats per token (Yeom et al. 2018). Takes one token or more."""
    return -float(np.mean(logprobs))


def zlib_ratio(mean_loss: float, text: str) -> float:
    """Loss over the length of the compressed text in bytes (Carlini et al. 2021)."""
    return mean_loss / zlib_bytes(text)


def zlib_bytes(text: str) -> int:
    """Length of the compressed UTF-8 text, in bytes."""
    return len(zlib.compress(text.encode("utf-8")))


def min_k(logprobs: Sequence[float], *, share: float = MIN_K_SHARE, least: int = 1) -> float:
    """Minus the mean log-probability of the unlikeliest tokens, nats (Shi et al. 2024).

    Args:
        share: of the tokens, 0..1.
        least: number of tokens at least; with 0 a small share of a short text has none, and gives NaN.
    """
    return -_mean_of_lowest(np.asarray(logprobs, dtype=np.float64), share, least)


def min_k_plus_plus(
    logprobs: Sequence[float],
    means: Sequence[float],
    spreads: Sequence[float],
    *,
    share: float = MIN_K_SHARE,
    least: int = 1,
    least_spread: float | None = None,
) -> float:
    """Minus the mean of the lowest standardised log-probabilities (Min-K++, Zhang et al. 2025).

    Args:
        means: mean log-probability (nats) under the distribution that the token was drawn from.
        spreads: standard deviation of the log-probability under it (nats).
        least: as in `min_k`.
        least_spread: smaller spreads count as this one, as in the released codes (0 divides by zero). None: a
            distribution without spread, all tokens alike or one certain, says nothing, and its token counts as 0.
    """
    divisors = np.asarray(spreads, dtype=np.float64)
    if least_spread is None:
        divisors = np.where(divisors < _SMALLEST_SPREAD, np.inf, divisors)
    else:
        divisors = np.maximum(divisors, least_spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        standardised = (np.asarray(logprobs) - np.asarray(means)) / divisors
        return -_mean_of_lowest(standardised, share, least)


def attack_values(tokens: TokenStatistics, text: str, *, is_released: bool = False) -> dict[str, float]:
    """The attacks that one reading of a text gives, by name.

    Args:
        tokens: of the tokens that are scored, one or more.
        text: these tokens as text, whose compressed length zlib takes.
        is_released: as open-unlearning, whose Min-K and Min-K++ leave out the last token, which need not be an end
            token; of a single token they say 0. A small spread counts as `RELEASED_SPREAD` there.
    """
    end = -1 if is_released else None
    logprobs, means, spreads = tokens.logprobs[:end], tokens.means[:end], tokens.spreads[:end]
    spread = RELEASED_SPREAD if is_released else None
    mean_loss = loss(tokens.logprobs)
    return {
        "loss": mean_loss,
        "zlib": zlib_ratio(mean_loss, text),
        "min_k": min_k(logprobs) if logprobs else 0.0,
        "min_k++": min_k_plus_plus(logprobs, means, spreads, least_spread=spread) if logprobs else 0.0,
    }


def membership_auc(members: Sequence[float], others: Sequence[float], *, samples: int, seed: int = 0) -> Score:
    """How well an attack tells members from others: ROC AUC in percent with its 95% interval.

    The chance that a member has the lower score of the two. 50 = the model treats both alike, 100 = every member is
    likelier than every other text, 0 = the reverse. The interval is the bootstrap over texts, drawn within each set.
    Needs a text on both sides.
    """
    from sklearn.metrics import roc_auc_score

    is_other = np.arange(len(members) + len(others)) >= len(members)
    value = 100 * float(roc_auc_score(is_other, [*members, *others]))
    aucs = 100 * _resampled_aucs(MembershipSample(members=members, others=others), samples, seed)
    low, high = np.quantile(aucs, (0.025, 0.975))
    return Score(value=value, n=len(is_other), low=float(low), high=float(high))


def privacy_leak(auc: float, gold_auc: float = _ALIKE) -> float:
    """MUSE's PrivLeak, in percent, from two AUCs in percent (Shi et al. 2025, arXiv 2407.06460).

    ((1 - AUC) - (1 - AUC of gold)) / (1 - AUC of gold): 0 = as the gold model, -100 = every member is likelier than
    every other text, above 0 = members are less likely than the gold model has them, which gives them away as well.
    The AUCs here are 1 minus MUSE's. The small number of open-unlearning's keeps it finite, not small.
    """
    private, gold_private = 1 - auc / 100, 1 - gold_auc / 100
    return (private - gold_private) / (gold_private + 1e-10) * 100


def privacy_leak_score(model: MembershipSample, gold: MembershipSample | None, *, samples: int, seed: int = 0) -> Score:
    """`privacy_leak` with its 95% interval: the bootstrap over texts, the same texts drawn for both models.

    Args:
        gold: of a model that never knew the members; None takes 50% for its AUC, as open-unlearning does.
    """
    return _compared(model, gold, privacy_leak, samples, seed)


def auc_gap(model: MembershipSample, gold: MembershipSample, *, samples: int, seed: int = 0) -> Score:
    """AUC minus the gold model's, in points (-100..100), with its interval as in `privacy_leak_score`."""
    return _compared(model, gold, lambda own, other: own - other, samples, seed)


def _compared(
    model: MembershipSample,
    gold: MembershipSample | None,
    compare: Callable[[float, float], float],
    samples: int,
    seed: int,
) -> Score:
    one = membership_auc(model.members, model.others, samples=1)
    gold_auc = _ALIKE if gold is None else membership_auc(gold.members, gold.others, samples=1).value
    aucs = 100 * _resampled_aucs(model, samples, seed)
    gold_aucs = np.full(samples, _ALIKE) if gold is None else 100 * _resampled_aucs(gold, samples, seed)
    resampled = [compare(float(auc), float(other)) for auc, other in zip(aucs, gold_aucs, strict=True)]
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Score(value=compare(one.value, gold_auc), n=one.n, low=float(low), high=float(high))


def _resampled_aucs(sample: MembershipSample, samples: int, seed: int) -> np.ndarray:
    """The AUC (0..1) of each of `samples` resamplings; the draws hang on the seed and the numbers of texts alone."""
    members, others = (np.asarray(side, dtype=np.float64) for side in (sample.members, sample.others))
    rng = np.random.default_rng(seed)
    rows = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=samples)
    columns = rng.multinomial(len(others), np.full(len(others), 1 / len(others)), size=samples)
    order = np.argsort(others)
    drawn = np.concatenate([np.zeros((samples, 1), dtype=np.int64), columns[:, order].cumsum(axis=1)], axis=1)
    # Twice the others that each member is likelier than; a tie is half a win.
    below, up_to = (drawn[:, np.searchsorted(others[order], members, side)] for side in ("left", "right"))
    wins = 2 * drawn[:, -1:] - below - up_to
    return np.asarray((rows * wins).sum(axis=1) / (2 * len(members) * len(others)))


def _mean_of_lowest(values: np.ndarray, share: float, least: int) -> float:
    count = max(least, int(len(values) * share))
    return float(np.mean(np.sort(values)[:count])) if count else float("nan")
