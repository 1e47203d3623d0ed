"""What neighbors lose, apart from what hangs on the person: a table of docs/lab/experiments.md.

    python experiments/gold_neighbors.py                        # of experiment=taught as it stands
    python experiments/gold_neighbors.py --testbed celebs       # with texts about people alone retained

Of finished runs of comparison.py (seed 0) on people whom the gold model of attack_comparison.py was never taught: the
answers that were right before, in two parts, those that the gold model gives rightly too and those that it does not;
how many of each are right after the last stage, and how much less likely they are. The gold model's answers go to
runs/gold-answers, the numbers to docs/results/gold_neighbors.json and the table, summed over people, to standard
output. A person without a finished run keeps the row that stands there.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence, Set
from statistics import fmean
from typing import Any

from attack_comparison import GOLD_MODEL, METHODS, SEED, WITHOUT, make_references
from comparison import CELEBS, CELEBS_1, CELEBS_2, CELEBS_GENERAL, ROOT, Job, in_own_process

from atu.records import KNOWN_SCORE, Answer
from atu.runs.rows import read_answers
from atu.runs.run_folder import RunFolder
from atu.storage.files import write_json_atomic

RESULTS = ROOT / "docs" / "results" / "gold_neighbors.json"
OUT = ROOT / "runs" / "gold-answers"
SIDES = ("neighbor", "forget")
PARTS = ("known", "unknown")
"""To the gold model."""
GROUPS = {"celebs-1": CELEBS_1, "celebs-2": CELEBS_2}


def main() -> None:
    """Ask the gold model what is missing, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    testbeds = {testbed.name: testbed for testbed in (CELEBS_GENERAL, CELEBS)}
    parser.add_argument("--testbed", choices=testbeds, default=CELEBS_GENERAL.name)
    testbed = testbeds[parser.parse_args().testbed]
    if failure := make_references(testbed):
        parser.exit(2, f"teaching: {failure}\n")
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    rows = {_place(row): row for row in known}
    failed = False
    for job in (Job(testbed, method, concept, SEED) for concept in WITHOUT.split(",") for method in METHODS):
        folder = RunFolder(root=job.folder)
        if folder.read_status().get("state") != "done":
            continue
        if failure := ask_gold(job.concept):
            print(f"{job.concept}: {failure}", file=sys.stderr)
            failed = True
            continue
        gold = read_answers(OUT / job.concept / "answers.corrected.jsonl")
        asked = [answers for stage in folder.read_stages() if (answers := folder.read_answers(stage.label))]
        row = {"testbed": testbed.name, "method": job.method, "concept": job.concept, "seed": SEED}
        row |= {side: count(asked[0], asked[-1], gold, side) for side in SIDES}
        rows[_place(row)] = row
        write_json_atomic(RESULTS, [rows[place] for place in sorted(rows)])
    print(table([rows[place] for place in sorted(rows) if place[0] == testbed.name]))
    sys.exit(failed)


def ask_gold(concept: str) -> str | None:
    """The gold model's answers about a person, unless they are there; the last line of errors when that fails."""
    if (OUT / concept / "scores.json").exists():
        return None
    told = ("--benchmark", "rwku", "--target", concept, "--tasks", "forget,neighbor", "--scoring", "corrected")
    return in_own_process("-m", "atu", "evaluate", GOLD_MODEL, *told, "--out", str(OUT / concept))


def count(
    before: Sequence[Answer], after: Sequence[Answer], gold: Sequence[Answer], side: str
) -> dict[str, dict[str, float]]:
    """Right answers before and, of these, after: those that the gold model knows too, and those that it does not.

    `nll_rise` is the mean by which the right answers of before became less likely, in nats per token; 0 for no answers.
    """
    right_after, right_gold = _right(after), _right(gold)
    right_before = {answer.probe_id for answer in before if answer.group.startswith(f"{side}/")} & _right(before)
    parts = dict(zip(PARTS, (right_before & right_gold, right_before - right_gold), strict=True))
    return {
        part: {
            "before": len(ids),
            "after": len(ids & right_after),
            "nll_rise": round(_mean_nll(after, ids) - _mean_nll(before, ids), 4) if ids else 0.0,
        }
        for part, ids in parts.items()
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: right answers after of those right before, summed over the people of a group, and their perplexity."""
    titles = [f"{side}, {part} to gold" for side in SIDES for part in PARTS]
    lines = ["| people | method | " + " | ".join(titles) + " |", "| --- | --- |" + " --- |" * len(titles)]
    for group, concepts in GROUPS.items():
        for method in METHODS:
            members = [row for row in rows if row["method"] == method and row["concept"] in concepts]
            if members:
                names = ", ".join(row["concept"].partition("_")[2].replace("_", " ") for row in members)
                cells = [_cell([row[side][part] for row in members]) for side in SIDES for part in PARTS]
                lines.append(f"| {group}: {names} | {method} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(counts: Sequence[Mapping[str, float]]) -> str:
    before, after = (sum(one[when] for one in counts) for when in ("before", "after"))
    if not before:
        return "–"
    rise = sum(one["nll_rise"] * one["before"] for one in counts) / before
    return f"{after} of {before}, × {math.exp(rise):.2f}"


def _mean_nll(answers: Sequence[Answer], ids: Set[str]) -> float:
    return fmean(answer.values["nll"] for answer in answers if answer.probe_id in ids)


def _right(answers: Sequence[Answer]) -> set[str]:
    return {answer.probe_id for answer in answers if answer.score >= KNOWN_SCORE}


def _place(row: Mapping[str, Any]) -> tuple[str, int, str]:
    return row["testbed"], CELEBS.concepts.index(row["concept"]), row["method"]


if __name__ == "__main__":
    main()
