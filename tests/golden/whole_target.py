"""Every golden row of a target through the real model: `make golden`. Prints a line a file, exit 1 on a fault.

python tests/golden/whole_target.py [--shared DIR] [--target 1_Stephen_King] [--batch-size 32]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' helpers

from golden_agreement import NAMES, Row, compare, golden_probes

from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.config import RwkuConfig
from atu.evaluation.config import EvaluationConfig
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model
from atu.records import Answer
from atu.runs.rows import read_answers
from atu.storage.user_files import read_jsonl


def main() -> int:
    """Ask, compare, print."""
    shared = Path(os.environ.get("ATU_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=shared, help="folder with rwku/ and golden/")
    parser.add_argument("--target", default="1_Stephen_King")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--answers", type=Path, help="folder with the answers.released.jsonl of an evaluation")
    given = parser.parse_args()
    folder = given.shared / "golden" / given.target
    if not folder.is_dir():
        print(f"There are no golden rows at {folder}: name the folder with --shared or ATU_SHARED.", file=sys.stderr)
        return 2
    golden = {name: read_jsonl(folder / f"{name}.jsonl") for name in NAMES}
    start = time.process_time()
    if given.answers is None:
        rows = _ask(given.shared, given.target, golden, given.batch_size)
    else:
        rows = read_answers(given.answers / "answers.released.jsonl")
    seconds = time.process_time() - start
    answers = {answer.probe_id: answer for answer in rows}
    print(f"{'file':18}{'rows':>5}{'same text':>11}{'near ties':>11}{'worst difference':>18}{'faults':>8}")
    faults = []
    for name in NAMES:
        found = compare(given.target, name, golden[name], answers)
        same = str(found.same_text) if found.same_text or found.near_ties or found.faults else ""
        print(f"{name:18}{found.rows:5}{same:>11}{found.near_ties:11}{found.worst:18.1e}{len(found.faults):8}")
        faults += found.faults
    print(f"{sum(map(len, golden.values()))} rows, {seconds:.0f} CPU seconds; tolerances: golden/README.md")
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _ask(shared: Path, target: str, golden: Mapping[str, Sequence[Row]], batch_size: int) -> list[Answer]:
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(shared / "rwku")))
    probes = golden_probes(benchmark.probes(target), target, golden)
    llm = load_language_model(resolve_model("smollm2-135m-instruct"), device="cpu")
    config = EvaluationConfig(scoring="released", batch_size=batch_size)
    return benchmark.ask(llm, probes, reference=None, as_loaded=False, config=config)["released"]


if __name__ == "__main__":
    sys.exit(main())
