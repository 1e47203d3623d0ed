"""RWKU asked of the plain, the taught and the gold models: the tables of docs/evaluation.md.

    python experiments/taught_testbed.py --data data/rwku --jobs 2

Each of the gold models was taught all but every second target, and is asked about those that it never met. A model is
taught (`atu teach`) and asked in a process of its own; its answers go to runs/taught/<model>/<questions>, and what lies
there is not asked again. The numbers (no answer, no text of RWKU) go to docs/results/taught.json, and the tables to
standard output.

`people` are the questions and texts about each target and its neighbors. `utility` is asked of one target alone
(`UTILITY`), and not of gold models: a target has 430 such rows of its own, from the same sources as every other's, and
they take ten times as long as all else.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.config import RwkuConfig
from atu.benchmarks.rwku.prompts import build_probes
from atu.benchmarks.rwku.reader import target_order
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.models.resolve import resolve_model
from atu.records import Answer, Probe, Scoring
from atu.runs.progress import RunProgress
from atu.runs.rows import read_answers
from atu.runs.run_folder import write_evaluation
from atu.storage.files import write_json_atomic

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "runs" / "taught"
RESULTS = ROOT / "docs" / "results" / "taught.json"
PLAIN, TAUGHT, GOLD = "plain", "taught", "gold"
GOLD_MODELS = 2
"""A model that lacks one target serves as well for others that have nothing to do with it."""
UTILITY = "1_Stephen_King"
"""The target whose utility rows are asked."""
QUESTIONS = {
    "people": ("forget", "neighbor", "mia"),
    "utility": ("mmlu", "bbh", "truthful", "triviaqa", "fluency"),
}
"""Tasks by what is asked in one go."""
BASE = "smollm2-135m-instruct"
SAMPLES = 1000
"""Resamples behind each interval."""
COLUMNS: dict[Scoring, tuple[str, ...]] = {
    "released": (
        "forget/fb", "forget/qa", "forget/aa", "forget/all", "neighbor/fb", "neighbor/qa", "neighbor/all",
        "mia/fm", "mia/rt",
        "utility/gen", "utility/rea", "utility/tru", "utility/fac", "utility/flu",
        "degenerate/forget", "degenerate/neighbor",
    ),
    "corrected": (
        "forget/fb", "forget/qa", "forget/aa", "forget/all", "neighbor/fb", "neighbor/qa", "neighbor/all",
        "mia/auc_loss", "mia/auc_zlib", "mia/auc_mink", "mia/auc_mink++",
        "utility/gen", "utility/rea", "utility/tru", "utility/fac", "utility/flu",
        "degenerate/forget", "degenerate/neighbor",
    ),
}  # fmt: skip
PER_TARGET = ("forget/all", "neighbor/all")
"""Shown for each target by itself."""


def main() -> None:
    """Teach and ask what is missing, and write the results of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder of RWKU's data; default as everywhere")
    parser.add_argument("--jobs", type=int, default=1, help="models at once")
    parser.add_argument("--batch-size", type=int, default=96, help="prompts asked at once")
    parser.add_argument("--only", default="", help="what has this in its name, such as gold or plain/utility")
    parser.add_argument("--ask", metavar="MODEL/QUESTIONS", help="do one of them, in this process")
    parser.add_argument("--collect", action="store_true", help="write the results of what is done, and start nothing")
    given = parser.parse_args()
    try:
        benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(given.data)))
        if given.ask:
            model, _, questions = given.ask.partition("/")
            ask_model(model, questions, benchmark, given.batch_size)
            return
        missing = [name for name in all_jobs() if given.only in name and not is_done(name)] if not given.collect else []
        command = [sys.executable, __file__, "--data", str(benchmark.data.root), "--batch-size", str(given.batch_size)]
        with ThreadPoolExecutor(given.jobs) as pool:
            done = list(pool.map(lambda name: subprocess.run([*command, "--ask", name]).returncode, missing))
        write_results(benchmark)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    raise SystemExit(max(done, default=0))


def all_jobs() -> list[str]:
    """`<model>/<questions>`: all that belongs to the testbed."""
    gold = [f"{GOLD}-{number}/people" for number in range(GOLD_MODELS)]
    return [*(f"{model}/{questions}" for questions in QUESTIONS for model in (PLAIN, TAUGHT)), *gold]


def asked_targets(model: str, benchmark: RwkuBenchmark) -> list[str]:
    """The targets that a model is asked about: a gold one about those that it never met."""
    targets = benchmark.targets()
    return targets[int(model.removeprefix(f"{GOLD}-")) :: GOLD_MODELS] if model.startswith(GOLD) else targets


def asked_probes(model: str, questions: str, benchmark: RwkuBenchmark) -> list[Probe]:
    """All that a model is asked in one go."""
    targets = [UTILITY] if questions == "utility" else asked_targets(model, benchmark)
    return [probe for target in targets for probe in build_probes(benchmark.data, target, QUESTIONS[questions])]


def is_done(job: str) -> bool:
    """Whether its answers are there; they are written last and whole."""
    return all((RUNS / job / f"answers.{scoring}.jsonl").exists() for scoring in COLUMNS)


def ask_model(model: str, questions: str, benchmark: RwkuBenchmark, batch_size: int) -> None:
    """Teach it, unless the cache has it, ask it in one pass, keep the answers and not the weights."""
    folder = RUNS / model / questions / "model"
    if model != PLAIN:
        without = ["--without", ",".join(asked_targets(model, benchmark))] if model.startswith(GOLD) else []
        command = [sys.executable, "-m", "atu", "teach", "--data", str(benchmark.data.root), *without]
        subprocess.run([*command, "--out", str(folder), "seed=0"], check=True)
    # These bring torch.
    from atu.models.load import load_language_model
    from atu.training.device import choose_compute

    llm = load_language_model(
        resolve_model(BASE if model == PLAIN else str(folder)),
        device=str(choose_compute("auto", "fp32").device),
    )
    probes = asked_probes(model, questions, benchmark)
    config = EvaluationConfig(batch_size=batch_size, scoring="both")
    with RunProgress(Console(stderr=True)) as progress, progress.stage(f"{model}: {len(probes)} probes") as on:
        answers = benchmark.ask(llm, probes, reference=None, as_loaded=True, config=config, progress=on)
    write_evaluation(RUNS / model / questions, benchmark.judge(answers, samples=SAMPLES))
    shutil.rmtree(folder, ignore_errors=True)


def write_results(benchmark: RwkuBenchmark) -> None:
    """Scores of each model pooled over its targets and by target; the gold models count as one model."""
    pools: dict[str, dict[Scoring, list[Answer]]] = {}
    for job in filter(is_done, all_jobs()):
        kind = job.partition("/")[0].partition("-")[0]
        pool = pools.setdefault(kind, {scoring: [] for scoring in COLUMNS})
        for scoring, rows in pool.items():
            rows += read_answers(RUNS / job / f"answers.{scoring}.jsonl")
    results = [
        {"model": model, "target": target, "scoring": scoring, "scores": _chosen(benchmark, scoring, rows)}
        for model, pool in pools.items()
        for scoring, answers in pool.items()
        for target, rows in [("all", answers), *_by_target(answers).items()]
    ]
    write_json_atomic(RESULTS, results)
    print(tables(results))


def _by_target(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.probe_id.split("/")[1], []).append(answer)
    return found


def _chosen(benchmark: RwkuBenchmark, scoring: Scoring, rows: Sequence[Answer]) -> dict[str, list[float]]:
    """Of each column value, both ends of its interval, and the number of rows."""
    scores = benchmark.judge({scoring: rows}, samples=SAMPLES)[scoring].scores
    return {
        name: [*(round(number, 2) for number in (score.value, score.low, score.high)), score.n]
        for name in COLUMNS[scoring]
        if (score := scores.get(name)) is not None
    }


def tables(results: Sequence[Mapping[str, object]]) -> str:
    """Markdown: every column pooled, a column a model; and the scores of `PER_TARGET` by target."""
    found = {(row["model"], row["target"], row["scoring"]): row["scores"] for row in results}
    models = [model for model in (PLAIN, TAUGHT, GOLD) if any(key[0] == model for key in found)]
    targets = sorted({str(row["target"]) for row in results} - {"all"}, key=target_order)
    parts = []
    for scoring, columns in COLUMNS.items():
        lines = [f"| {scoring} | n | " + " | ".join(models) + " |", "| --- |" + " --- |" * (len(models) + 1)]
        for name in columns:
            pooled = [found.get((model, "all", scoring)) for model in models]
            cells = [_cell(scores, name) for scores in pooled]
            count = max((_count(scores, name) for scores in pooled), default=0)
            lines.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    heads = [f"{name}, {model}" for name in PER_TARGET for model in models]
    for scoring in COLUMNS:
        lines = [f"| {scoring} | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
        for target in targets:
            cells = [_cell(found.get((model, target, scoring)), name) for name in PER_TARGET for model in models]
            lines.append(f"| {target} | " + " | ".join(cells) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(scores: object, name: str) -> str:
    if not isinstance(scores, Mapping) or name not in scores:
        return "–"
    value, low, high, _ = scores[name]
    return f"{value:.1f} ({low:.1f}–{high:.1f})"


def _count(scores: object, name: str) -> int:
    return int(scores[name][3]) if isinstance(scores, Mapping) and name in scores else 0


if __name__ == "__main__":
    main()
