"""How a run trains, whatever the method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atu.errors import UserError
from atu.typed import check_sizes


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Precision and safety of a run."""

    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Type of the matrix products in training; weights and optimiser stay float32. `auto`: bf16 where that is fast."""
    activation_checkpointing: bool = False
    """Keep only the input of each transformer block for the backward pass and compute the rest again: the same
    gradients from less memory, for one more forward pass of the blocks."""
    sharding: Literal["none", "fsdp2"] = "none"
    """`fsdp2` divides the blocks' weights, gradients and optimiser state among several processes; with `none` each has
    all of them."""
    allow_16bit_weights: bool = False
    """Permits full fine-tuning of bfloat16 or float16 weights, which loses most of unlearning's updates."""
    checkpoint_seconds: float = 120.0
    """Longest work that a killed run loses; a checkpoint is also written at the end of each stage."""
    log_every: int = 1
    """Steps between two rows of metrics.jsonl."""

    def __post_init__(self) -> None:
        if self.checkpoint_seconds < 0:
            raise UserError("checkpoint_seconds must not be negative.")
        check_sizes(self, {"log_every": 10**8})
