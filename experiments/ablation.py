"""The default with one part changed at a time: the table of docs/experiments.md.

    python experiments/ablation.py --jobs 2

Runs go to runs/ablation and go on where they were stopped; the numbers (no model output) go to
docs/results/ablation.json, and the table to standard output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison import ROOT, in_own_process, is_done, run_summary

from atu.results.files import write_json_atomic

RESULTS = ROOT / "docs" / "results" / "ablation.json"
CONCEPTS = ("William_Shakespeare", "Japan")
CHANGES: dict[str, tuple[str, ...]] = {
    "default": (),
    "token term alone": ("task.objective.embedding=none", "task.stages=[{type: unlearning, steps: 16}]"),
    "embedding term alone": ("task.objective.token=none", "task.objective.teacher=masked", "task.objective.margin=0"),
    "push, not redirection": ("task.objective.embedding=push",),
    "one align stage": ("task.stages=[{type: training, steps: 150}, {type: unlearning, steps: 16}]",),
    "no contrastive part": ("task.contrastive_weight=0",),
    "masked teacher": ("task.objective.teacher=masked", "task.objective.margin=0"),
    "no retain term": ("task.objective.retain_weight=0",),
    "all blocks trained": ("task.training_module.first_trained_layer=0",),
}
"""What a user would type for each; the steps stay the same."""
SCORES = ("forget/all", "neighbor/all", "utility/gen")
NLLS = ("nll/forget@known", "nll/neighbor@known", "nll/utility@known")


@dataclass(frozen=True)
class Change:
    """One run: what is changed, and of what it makes the model forget."""

    name: str
    concept: str

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return ROOT / "runs" / "ablation" / f"{self.concept}-{self.name.replace(', ', '-').replace(' ', '-')}"

    def run(self) -> str | None:
        """Run it in a process of its own; the last line of its errors when it fails."""
        if is_done(self.folder):
            return None
        target = (f"unlearning_target={self.concept}", "runs_dir=runs/ablation", f"name={self.folder.name}")
        return in_own_process("launch_training.py", *CHANGES[self.name], *target, "seed=0", "threads=1")


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a line a run, percent right and NLL of forget, neighbor and general probes."""
    lines = [
        "| concept | change | forget / neighbor / general | degenerate | NLL of the three |",
        "| --- | --- | --- | --- | --- |",
    ]
    for concept in dict.fromkeys(row["concept"] for row in rows):
        members = [row for row in rows if row["concept"] == concept]
        shown = [("before", members[0]["before"]), *((row["change"], row["curve"][-1]) for row in members)]
        lines += [
            f"| {concept} | {name} | {_joined(scores, SCORES, 0)} | {scores['degenerate/forget']:.0f} "
            f"| {_joined(scores, NLLS, 2)} |"
            for name, scores in shown
        ]
    return "\n".join(lines)


def _joined(scores: Mapping[str, float], names: Sequence[str], digits: int) -> str:
    return " / ".join(f"{scores[name]:.{digits}f}" for name in names)


def main() -> None:
    """Run what is missing, and write the results of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    parser.add_argument("--collect", action="store_true", help="start nothing")
    options = parser.parse_args()
    changes = [Change(name, concept) for concept in CONCEPTS for name in CHANGES]
    failed = False
    if not options.collect:
        with ThreadPoolExecutor(options.jobs) as pool:
            for change, failure in zip(changes, pool.map(Change.run, changes), strict=True):
                print(f"{change.folder.name}: {failure or 'done'}", file=sys.stderr, flush=True)
                failed |= failure is not None
    rows = [
        {"concept": change.concept, "change": change.name, "seed": 0, **run_summary(change.folder)}
        for change in changes
        if is_done(change.folder)
    ]
    write_json_atomic(RESULTS, rows)
    print(table(rows))
    sys.exit(failed)


if __name__ == "__main__":
    main()
