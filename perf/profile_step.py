"""Where the time of an unlearn step goes: the program's own loop under Python's profiler.

    python perf/profile_step.py                 # the default task on the embedded model, 8 steps
    python perf/profile_step.py --steps 4 threads=1

The corpus, references and windows are those of `python launch_training.py`, from the cache if they are there; what a
step logs goes to a file and to the progress bar as in a run. Shares are of the loop over the steps, without the first
one and without checkpoints and held-out signals. What the loop does besides the loss, the backward pass, clipping and
the optimiser is Python between the steps.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from pairs import Bench, one_line_errors
from rich.console import Console

from atu.entry.compose import compose_run
from atu.runs.progress import RunProgress
from atu.runs.tracking import MetricLog
from atu.training.device import choose_compute, set_threads
from atu.training.stages import run_stage
from atu.training.state import TrainingState

WORK = {
    "seeded": "loss",
    "backward": "backward pass",
    "_no_grad_wrapper": "clipping",  # what torch makes of clip_grad_norm_
    "wrapper": "optimiser",  # what torch makes of an optimiser's step
    "zero_grad": "optimiser",
}
"""What the loop calls, by name, and what it is for."""
BETWEEN = "between the steps"
LOOP = ("loop.py", "train")
"""The one optimiser loop, by file and name."""


def main() -> None:
    """Profile and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("overrides", nargs="*", help="keys of config/train.yaml, such as threads=1")
    given = parser.parse_args()
    with one_line_errors():
        config = compose_run(given.overrides)
        set_threads(config.threads)
        compute = choose_compute(config.device, config.training.precision)
        bench = Bench.prepare(config, compute)
    stage = replace(next(stage for stage in config.task.stages if stage.kind == "unlearn"), steps=given.steps)
    with tempfile.TemporaryDirectory() as folder, RunProgress(Console(stderr=True)) as progress:
        state = TrainingState(
            llm=bench.llm,
            task=config.task,
            materials=bench.materials,
            predictor=bench.predictor(),
            reference_predictor=None,
            config=config.training,
            seed=config.seed,
            autocast=compute.autocast,
            folder=Path(folder) / "checkpoint",
            log=MetricLog(Path(folder) / "metrics.jsonl").log,
        )
        with progress.stage("warming up") as advance:
            run_stage(state, replace(stage, steps=1), advance)
        profile = cProfile.Profile()
        with progress.stage(f"profiling {given.steps} steps") as advance:
            profile.runcall(run_stage, state, stage, advance)
    for part, seconds in shares(profile).items():
        print(f"{part:20}{seconds / given.steps * 1e3:10.1f} ms a step{seconds / total(profile):8.1%}")


def shares(profile: cProfile.Profile) -> dict[str, float]:
    """Seconds of the loop by part, in the order of `WORK`; what lies between the steps is last."""
    found: dict[str, float] = dict.fromkeys(WORK.values(), 0.0)
    for (_, _, name), (_, _, _, _, callers) in _stats(profile).items():
        if name in WORK:
            found[WORK[name]] += sum(times[3] for caller, times in callers.items() if _is_loop(caller))
    return {**found, BETWEEN: total(profile) - sum(found.values())}


def total(profile: cProfile.Profile) -> float:
    """Seconds of the loop."""
    return float(sum(times[3] for function, times in _stats(profile).items() if _is_loop(function)))


def _is_loop(function: tuple[str, int, str]) -> bool:
    return (Path(function[0]).name, function[2]) == LOOP


def _stats(profile: cProfile.Profile) -> dict[tuple[str, int, str], tuple[Any, ...]]:
    """By file, line and name of a function: calls, own and whole seconds, and the same by caller."""
    stats: dict[tuple[str, int, str], tuple[Any, ...]] = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    return stats


if __name__ == "__main__":
    main()
