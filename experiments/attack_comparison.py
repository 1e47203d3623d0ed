"""Every method's model under the same attacks: the tables of docs/lab/attacks.md.

    python experiments/attack_comparison.py --jobs 2                             # William Shakespeare, quick budget
    python experiments/attack_comparison.py --concept 1_Stephen_King --jobs 2    # of RWKU, on the taught model
    python experiments/attack_comparison.py --concept 58_Rihanna --jobs 2        # relearning; 46_Raquel_Welch too
    python experiments/attack_comparison.py --collect                            # the table of what is there

The models are those of comparison.py, seed 0, and that of the released method at a rate at which it forgets at all; one
that is missing is made first. Attacks go to runs/attacks and go on where they were stopped; the numbers (no model
output) go to docs/results/attacks.json, and the table of the concept to standard output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from comparison import (
    BUILTIN,
    CELEBS,
    ROOT,
    TAUGHT_MODEL,
    Job,
    Testbed,
    hash_of_run,
    in_own_process,
    run_all,
    run_once,
    teach,
)

from atu.attacks.config import ATTACKS
from atu.attacks.rows import read_attack_rows
from atu.attacks.table import interval, percent
from atu.attacks.verdict import verdicts
from atu.storage.files import write_json_atomic

RESULTS = ROOT / "docs" / "results" / "attacks.json"
OUT = ROOT / "runs" / "attacks"
SEED = 0
METHODS = ("unlearning_atu", "unlearning_ga", "unlearning_npo")
FAST = ("task.training_module.unlearning_lr=3",)
"""The highest rate of the grid at which the released method forgets something and no model was destroyed."""
GOLD_MODEL = "runs/gold-model"
WITHOUT = ",".join(CELEBS.concepts[::2])
"""What the gold model was not taught: every second target, as the first gold one of taught_testbed.py."""


@dataclass(frozen=True)
class Setting:
    """What was forgotten, and what `atu attack` is told beside the model."""

    testbed: Testbed
    concept: str
    options: tuple[str, ...]
    attacks: str = "all"


def _person(name: str, attacks: str = "all") -> Setting:
    options = ("--before", TAUGHT_MODEL, "--gold", GOLD_MODEL, "--benchmark", "rwku", "--target", name)
    return Setting(CELEBS, name, options, attacks)


_RELEARNING = "relearn,benign-relearn"
SETTINGS = (
    Setting(BUILTIN, "William_Shakespeare", ("--before", "smollm2-135m-instruct")),
    _person("1_Stephen_King"),
    # Of those that nothing was chosen on and that the gold model was not taught, the two whom every method forgets.
    _person("46_Raquel_Welch", _RELEARNING),
    _person("58_Rihanna", _RELEARNING),
)


@dataclass(frozen=True)
class Attacked:
    """A model: the run that makes it, and what that run is told beside."""

    setting: Setting
    method: str
    extra: tuple[str, ...] = ()

    @property
    def job(self) -> Job:
        """The run, as the comparison has it."""
        return Job(self.setting.testbed, self.method, self.setting.concept, SEED)

    @property
    def label(self) -> str:
        """Head of its column."""
        return f"{self.method}, rate 3" if self.extra else self.method

    @property
    def name(self) -> str:
        """Of its run folder."""
        return f"{self.job.name}-lr3" if self.extra else self.job.name

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.job.folder.with_name(self.name)

    @property
    def out(self) -> Path:
        """Where its attacks lie."""
        return OUT / self.name

    def run(self) -> str | None:
        """Do what is missing, each in a process of its own; the last line of its errors when one fails."""
        overrides = [f"name={self.name}" if part.startswith("name=") else part for part in self.job.overrides]
        told = (*self.setting.options, "--attacks", self.setting.attacks, "--quick", "--out", str(self.out))
        return run_once(self.folder, (*overrides, *self.extra)) or in_own_process(
            "-m", "atu", "attack", str(self.folder / "model"), *told
        )

    def rows(self) -> list[dict[str, Any]]:
        """A row for each attack that is finished, after one of what was forgotten."""
        found = verdicts(read_attack_rows(self.out / "attacks.json"))
        if not found:
            return []
        head = {
            "concept": self.setting.concept,
            "method": self.label,
            "seed": SEED,
            "config_hash": hash_of_run(self.folder),
        }
        stages = [json.loads(path.read_text()) for path in sorted(self.folder.glob("stages/*/scores.json"))]
        before, after = (stage["corrected"]["forget/all"]["value"] for stage in (stages[0], stages[-1]))
        return [
            {**head, "attack": None, "before": before, "after": after},
            *({**head, **asdict(verdict)} for verdict in found),
        ]


def models(setting: Setting) -> list[Attacked]:
    """What is attacked, in the order of the table's columns; the released method where all attacks are made."""
    found = [Attacked(setting, method) for method in METHODS]
    return [*found, Attacked(setting, "unlearning_atu_released", FAST)] if setting.attacks == "all" else found


def collect(known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of all models; those `known` of a model whose attacks do not lie here."""
    found = []
    for model in (model for setting in SETTINGS for model in models(setting)):
        place = (model.setting.concept, model.label)
        found += model.rows() or [row for row in known if (row["concept"], row["method"]) == place]
    return found


def make_references(testbed: Testbed) -> str | None:
    """Teach the models before and the gold one, where the testbed needs them; the last line of errors."""
    if testbed is BUILTIN:
        return None
    return teach(TAUGHT_MODEL) or teach(GOLD_MODEL, "--without", WITHOUT)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: an attack that was made in each line, a method in each column."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    made = {row["attack"] for row in rows}
    by_place = {(row["attack"], row["method"]): row for row in rows}
    lines = ["| attack | " + " | ".join(methods) + " |", "| --- |" + " --- |" * len(methods)]
    for attack in (attack for attack in (None, *ATTACKS) if attack in made):
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
    parser.add_argument("--concept", choices=[setting.concept for setting in SETTINGS], default=SETTINGS[0].concept)
    parser.add_argument("--jobs", type=int, default=1, help="models at once, one thread each")
    parser.add_argument("--collect", action="store_true", help="start nothing")
    options = parser.parse_args()
    (chosen,) = (setting for setting in SETTINGS if setting.concept == options.concept)
    failed = False
    if not options.collect:
        if failure := make_references(chosen.testbed):
            parser.exit(2, f"teaching: {failure}\n")
        outcomes = [succeeded for _, succeeded in run_all(models(chosen), options.jobs)]
        failed = not all(outcomes)
    rows = collect(json.loads(RESULTS.read_text()) if RESULTS.exists() else [])
    write_json_atomic(RESULTS, rows)
    print(table([row for row in rows if row["concept"] == chosen.concept]))
    sys.exit(failed)


if __name__ == "__main__":
    main()
