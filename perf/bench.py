"""How fast the parts are, each against the released way of doing it, and against what the arithmetic alone would take.

    make bench        # = python perf/bench.py; the embedded model, its default corpus, minutes on two cores
    python perf/bench.py --repeats 9 --only step threads=1 pre_trained_llm=...

Both ways of a row run in turns in this process; shown are medians, and the smallest and largest ratio of neighbors.
The floor is the number of floating point operations of our way over the rate of one large matrix product, measured
here and now; a step also moves memory, so nothing reaches 1.0. Results go to perf/latest.json.

The row of the schedule is counted from the others. The released way takes the steps of experiment=embedded-released,
ours those until the end of its first unlearn stage, and what it prepares before them: the windows, and the untouched
model's reading of all texts. By docs/lab/experiments.md ours has forgotten more by then than the released schedule has
at its end, at any rate of its grid. Neither counts the writing of the corpus.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from pairs import Bench, Pair, Work, one_line_errors
from rich.console import Console
from rich.table import Table
from rwku_speed import evaluation
from torch.utils.flop_counter import FlopCounterMode

from atu.benchmarks.rwku.reader import RwkuData
from atu.entry.compose import compose_run
from atu.errors import UserError
from atu.methods.config import StageConfig
from atu.storage.files import write_json_atomic
from atu.training.device import choose_compute, set_threads

_READ = 16
"""Texts whose windows and whose reading are timed."""
_TASKS, _ROWS = ("forget", "mmlu", "truthful", "mia"), 3
"""What is asked of RWKU: a few rows a file; the long free texts take too long for a bench (perf/rwku_speed.py)."""
_AGREE = 1e-3
"""Relative difference of the two ways' numbers from which they do not do the same work."""


Times = list[tuple[float, float]]
"""Seconds of our way and of the released one, a pair a repeat."""


@dataclass(frozen=True)
class Row:
    """One comparison, seconds."""

    name: str
    ours: float
    reference: float
    ratio: float
    """Reference over ours: how many times faster."""
    spread: tuple[float, float]
    """Smallest and largest ratio of two runs that followed each other."""
    floor: float | None
    """What ours would take at the matrix rate; None where it was not counted."""
    goal: float | None = None


def main() -> None:
    """Measure and print every row whose name holds `only`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "latest.json")
    parser.add_argument("overrides", nargs="*", help="keys of config/train.yaml, such as threads=1")
    given = parser.parse_args()
    console = wide_console()
    with one_line_errors():
        config = compose_run(given.overrides)
        set_threads(config.threads)
        bench = Bench.prepare(config, choose_compute(config.device, "fp32"))
    width = bench.llm.model.config.get_text_config().hidden_size
    rate = matmul_rate((2048, width, 4 * width), bench.llm.device)
    rows: list[Row] = []
    times: dict[str, Times] = {}
    for name, goal, build in (
        ("align step", 20.0, bench.align_step),
        ("unlearn step, hook 0.9", 1.5, lambda: bench.push_step(0.9)),
        ("unlearn step, hook 0.5", 3.0, lambda: bench.push_step(0.5)),
        ("unlearn step, default task", None, bench.default_step),
        ("window embeddings", 5.0, lambda: bench.embed_windows(_READ)),
        *rwku_row(bench, console),
    ):
        if given.only in name:
            times[name], operations = compare(name, build(), given.repeats)
            rows.append(row_of(name, times[name], goal, operations / rate))
            console.print(f"{name}: {rows[-1].ratio:.1f} x", highlight=False)
    if not given.only:
        rows.append(row_of("schedule to equal forgetting", schedule_times(bench, times), 10.0, None))
    console.print(table(rows))
    machine = {
        "processor": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gflops": round(rate / 1e9, 1),
        "torch": torch.__version__,
    }
    write_json_atomic(given.out, {"machine": machine, "rows": [asdict(row) for row in rows]})


def rwku_row(bench: Bench, console: Console) -> list[tuple[str, float, Callable[[], Pair]]]:
    """The evaluator's row; none where no data are at hand."""
    shared = Path(os.environ.get("ATU_SHARED") or Path(__file__).resolve().parents[2] / "shared")
    for folder in (None, shared / "rwku"):
        try:
            data = RwkuData(folder)
        except UserError as error:
            missing = error
        else:
            return [("rwku evaluation", 5.0, partial(evaluation, bench.llm, data, _TASKS, _ROWS))]
    console.print(f"rwku evaluation: left out. {missing}", highlight=False)
    return []


def compare(name: str, pair: Pair, repeats: int) -> tuple[Times, int]:
    """Run both ways in turns, after one of each that does not count; also our way's floating point operations.

    Raises:
        RuntimeError: the two ways do not come to the same number.
    """
    with FlopCounterMode(display=False) as counter:
        ours = pair.ours()
    reference = pair.reference()
    if abs(ours - reference) > _AGREE * max(1.0, abs(reference)):
        raise RuntimeError(f"{name}: the two ways differ, {ours} against {reference}.")
    return [(seconds(pair.ours), seconds(pair.reference)) for _ in range(repeats)], counter.get_total_flops()


def schedule_times(bench: Bench, times: Mapping[str, Times]) -> Times:
    """Of both schedules, from the times of their parts, repeat by repeat."""
    task = bench.config.task
    first = next(i for i, stage in enumerate(task.stages) if stage.type == "unlearning")
    released, ours = (
        steps_of(stages)
        for stages in (compose_run(["experiment=embedded-released"]).task.stages, task.stages[: first + 1])
    )
    read = bench.read_references(_READ)
    num_texts, num_readings = bench.num_texts()
    found = []
    for align, push, default, windows in zip(
        *(
            times[name]
            for name in ("align step", "unlearn step, hook 0.9", "unlearn step, default task", "window embeddings")
        ),
        strict=True,
    ):
        prepared = (num_texts * windows[0] + num_readings * seconds(read)) / _READ
        found.append(
            (
                prepared + ours["training"] * align[0] + ours["unlearning"] * default[0],
                released["training"] * align[1] + released["unlearning"] * push[1],
            )
        )
    return found


def steps_of(stages: Iterable[StageConfig]) -> Counter[str]:
    """Steps of all stages of each type."""
    counted: Counter[str] = Counter()
    for stage in stages:
        counted[stage.type] += stage.steps
    return counted


def row_of(name: str, times: Times, goal: float | None, floor: float | None) -> Row:
    """Medians of a row's times."""
    ratios = [reference / ours for ours, reference in times]
    return Row(
        name=name,
        ours=median(ours for ours, _ in times),
        reference=median(reference for _, reference in times),
        ratio=median(ratios),
        spread=(min(ratios), max(ratios)),
        floor=floor,
        goal=goal,
    )


def wide_console() -> Console:
    """One that has room for a table, also where nobody watches."""
    console = Console()
    console.width = max(console.width, 110)
    return console


def seconds(work: Work) -> float:
    """Of one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def matmul_rate(size: tuple[int, int, int], device: torch.device, dtype: torch.dtype = torch.float32) -> float:
    """Floating point operations a second of one product of random matrices, a x b and b x c of size (a, b, c)."""
    a, b, c = size
    left, right = (torch.randn(*shape, device=device, dtype=dtype) for shape in ((a, b), (b, c)))
    runs = [seconds(lambda: float((left @ right)[0, 0])) for _ in range(7)]
    return 2 * a * b * c / median(runs[2:])


def table(rows: Sequence[Row]) -> Table:
    """All rows, for the terminal."""
    shown = Table(box=None, header_style="bold")
    for column in ("", "ours", "released way", "faster", "(spread)", "goal", "of the floor"):
        shown.add_column(column, justify="right" if column else "left", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.name,
            _duration(row.ours),
            _duration(row.reference),
            f"{row.ratio:.1f} x",
            f"{row.spread[0]:.1f}–{row.spread[1]:.1f}",
            "" if row.goal is None else f"{row.goal:g} x",
            "" if not row.floor else f"{row.ours / row.floor:.2f}",
        )
    return shown


def _duration(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.1f} ms"


if __name__ == "__main__":
    main()
