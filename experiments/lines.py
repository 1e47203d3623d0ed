"""One line for each run: the same numbers in the same order, for those who compare settings.

    python experiments/lines.py runs/a runs/b ...

Before and after the last scored stage, in each cell forget / neighbor / general: p (probability of the words that made
the reference's answers right), NLL of those answers (nats per token), right greedy answers (%), and the degenerate
answers about the concept (%). A score that a run does not have is a dash: runs before p was measured have none.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from atu.benchmarks.comparison import GAP
from atu.records import Score
from atu.runs.run_folder import RunFolder

CELLS = (
    ("p", 3, ("p/forget@known", "p/neighbor@known", "p/utility@known")),
    ("NLL", 3, ("nll/forget@known", "nll/neighbor@known", "nll/utility@known")),
    ("greedy", 0, ("forget/all", "neighbor/all", "utility/gen")),
    ("broken", 1, ("degenerate/forget",)),
)
"""Heading, decimals and scores of each cell."""


def line(name: str, scores: Mapping[str, float]) -> str:
    """A row of the table: the cells of one state of a model."""
    cells = (" / ".join(_number(scores.get(score), digits) for score in names) for _, digits, names in CELLS)
    return f"| {name} | {' | '.join(cells)} |"


def lines(runs: Sequence[Path]) -> list[str]:
    """A Markdown table: a line before wherever it is not that of the run above, and one after for each run.

    Raises:
        UserError: a folder holds no run, or a broken one.
    """
    found = [f"| run | {' | '.join(heading for heading, _, _ in CELLS)} |", "| --- |" + " --- |" * len(CELLS)]
    last = None
    for run in runs:
        scored = [stage for stage in RunFolder(root=run).read_stages() if stage.scores]
        states = [_values(stage.scores) for stage in scored]
        if scored and scored[0].kind == "before" and states[0] != last:
            found.append(line("before", states[0]))
            last = states[0]
        found.append(line(run.name, states[-1] if scored and scored[-1].kind != "before" else {}))
    return found


def _values(scores: Mapping[str, Score]) -> dict[str, float]:
    return {name: score.value for name, score in scores.items()}


def _number(value: float | None, digits: int) -> str:
    if value is None or math.isnan(value):
        return GAP
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if digits == 3 and value < 1 else text


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a run")
    print("\n".join(lines(parser.parse_args().runs)))


if __name__ == "__main__":
    main()
