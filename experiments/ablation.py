"""The default with one part changed at a time: the table of docs/lab/experiments.md.

    python experiments/ablation.py --jobs 2

Runs go to runs/ablation and go on where they were stopped; the numbers (no model output) go to
docs/results/ablation.json, and the table to standard output.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comparison import ROOT, is_done, run_all, run_once, run_summary

from atu.benchmarks.comparison import GAP
from atu.storage.files import write_json_atomic

RESULTS = ROOT / "docs" / "results" / "ablation.json"
CONCEPTS = ("William_Shakespeare", "Japan")
CHANGES: dict[str, tuple[str, ...]] = {
    "default": (),
    "weights, no subspace": ("task.training_module.moves=weights",),
    "4 directions": ("task.training_module.subspace.max_rank=4",),
    "ratio 10": ("task.training_module.subspace.min_ratio=10",),
    "ratio 50": ("task.training_module.subspace.min_ratio=50",),
    "one rate for all": ("task.training_module.subspace.full_ratio=null",),
    "lambda 0.1": ("task.training_module.subspace.ridge=0.1",),
    "lambda 0.001": ("task.training_module.subspace.ridge=0.001",),
    "no down projections": ("task.training_module.subspace.targets=[q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj]",),
    "hook layer 24": ("task.training_module.pretrained_model_hook_layer=24",),
    "full windows alone": ("text_encoder.min_window_tokens=null",),
    "threshold of the 95th percentile": ("task.objective.push.threshold_percentile=95",),
    "aligned again half-way": (
        "task.stages=[{type: training, steps: 150}, {type: unlearning, steps: 6}, {type: training, steps: 40}, "
        "{type: unlearning, steps: 6}]",
    ),
    "not scaled": ("task.scale={concept_left: null, retain_kl: null}",),
    "redirection, not push": ("~task.objective.push", "+task.objective.redirect.weight=6"),
    "no refusals": ("~task.objective.refusal",),
    "no retain term": ("~task.objective.retain_kl",),
    "all blocks looked at": ("task.training_module.first_trained_layer=0",),
}
"""What a user would type for each; the steps stay the same."""
SCORES = ("forget/all", "neighbor/all", "utility/gen")
NLLS = ("nll/forget@known", "nll/neighbor@known", "nll/utility@known")
PROBABILITIES = ("p/forget@known", "p/neighbor@known", "p/utility@known")


@dataclass(frozen=True)
class Change:
    """One run: what is changed, and of what it makes the model forget."""

    change: str
    concept: str

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.concept}-{self.change.replace(', ', '-').replace(' ', '-')}"

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return ROOT / "runs" / "ablation" / self.name

    def run(self) -> str | None:
        """Run it in a process of its own; the last line of its errors when it fails."""
        target = (f"unlearning_target={self.concept}", "runs_dir=runs/ablation", f"name={self.name}")
        return run_once(self.folder, (*CHANGES[self.change], *target, "seed=0", "threads=1"))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: a line a run, percent right, NLL and p of forget, neighbor and general probes."""
    lines = [
        "| concept | change | forget / neighbor / general | degenerate | NLL of the three | p of the three |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for concept in dict.fromkeys(row["concept"] for row in rows):
        members = [row for row in rows if row["concept"] == concept]
        shown = [("before", members[0]["before"]), *((row["change"], row["curve"][-1]) for row in members)]
        lines += [
            f"| {concept} | {name} | {_joined(scores, SCORES, 0)} | {scores['degenerate/forget']:.0f} "
            f"| {_joined(scores, NLLS, 2)} | {_joined(scores, PROBABILITIES, 3)} |"
            for name, scores in shown
        ]
    return "\n".join(lines)


def _joined(scores: Mapping[str, float], names: Sequence[str], digits: int) -> str:
    """The numbers, with a dash for what was not measured in a run when it was made."""
    return " / ".join(f"{scores[name]:.{digits}f}" if name in scores else GAP for name in names)


def main() -> None:
    """Run what is missing, and write the results of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    parser.add_argument("--collect", action="store_true", help="start nothing")
    options = parser.parse_args()
    changes = [Change(change, concept) for concept in CONCEPTS for change in CHANGES]
    failed = False
    if not options.collect:
        outcomes = [succeeded for _, succeeded in run_all(changes, options.jobs)]
        failed = not all(outcomes)
    rows = [
        {"concept": change.concept, "change": change.change, "seed": 0, **run_summary(change.folder)}
        for change in changes
        if is_done(change.folder)
    ]
    write_json_atomic(RESULTS, rows)
    print(table(rows))
    sys.exit(failed)


if __name__ == "__main__":
    main()
