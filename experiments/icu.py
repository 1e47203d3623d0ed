"""In-context unlearning, which trains nothing: the reference model is asked to act as if it did not know the concept.

    python experiments/icu.py                    # the built-in concepts
    python experiments/icu.py --testbed celebs   # people of RWKU, on the model that was taught them

The probes, the judge and the model are those of comparison.py; RWKU's request stands before each prompt, whatever is
asked. Rows in the form of comparison.py's go to docs/results/icu.json, and the table to standard output. A concept
whose row stands there is not asked again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from comparison import BUILTIN, CELEBS, ROOT, TAUGHT_MODEL, TESTBEDS, Job, Testbed, table, teach
from rich.console import Console

from atu.benchmarks.catalog import build_benchmark
from atu.entry.compose import compose_run
from atu.errors import UserError
from atu.records import Reference
from atu.runs.progress import RunProgress
from atu.storage.files import write_json_atomic

RESULTS = ROOT / "docs" / "results" / "icu.json"
METHOD = "icu"


def main() -> None:
    """Ask about what was not asked about, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", choices=(BUILTIN.name, CELEBS.name), default=BUILTIN.name)
    testbed = TESTBEDS[parser.parse_args().testbed]
    if testbed is CELEBS and (failure := teach(TAUGHT_MODEL)):
        parser.exit(2, f"teaching: {failure}\n")
    rows: list[dict[str, Any]] = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    asked = {row["concept"] for row in rows}
    try:
        for concept in (concept for concept in testbed.concepts if concept not in asked):
            rows.append(ask(testbed, concept))
            write_json_atomic(RESULTS, in_order(rows))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(table([row for row in in_order(rows) if row["concept"] in testbed.concepts]))


def ask(testbed: Testbed, concept: str) -> dict[str, Any]:
    """The row of a concept: scores of the reference model without the request, and with it."""
    # These bring torch.
    from atu.models.load import load_language_model
    from atu.training.device import choose_compute, set_threads

    config = compose_run(Job(testbed, "unlearning_ga", concept, seed=0).overrides)
    set_threads(config.threads)
    llm = load_language_model(config.pre_trained_llm, device=str(choose_compute(config.device, "fp32").device))
    reference: Reference = "itself"
    points = []
    with RunProgress(Console(stderr=True)) as progress:
        for is_requested in (False, True):
            benchmark = build_benchmark(replace(config.data, icu=is_requested))
            probes = benchmark.probes(concept)
            with progress.stage(f"{concept}{', in context' if is_requested else ''}: {len(probes)} probes") as on:
                answers = benchmark.ask(
                    llm, probes, reference=reference, as_loaded=not is_requested, config=config.evaluation, progress=on
                )
            judged = benchmark.judge(answers, samples=config.evaluation.bootstrap_samples)["corrected"]
            reference = judged.answers if reference == "itself" else reference
            points.append({name: round(score.value, 3) for name, score in judged.scores.items()})
    return {
        "method": METHOD,
        "concept": concept,
        "seed": 0,
        "config_hash": "",
        "before": points[0],
        "curve": [{**points[1], "minutes": 0.0}],
    }


def in_order(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """By testbed and concept."""
    by_concept = {row["concept"]: dict(row) for row in rows}
    order = [*BUILTIN.concepts, *CELEBS.concepts]
    return [by_concept[concept] for concept in order if concept in by_concept]


if __name__ == "__main__":
    main()
