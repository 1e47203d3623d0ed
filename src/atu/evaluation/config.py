"""How probes are asked and scores computed. No torch here: config errors must show at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atu.typed import check_sizes

MAX_BATCH_SIZE = 10**6
"""More prompts at once than any memory holds."""


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """Settings of one evaluation. Neither speed nor memory settings change an answer."""

    batch_size: int = 96
    """Most probes asked at once. Halved by itself when memory runs out."""
    scoring: Literal["released", "corrected", "both"] = "corrected"
    """Rules by which a row gets its score (docs/evaluation.md). `released`: those of a benchmark's own code."""
    bootstrap_samples: int = 1000
    """Resamplings of the rows behind each 95% interval."""

    def __post_init__(self) -> None:
        check_sizes(self, {"batch_size": MAX_BATCH_SIZE, "bootstrap_samples": 10**5})
