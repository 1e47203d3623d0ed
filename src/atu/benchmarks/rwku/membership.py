"""Membership inference: was a text in the training data? Four attacks, from a model's log-probabilities."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from atu.records import Score

if TYPE_CHECKING:
    from atu.evaluation.likelihood import TokenStatistics

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Share of the unlikeliest tokens that Min-K and Min-K++ average over."""
REPORTED_SHARE = 0.2
ATTACKS = ("loss", "zlib", "mink", "mink++")
_SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True, kw_only=True)
class MembershipScores:
    """The attacks on one text; the higher, the likelier a member."""

    loss: float
    """Minus the mean cross-entropy (nats per token)."""
    zlib: float
    """`loss` divided by the length in bytes of the compressed text."""
    mink: tuple[float, ...]
    """For each of SHARES: mean log-probability of the unlikeliest tokens (Shi et al. 2024)."""
    minkpp: tuple[float, ...]
    """The same of standardised log-probabilities (Min-K++, Zhang et al. 2025)."""

    def get(self, attack: str) -> float:
        """The score of one of ATTACKS, at REPORTED_SHARE where it takes a share."""
        place = SHARES.index(REPORTED_SHARE)
        values = (self.loss, self.zlib, self.mink[place], self.minkpp[place])
        return values[ATTACKS.index(attack)]


def zlib_bytes(text: str) -> int:
    """Length of the compressed UTF-8 text, in bytes."""
    return len(zlib.compress(text.encode("utf-8")))


def released_membership(text: str, tokens: TokenStatistics) -> MembershipScores | None:
    """The four attacks as the released code computes them; None where it skips the text.

    It skips a text whose loss is NaN, so a broken model looks better. A share that comes to less than one
    token gives NaN, and so may Min-K++ where a distribution has no spread.
    """
    loss = float(np.mean(tokens.logprobs)) if tokens.logprobs else math.nan
    if math.isnan(loss):
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        return _scores(text, tokens, loss, np.asarray(tokens.spreads), least=0)


def corrected_membership(text: str, tokens: TokenStatistics) -> MembershipScores | None:
    """The four attacks, every share at least one token; None for a text of a single token.

    A distribution without spread (all tokens alike, or one certain) says nothing: its token counts as 0.
    """
    if not tokens.logprobs:
        return None
    spreads = np.asarray(tokens.spreads)
    spreads = np.where(spreads < _SMALLEST_SPREAD, np.inf, spreads)
    return _scores(text, tokens, float(np.mean(tokens.logprobs)), spreads, least=1)


def membership_auc(forget: Sequence[float], retain: Sequence[float], *, samples: int, seed: int = 0) -> Score:
    """How well a score tells forget texts from retain texts: ROC AUC in percent with its 95% interval.

    The chance that a forget text scores above a retain text. 50 = the model treats both alike, 0 = every
    forget text is less likely than every retain text. RWKU holds no text that the model has never seen, so
    this is no proof of membership; it is the change by unlearning that counts.
    The interval is the bootstrap over texts, drawn within each set. Needs a text on both sides.
    """
    from sklearn.metrics import roc_auc_score

    scores = np.asarray([*forget, *retain], dtype=np.float64)
    is_forget = np.arange(len(scores)) < len(forget)
    value = 100 * float(roc_auc_score(is_forget, scores))
    # Every AUC of a resample is a weighted mean over the same table of comparisons.
    first, second = scores[is_forget][:, None], scores[~is_forget][None, :]
    wins = (first > second) + 0.5 * (first == second)
    rng = np.random.default_rng(seed)
    rows = rng.multinomial(len(forget), np.full(len(forget), 1 / len(forget)), size=samples)
    columns = rng.multinomial(len(retain), np.full(len(retain), 1 / len(retain)), size=samples)
    resampled = 100 * np.sum(rows @ wins * columns, axis=1) / wins.size
    low, high = np.quantile(resampled, (0.025, 0.975))
    return Score(value=value, n=len(scores), low=float(low), high=float(high))


def _scores(text: str, tokens: TokenStatistics, loss: float, spreads: np.ndarray, least: int) -> MembershipScores:
    logprobs = np.asarray(tokens.logprobs)
    standardised = (logprobs - np.asarray(tokens.means)) / spreads
    return MembershipScores(
        loss=loss,
        zlib=loss / zlib_bytes(text),
        mink=tuple(_mean_of_lowest(logprobs, share, least) for share in SHARES),
        minkpp=tuple(_mean_of_lowest(standardised, share, least) for share in SHARES),
    )


def _mean_of_lowest(values: np.ndarray, share: float, least: int) -> float:
    count = max(least, int(len(values) * share))
    return float(np.mean(np.sort(values)[:count])) if count else math.nan
