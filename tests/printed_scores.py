"""The released scores that a table of RWKU prints, from the mean of each group."""

from __future__ import annotations

from collections.abc import Mapping

from atu.benchmarks.rwku.summary import released_scores
from atu.records import Answer


def printed(means: Mapping[str, float]) -> dict[str, float]:
    """Scores by name, of one row a group.

    Args:
        means: recalls, accuracies and F1 in 0..1, entropy in bits, of `mia/*` the mean LOSS (minus the cross-entropy).
    """
    rows = [
        Answer(
            probe_id=group,
            group=group,
            prompt="",
            text="",
            score=mean,
            degenerate=False,
            values=dict.fromkeys(("exact", "exact_fixed", "mc2"), 0.0)
            | ({"loss": -mean, "zlib": 0.0, "mink_0.2": 0.0, "mink++_0.2": 0.0} if group.startswith("mia/") else {}),
        )
        for group, mean in means.items()
    ]
    return {name: score.value for name, score in released_scores(rows, samples=1).items()}
