"""Config of what a run is tracked with besides its folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class WandbConfig:
    """Keys of the Weights & Biases tracker."""

    mode: Literal["online", "offline", "disabled"] = "disabled"
    entity: str | None = None
    """User or team; None is the one that wandb has as default."""
    project: str | None = None
    """None takes WANDB_PROJECT, or else `align-then-unlearn`."""
    group: str | None = None
    """None takes the run's `exp`."""
    name: str | None = None
    """None takes the name of the run's folder."""
    id: str | None = None
    """Of the wandb run, letters, digits, `-` and `_`; None makes one and keeps it in the run folder."""
