"""Every method's model under the same attacks: the table of docs/attacks.md.

    python experiments/attack_comparison.py --jobs 2   # William Shakespeare, seed 0, the quick budget
    python experiments/attack_comparison.py --collect  # the table of what is there; nothing is started

The models are those of builtin_comparison.py, and that of the released method at a rate at which it forgets at all; one
that is missing is made first. Attacks go to runs/attacks and go on where they were stopped; the numbers (no model
output) go to docs/results/attacks.json, and the table to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from builtin_comparison import ROOT, Job, in_own_process

from atu.attacks.config import ATTACKS
from atu.results.attack_rows import read_attack_rows
from atu.results.attack_table import interval, percent
from atu.results.attack_verdict import verdicts
from atu.results.files import write_json_atomic

RESULTS = ROOT / "docs" / "results" / "attacks.json"
OUT = ROOT / "runs" / "attacks"
CONCEPT, SEED, BASE = "William_Shakespeare", 0, "smollm2-135m-instruct"
RELEASED_FAST = (
    "experiment=embedded-released",
    "task.training_module.unlearning_lr=10",
    "runs_dir=runs/grid",
    "name=released-lr10",
    "threads=1",
)


@dataclass(frozen=True)
class Attacked:
    """A model, the run that made it and what a user would type for that run."""

    method: str
    folder: Path
    overrides: tuple[str, ...]

    @property
    def out(self) -> Path:
        """Where its attacks lie."""
        return OUT / self.folder.name

    def attack(self) -> str | None:
        """Do what is missing, each in a process of its own; the last line of its errors when one fails."""
        attack = (
            "-m",
            "atu",
            "attack",
            str(self.folder / "model"),
            "--before",
            BASE,
            "--quick",
            "--out",
            str(self.out),
        )
        return in_own_process("launch_training.py", *self.overrides) or in_own_process(*attack)

    def rows(self) -> list[dict[str, Any]]:
        """A row for each attack that is finished, after one of what was forgotten."""
        found = verdicts(read_attack_rows(self.out / "attacks.json"))
        if not found:
            return []
        head = {"method": self.method, "concept": CONCEPT, "seed": SEED}
        stages = [json.loads(path.read_text()) for path in sorted(self.folder.glob("stages/*/scores.json"))]
        before, after = (stage["corrected"]["forget/all"]["value"] for stage in (stages[0], stages[-1]))
        return [
            {**head, "attack": None, "before": before, "after": after},
            *({**head, **asdict(verdict)} for verdict in found),
        ]


def models() -> list[Attacked]:
    """What is attacked, in the order of the table's columns."""
    jobs = [Job(method, CONCEPT, SEED) for method in ("unlearning_atu", "unlearning_ga", "unlearning_npo")]
    compared = [Attacked(job.method, job.folder, tuple(job.overrides)) for job in jobs]
    fast = Attacked("unlearning_atu_released, rate 10", ROOT / "runs" / "grid" / "released-lr10", RELEASED_FAST)
    return [*compared, fast]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: an attack in each line, a method in each column."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    by_place = {(row["attack"], row["method"]): row for row in rows}
    lines = ["| attack | " + " | ".join(methods) + " |", "| --- |" + " --- |" * len(methods)]
    for attack in (None, *ATTACKS):
        cells = [_cell(by_place.get((attack, method))) for method in methods]
        lines.append(f"| {attack or 'forget, before → after'} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["attack"] is None:
        return f"{row['before']:.0f} → {row['after']:.0f}"
    ceiling = "" if row["ceiling"] is None else f"; {percent(row['ceiling'])}"
    return interval(row["recovered"], row["low"], row["high"]) + ceiling


def main() -> None:
    """Attack what was not attacked, and write the results of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="models at once, one thread each")
    parser.add_argument("--collect", action="store_true", help="start nothing")
    options = parser.parse_args()
    chosen = models()
    failed = False
    if not options.collect:
        with ThreadPoolExecutor(options.jobs) as pool:
            for model, failure in zip(chosen, pool.map(Attacked.attack, chosen), strict=True):
                print(f"{model.folder.name}: {failure or 'done'}", file=sys.stderr, flush=True)
                failed |= failure is not None
    rows = [row for model in chosen for row in model.rows()]
    write_json_atomic(RESULTS, rows)
    print(table(rows))
    sys.exit(failed)


if __name__ == "__main__":
    main()
