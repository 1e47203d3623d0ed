"""LUME's keys under `data`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atu.benchmarks.gold import GoldConfig
from atu.errors import UserError
from atu.typed import check_sizes

Task = Literal["1", "2", "3"]
TASKS: tuple[Task, ...] = ("1", "2", "3")


@dataclass(frozen=True, kw_only=True)
class LumeConfig(GoldConfig):
    """What is asked. `data_dir`: by default `$ATU_LUME`, else `data/lume`."""

    has_texts = True
    benchmark: str = "lume"
    tasks: tuple[Task, ...] = ()
    """Which of its tasks are asked and trained on: 1 invented stories, 2 invented people with private data, 3
    biographies; empty = all."""
    limit: int | None = None
    """Only the first documents of each task on each side, asked and trained on; None = all."""
    utility_tasks: tuple[str, ...] = ()
    """Tasks of lm-evaluation-harness that are asked too: `mmlu` is part of the organisers' final score."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, {"limit": 10**6})
        if self.icu and self.utility_tasks:
            raise UserError("icu and utility_tasks exclude each other: lm-evaluation-harness words its own prompts.")
