"""Speed and memory of the default unlearn step on this device, by model size, precision and torch.compile.

    python perf/gpu.py                       # 135M, 1B and 4B
    python perf/gpu.py --only 135M --repeats 20

The models are shaped like SmolLM2-135M, Llama 3.2 1B and Phi-3-mini and hold random weights, which the clock does not
mind. A step is that of `task=unlearning_atu`: forget and retain texts packed, from the frozen half of the blocks on,
loss, backward pass, clipping, AdamW. The batch is the default one (8 forget and 12 retain texts) and eight times it. Of
the rate: counted floating point operations a second over those of one large matrix product in the same precision,
measured in the same process. Times are medians; results also go to perf/gpu.json.
"""

from __future__ import annotations

import argparse
import gc
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from bench import matmul_rate
from bench import seconds as seconds_of
from memory import GIB, SHAPES, llama_config
from memory_model import Shape
from pairs import Work, one_line_errors, whole_step
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from atu.embedding.predictor import build_predictor
from atu.embedding.windows import Windows
from atu.entry.compose import compose_run
from atu.methods.config import TaskConfig
from atu.methods.layers import resolve_layers
from atu.methods.materials import Materials, RowSet
from atu.methods.references import original_head, reference_states
from atu.methods.unlearning import Unlearning
from atu.models.hook import transformer_blocks
from atu.models.language_model import LanguageModel
from atu.models.rows import Row
from atu.storage.files import write_json_atomic
from atu.training.device import choose_compute
from atu.training.optimizer import unlearn_optimizer
from atu.training.parameters import trainable_parameters

Precision = Literal["fp32", "bf16"]
DTYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
MODELS = {
    "135M": Shape(vocab=49_152, width=576, inner=1536, blocks=30, heads=9, kv_heads=3, head_width=64, tied=True),
    "1B": SHAPES["1B"],
    "4B": SHAPES["4B"],
}
HEAD_TOKENS, TEXT_TOKENS = 32, 64
"""What all texts begin with, as a chat prompt, and what follows in each."""
NUM_FORGET, NUM_RETAIN = 64, 96
"""Texts at hand: those of the largest step."""
CONCEPT_TOKENS = 16
"""Tokens of each text and of the vocabulary that count as the concept's."""
WARM_UP = 3
ENCODER_WIDTH = 384


@dataclass(frozen=True)
class Way:
    """How a step is taken. Weights, gradients and optimiser state are float32."""

    precision: Precision
    """Of the products."""
    compiled: bool
    """Whether the blocks go through torch.compile."""
    batches: int
    """Default batches in one step."""


WAYS = (
    Way("fp32", False, 1),
    Way("bf16", False, 1),
    Way("bf16", False, 8),
    Way("bf16", True, 1),
    Way("bf16", True, 8),
)


@dataclass(frozen=True)
class Measured:
    """A way to take the step, with one model."""

    model: str
    precision: Precision
    compiled: bool
    batches: int
    seconds: float
    """Of a step."""
    of_rate: float
    """Share of the matrix rate in this precision."""
    peak_gib: float | None
    """Most memory that torch had given out during the steps; None on a CPU, where it does not count."""


def main() -> None:
    """Measure and print every way for every model whose name holds `only`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--only", default="", help="models whose name has this in it")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "gpu.json")
    given = parser.parse_args()
    console = Console()
    with one_line_errors():
        device = choose_compute(given.device, "fp32").device
        size = 8192 if device.type == "cuda" else 1024
        rates = {name: matmul_rate((size, size, size), device, dtype) for name, dtype in DTYPES.items()}
        machine = {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else platform.machine(),
            "tflops": {precision: round(rate / 1e12, 2) for precision, rate in rates.items()},
            "torch": torch.__version__,
        }
        console.print(machine)
        rows: list[Measured] = []
        for name, shape in MODELS.items():
            if given.only in name:
                for row in measure(name, shape, device, rates, given.repeats):
                    console.print(row)  # a later one may not come: compiling a large model takes minutes
                    rows.append(row)
                    write_json_atomic(given.out, {"machine": machine, "rows": [asdict(row) for row in rows]})
    console.print(table(rows))


def measure(
    name: str,
    shape: Shape,
    device: torch.device,
    rates: Mapping[Precision, float],
    repeats: int,
    ways: Sequence[Way] = WAYS,
) -> Iterator[Measured]:
    """Time the default task's step with a random model of this shape, way by way; one that needs more memory than
    there is has no row, and says so."""
    operations: dict[int, int] = {}
    for way in ways:
        try:
            seconds, peak_gib = _measure_way(shape, device, way, operations, repeats)
        except torch.OutOfMemoryError:
            print(f"{name}: {way} does not fit into the device's memory")
        else:
            of_rate = operations[way.batches] / seconds / rates[way.precision]
            yield Measured(name, way.precision, way.compiled, way.batches, seconds, of_rate, peak_gib)
        gc.collect()
        torch.compiler.reset()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def _measure_way(
    shape: Shape, device: torch.device, way: Way, operations: dict[int, int], repeats: int
) -> tuple[float, float | None]:
    """Seconds of a step and the most memory; counts the operations of its batch unless `operations` has them."""
    is_cuda = device.type == "cuda"
    step = build_step(shape, device, way)
    if way.batches not in operations:  # the same in every precision, and not to be seen in compiled code
        with FlopCounterMode(display=False) as counter:
            step()
        operations[way.batches] = counter.get_total_flops()
    for _ in range(WARM_UP):
        step()
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = median(seconds_of(step) for _ in range(repeats))
    return seconds, torch.cuda.max_memory_allocated() / GIB if is_cuda else None


STEP = (
    "task=unlearning_distill",
    "task.training_module.moves=weights",
    "task.training_module.retain_batch_size=12",
    "task.objective.distill.repeat_name=false",
    "~task.objective.refusal",
    "+task.objective.redirect.weight=1",
    "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 1}]",
)
"""The step that is measured: logits and hook states, with the gradients of all weights of the upper half."""


def build_step(shape: Shape, device: torch.device, way: Way) -> Work:
    """A whole step of training that gives its loss, each time with the next texts."""
    config = compose_run(STEP)
    module = config.task.training_module
    module = replace(
        module,
        forget_batch_size=way.batches * module.forget_batch_size,
        retain_batch_size=way.batches * module.retain_batch_size,
    )
    task = replace(config.task, training_module=module)
    compute = choose_compute("cuda" if device.type == "cuda" else "cpu", way.precision)
    llm = random_model(shape, device)
    with compute.autocast():
        materials = random_materials(llm, task)
    predictor = build_predictor(config.embedding_prediction_model, d_llm=shape.width, d_enc=ENCODER_WIDTH, seed=0)
    unlearning = Unlearning(llm, task, materials, predictor.to(device).requires_grad_(False).eval())
    trained = trainable_parameters(llm, train_embeddings=False, layers=materials.trained_layers)
    stage = next(stage for stage in task.stages if stage.type == "unlearning")
    llm.model.train()
    if way.compiled:
        for block in transformer_blocks(llm.model):
            block.compile()
    steps = count()

    def losses() -> Tensor:
        with compute.autocast():
            return unlearning.losses(stage, next(steps), seed=0)["total"]

    return whole_step(losses, unlearn_optimizer(trained.values(), module))


def random_model(shape: Shape, device: torch.device) -> LanguageModel:
    """A float32 model of this shape, made on the device; its tokenizer knows no words, for none is read."""
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM(llama_config(shape))
    return LanguageModel(model.eval(), PreTrainedTokenizerBase(), "random", (0,))


def random_materials(llm: LanguageModel, task: TaskConfig) -> Materials:
    """Random texts behind one beginning, with the references that the objective of `STEP` reads."""
    text = llm.model.config.get_text_config()
    depth, vocab = text.num_hidden_layers, text.vocab_size
    layers = resolve_layers(task, depth)
    hook, trained = layers.hook, layers.trained
    draw = torch.Generator().manual_seed(0)
    head = torch.randint(vocab, (HEAD_TOKENS,), generator=draw).tolist()
    rows = [
        Row(
            ids=(*head, *torch.randint(vocab, (TEXT_TOKENS,), generator=draw).tolist()),
            ends=tuple(range(1, HEAD_TOKENS + TEXT_TOKENS + 1)),
            string="",
            body_start=HEAD_TOKENS,
            subject="",
        )
        for _ in range(NUM_FORGET + NUM_RETAIN)
    ]
    hidden = [range(HEAD_TOKENS, HEAD_TOKENS + CONCEPT_TOKENS)] * NUM_FORGET
    # Which windows there are does not matter, only that the positions of a text have one.
    places = torch.tensor([-1] * HEAD_TOKENS + [0] * TEXT_TOKENS)
    windows = Windows(torch.zeros(1, ENCODER_WIDTH), (places,) * (NUM_FORGET + NUM_RETAIN))

    def row_set(chosen: Sequence[Row], hidden: Sequence[Sequence[int]] | None = None) -> RowSet:
        states = reference_states(llm, chosen, frozen_blocks=trained.start, packed=True)
        blind = None if hidden is None else reference_states(llm, chosen, hook_layer=hook, hidden=hidden, packed=True)
        return RowSet(tuple(chosen), states, blind, windows)

    forget, retain = row_set(rows[:NUM_FORGET], hidden), row_set(rows[NUM_FORGET:])
    return Materials(
        forget=forget,
        retain=retain,
        held_out_forget=forget,
        held_out_retain=retain,
        concept_words=(),
        concept_ids=tuple(range(CONCEPT_TOKENS)),
        head=original_head(llm),
        hook_layer=hook,
        trained_layers=trained,
        mean=torch.zeros(ENCODER_WIDTH),
        can_pack=True,
    )


def table(rows: Sequence[Measured]) -> Table:
    """All rows, for the terminal."""
    shown = Table(box=None, header_style="bold")
    for column in ("model", "products", "compiled", "batches", "a step", "steps/s", "of the rate", "peak GiB"):
        shown.add_column(column, justify="left" if column in ("model", "products") else "right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.model,
            row.precision,
            "yes" if row.compiled else "no",
            str(row.batches),
            f"{row.seconds * 1e3:.0f} ms",
            f"{1 / row.seconds:.2f}",
            f"{row.of_rate:.1%}",
            "" if row.peak_gib is None else f"{row.peak_gib:.1f}",
        )
    return shown


if __name__ == "__main__":
    main()
