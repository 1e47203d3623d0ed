"""RWKU's membership inference: four attacks on a text, by the released rules and mended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.evaluation.membership import loss, min_k, min_k_plus_plus, zlib_bytes

if TYPE_CHECKING:
    from atu.evaluation.likelihood import TokenStatistics

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Share of the unlikeliest tokens that Min-K and Min-K++ average over."""
REPORTED_SHARE = 0.2
ATTACKS = ("loss", "zlib", "mink", "mink++")


@dataclass(frozen=True, kw_only=True)
class MembershipScores:
    """The attacks on one text, signed as the released code has them: the higher, the likelier a member."""

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


def released_membership(text: str, tokens: TokenStatistics) -> MembershipScores | None:
    """The four attacks as the released code computes them; None where it skips the text.

    It skips a text whose loss is NaN, so a broken model looks better. A share that comes to less than one
    token gives NaN, and so may Min-K++ where a distribution has no spread.
    """
    if not tokens.logprobs or math.isnan(loss(tokens.logprobs)):
        return None
    return _scores(text, tokens, least=0, least_spread=0.0)


def corrected_membership(text: str, tokens: TokenStatistics) -> MembershipScores | None:
    """The four attacks, every share at least one token; None for a text of a single token.

    A distribution without spread (all tokens alike, or one certain) says nothing: its token counts as 0.
    """
    return _scores(text, tokens, least=1, least_spread=None) if tokens.logprobs else None


def _scores(text: str, tokens: TokenStatistics, *, least: int, least_spread: float | None) -> MembershipScores:
    logprobs, means, spreads = tokens.logprobs, tokens.means, tokens.spreads
    likelihood = -loss(logprobs)
    return MembershipScores(
        loss=likelihood,
        zlib=likelihood / zlib_bytes(text),
        mink=tuple(-min_k(logprobs, share=share, least=least) for share in SHARES),
        minkpp=tuple(
            -min_k_plus_plus(logprobs, means, spreads, share=share, least=least, least_spread=least_spread)
            for share in SHARES
        ),
    )
