"""The keys of lm-eval under `data`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass

from atu.benchmarks.config import DataConfig
from atu.errors import UserError
from atu.typed import check_sizes


@dataclass(frozen=True, kw_only=True)
class LmEvalConfig(DataConfig):
    """Which tasks are asked, and how. The names of the keys are the harness's."""

    benchmark: str = "lm-eval"
    tasks: tuple[str, ...] = ()
    """Tasks, groups and tags as the harness spells them, patterns such as `wmdp_*`, and task files (`mine.yaml`)."""
    forget_tasks: tuple[str, ...] = ("wmdp*",)
    """Names, or patterns, of those tasks whose knowledge is to be forgotten; all others measure what should stay."""
    num_fewshot: int | None = None
    """Worked examples before each question; None leaves it to the task. A task that says 0 itself stays at 0."""
    limit: int | None = None
    """The first rows of each task alone; None = all."""
    apply_chat_template: bool = False
    """Whether a question is put as a user's message; the harness's default, and that of published numbers, is not."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self, {"limit": 10**9})
        check_sizes(self, {"num_fewshot": 1000}, least=0)
        if self.icu:
            raise UserError("icu is not for benchmark 'lm-eval': the harness words the prompts.")
