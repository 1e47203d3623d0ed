"""How the time of preparing grows with the corpus, and that of a step with the model and with the texts in it.

    python perf/scaling.py threads=1         # the embedded model and its default corpus; minutes on one core

A corpus is prepared once: the reference model reads every text, and the encoder every window; both without a cache. A
step is that of the default task (`perf/gpu.py`) with random weights in the shape of the embedded model, of which fewer
blocks are taken. All should be linear: the last column is what stays the same then. Times are medians. Memory is the
matter of perf/memory.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import median

import torch
from bench import matmul_rate
from bench import seconds as seconds_of
from gpu import MODELS, Measured, Precision, Way, measure
from memory_model import Shape
from pairs import Bench, one_line_errors

from atu.entry.compose import compose_run
from atu.training.device import choose_compute, set_threads

TEXTS = (16, 32, 64, 128)
BLOCKS = (8, 15, 30)
BATCHES = (1, 2, 4)
"""Default batches in a step."""


@dataclass(frozen=True)
class Row:
    """One size and what it takes."""

    what: str
    size: str
    seconds: float
    each: str
    """Seconds for one unit of the size."""


def main() -> None:
    """Measure all and print each row at once: the largest take minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=("corpus", "step"), help="one of both")
    parser.add_argument("overrides", nargs="*", help="keys of config/train.yaml, such as threads=1")
    given = parser.parse_args()
    with one_line_errors():
        config = compose_run(given.overrides)
        set_threads(config.threads)
        parts: list[Iterator[Row]] = []
        if given.only != "step":
            parts.append(corpus_rows(Bench.prepare(config, choose_compute("cpu", "fp32")), given.repeats))
    if given.only != "corpus":
        parts.append(step_rows(given.repeats))
    print(f"{torch.get_num_threads()} thread(s)")
    for row in chain.from_iterable(parts):
        print(f"{row.what:26}{row.size:28}{row.seconds:9.2f} s{row.each:>24}", flush=True)


def corpus_rows(bench: Bench, repeats: int) -> Iterator[Row]:
    """Preparing more and more of the forget texts."""
    texts = bench.materials.forget.rows
    for count in sorted({min(count, len(texts)) for count in TEXTS}):
        tokens = sum(len(row.ids) for row in texts[:count])
        for what, work in (
            ("the model reads a corpus", bench.read_references(count)),
            ("windows of a corpus", bench.embed_windows(count).ours),
        ):
            seconds = median(seconds_of(work) for _ in range(repeats))
            yield Row(
                what, f"{count} texts, {tokens:,} tokens", seconds, f"{1e6 * seconds / tokens:.0f} s / 1 M tokens"
            )


def step_rows(repeats: int) -> Iterator[Row]:
    """A step of a deeper and deeper model, and of more and more texts."""
    shape = MODELS["135M"]
    for blocks in BLOCKS:
        less = replace(shape, blocks=blocks)
        (row,) = _steps(less, repeats, [1])
        weights = less.parameters / 1e6
        each = f"{1e3 * row.seconds / weights:.1f} s / 1 G weights"
        yield Row("a step by depth", f"{blocks} blocks, {weights:.0f} M weights", row.seconds, each)
    for row in _steps(shape, repeats, BATCHES):
        yield Row(
            "a step by texts", f"{row.batches} x (8 + 12)", row.seconds, f"{row.seconds / row.batches:.2f} s / batch"
        )


def _steps(shape: Shape, repeats: int, batches: Sequence[int]) -> Iterator[Measured]:
    device = torch.device("cpu")
    rates: dict[Precision, float] = {"fp32": matmul_rate((1024, 1024, 1024), device)}
    return measure("135M", shape, device, rates, repeats, [Way("fp32", False, count) for count in batches])


if __name__ == "__main__":
    main()
