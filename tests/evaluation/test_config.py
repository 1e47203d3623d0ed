"""Settings of an evaluation are checked when they are made."""

from __future__ import annotations

import pytest

from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig


@pytest.mark.parametrize("name", ["batch_size", "bootstrap_samples"])
def test_counts_must_be_positive(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} must be at least 1, not 0"):
        EvaluationConfig(**{name: 0})
