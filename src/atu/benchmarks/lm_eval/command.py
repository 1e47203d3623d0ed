"""`atu data lm-eval`: the data of tasks into the cache of the harness, for a machine without network later."""

from __future__ import annotations

from typing import Annotated

import typer

from atu.benchmarks.lm_eval.config import LmEvalConfig
from atu.benchmarks.lm_eval.tasks import load


def fetch(
    tasks: Annotated[list[str], typer.Argument(help="As lm-evaluation-harness spells them: wmdp_cyber mmlu.")],
) -> None:
    """Fetch the rows of tasks of lm-evaluation-harness, which keeps them in the Hugging Face cache."""
    loaded = load(LmEvalConfig(tasks=tuple(tasks)))
    for name, task in loaded.tasks.items():
        typer.echo(f"{name}: {len(task.eval_docs)} rows")
