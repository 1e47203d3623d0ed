"""TOFU's keys under `data`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atu.benchmarks.gold import GoldConfig

SplitName = Literal["forget01", "forget05", "forget10"]
Task = Literal["forget", "retain", "real_authors", "world_facts", "privacy"]
TASKS: tuple[Task, ...] = ("forget", "retain", "real_authors", "world_facts", "privacy")


@dataclass(frozen=True, kw_only=True)
class TofuConfig(GoldConfig):
    """Which authors are forgotten, and what is asked. `data_dir`: by default `$ATU_TOFU`, else `data/tofu`."""

    has_texts = True
    benchmark: str = "tofu"
    split: SplitName = "forget10"
    """The authors to forget: 2, 10 or 20 of 200."""
    tasks: tuple[Task, ...] = ()
    """Which parts are asked; empty = all. `privacy`: the membership attacks, with the holdout rows."""
    template: Literal["chat", "plain"] | None = None
    """How questions are put: by the chat template, or as `Question: ... Answer:`; None = by the template where the
    tokenizer has one."""
    gradnorm: bool = False
    """Whether the membership attack by gradients is run: it computes a gradient for each row."""
