"""Every row of the reference implementation's logs of TOFU through the real models: part of `make golden`.

python tests/golden/whole_tofu.py [--shared DIR] [--logs taught_a,base_b] [--batch-size 12]

Prints the greatest difference of each number by log, exit 1 on a fault. A greedy text of a model that was not taught
may differ where two tokens are nearly tied; such texts are counted.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the tests' helpers

from golden_tofu import LOGS, Agreement, Log, compare_log, probes_of, tuned

from atu.benchmarks.tofu.benchmark import TofuBenchmark
from atu.benchmarks.tofu.config import TofuConfig
from atu.evaluation.config import EvaluationConfig
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model
from atu.records import Answer


def main() -> int:
    """Ask, compare, print."""
    shared = Path(os.environ.get("ATU_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=shared, help="folder with tofu/ and golden/tofu/")
    parser.add_argument("--logs", default=",".join(LOGS), help="names of logs, joined by commas")
    parser.add_argument("--batch-size", type=int, default=12)
    given = parser.parse_args()
    golden = given.shared / "golden" / "tofu"
    if not golden.is_dir():
        print(f"There are no logs at {golden}: name the folder with --shared or ATU_SHARED.", file=sys.stderr)
        return 2
    base = load_language_model(resolve_model("smollm2-135m-instruct"), device="cpu")
    faults = []
    for name in given.logs.split(","):
        log = LOGS[name]
        llm = base if log.model == "base" else tuned(base, golden / "models" / f"{log.model}-lora.safetensors")
        start = time.process_time()
        expected = json.loads((golden / "out" / f"{name}.eval.json").read_text(encoding="utf-8"))
        found = compare_log(
            expected, _ask(llm, log, given.shared / "tofu", "mia_gradnorm" in expected, given.batch_size)
        )
        _print(name, found, time.process_time() - start)
        faults += [f"{name}: {fault}" for fault in found.faults]
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _ask(llm: LanguageModel, log: Log, data: Path, gradnorm: bool, batch_size: int) -> list[Answer]:
    if log.pad is not None:
        tokenizer = copy.deepcopy(llm.tokenizer)
        tokenizer.pad_token = log.pad
        llm = replace(llm, tokenizer=tokenizer)
    keys = TofuConfig(split="forget01", data_dir=str(data), template=log.template, gradnorm=gradnorm)
    judge = TofuBenchmark(keys)
    config = EvaluationConfig(scoring="released", batch_size=batch_size)
    return judge.ask(llm, probes_of(judge, log.rows), reference=None, as_loaded=False, config=config)["released"]


def _print(name: str, found: Agreement, seconds: float) -> None:
    print(
        f"{name}: {found.numbers} numbers, {found.texts - found.other_texts} of {found.texts} texts equal, "
        f"{len(found.faults)} faults, {seconds:.0f} CPU seconds",
        flush=True,
    )
    for metric, worst in sorted(found.worst.items()):
        print(f"  {metric:32}{worst:10.1e}")


if __name__ == "__main__":
    sys.exit(main())
