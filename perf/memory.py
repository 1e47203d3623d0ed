"""What fits into which GPU, by the memory model of `perf/memory_model.py`; and that model against measured steps.

    python perf/memory.py              the tables of docs/memory.md
    python perf/memory.py --measure    one real step of small models beside what the model says, in each way to train
    python perf/memory.py --gpu        the same on a GPU with the 1B and 4B models of the tables, random weights

Measured is the highest sum of the bytes that PyTorch's CPU allocator has given out, from its profiler's record of each
allocation: the same to the byte in each run, and blind to what the Python process holds besides. Weights and optimiser
state, which are there before the step, are counted tensor by tensor. On a GPU it is what its allocator reports.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from dataclasses import replace

import torch
from memory_model import BatchSize, Memory, Setup, Shape, estimate
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from atu.methods.config import TrainingModule
from atu.methods.losses import kl_to_reference
from atu.models.adapters import adapter_parameters, add_adapter, add_subspace, layer_sizes, linear_layers
from atu.models.config import LoraConfig, ModelConfig
from atu.models.hook import final_hidden_states, logits_from_hidden
from atu.models.quantization import quantization_config
from atu.training.activations import checkpoint_activations
from atu.training.optimizer import unlearn_optimizer

GIB = 2**30
CARDS = (16, 24, 40, 80)
RESERVED = 1.0
"""GiB of a card that CUDA's context and the allocator's gaps take: set aside, not measured here."""
SHAPES = {
    "1B": Shape(
        vocab=128_256, width=2048, inner=8192, blocks=16, heads=32, kv_heads=8, head_width=64, tied=True
    ),  # Llama 3.2 1B
    "4B": Shape(
        vocab=32_064, width=3072, inner=8192, blocks=32, heads=32, kv_heads=32, head_width=96, tied=False
    ),  # Phi-3-mini
    "8B": Shape(
        vocab=128_256, width=4096, inner=14_336, blocks=32, heads=32, kv_heads=8, head_width=128, tied=False
    ),  # Llama 3.1 8B
}
BATCH = BatchSize(forget_tokens=8 * 96, retain_tokens=12 * 96, forget_scored=8 * 64, retain_scored=12 * 64)
"""8 forget and 12 retain texts, the default, of 96 tokens, 64 of them scored."""
GPU = Setup(autocast=True, foreach=True)
WAYS = {
    "full, AdamW": GPU,
    "full, AdamW, checkpointing": replace(GPU, checkpointing=True),
    "full, 8-bit AdamW, checkpointing": replace(GPU, optimizer="adamw8bit", foreach=False, checkpointing=True),
    "LoRA 16 on float32": replace(GPU, rank=16),
    "LoRA 16 on bfloat16": replace(GPU, rank=16, weights="bfloat16"),
    "LoRA 16 on int8": replace(GPU, rank=16, weights="int8"),
    "LoRA 16 on nf4": replace(GPU, rank=16, weights="nf4"),
    "LoRA 16 on nf4, checkpointing": replace(GPU, rank=16, weights="nf4", checkpointing=True),
    "subspace on float32": replace(GPU, rank=1, subspace=True),
    "subspace on bfloat16": replace(GPU, rank=1, subspace=True, weights="bfloat16"),
    "subspace on bfloat16, checkpointing": replace(GPU, rank=1, subspace=True, weights="bfloat16", checkpointing=True),
    "subspace on nf4, checkpointing": replace(GPU, rank=1, subspace=True, weights="nf4", checkpointing=True),
}

SMALL = Shape(vocab=2000, width=256, inner=704, blocks=6, heads=4, kv_heads=2, head_width=64, tied=False)
WIDE = Shape(vocab=8000, width=384, inner=1024, blocks=3, heads=6, kv_heads=6, head_width=64, tied=True)
FEW = BatchSize(forget_tokens=2 * 32, retain_tokens=3 * 32, forget_scored=2 * 16, retain_scored=3 * 16)
MANY = BatchSize(forget_tokens=4 * 96, retain_tokens=12 * 96, forget_scored=4 * 64, retain_scored=12 * 64)
MEASURED = {
    "full": Setup(),
    "full, checkpointing": Setup(checkpointing=True),
    "full, SGD": Setup(optimizer="sgd"),
    "full, 8-bit AdamW": Setup(optimizer="adamw8bit"),
    "full, autocast": Setup(autocast=True),
    "full, autocast, checkpointing": Setup(autocast=True, checkpointing=True),
    "LoRA": Setup(rank=8),
    "LoRA, checkpointing": Setup(rank=8, checkpointing=True),
    "LoRA, autocast": Setup(rank=8, autocast=True),
    "LoRA on bfloat16, autocast": Setup(rank=8, autocast=True, weights="bfloat16"),
    "LoRA on nf4": Setup(rank=8, weights="nf4"),
    "LoRA on nf4, autocast": Setup(rank=8, autocast=True, weights="nf4"),
    "LoRA on int8": Setup(rank=8, weights="int8"),
    "subspace": Setup(rank=1, subspace=True),
    "subspace, checkpointing": Setup(rank=1, subspace=True, checkpointing=True),
    "subspace, autocast": Setup(rank=1, subspace=True, autocast=True),
    "subspace on bfloat16, autocast": Setup(rank=1, subspace=True, autocast=True, weights="bfloat16"),
    "subspace on nf4": Setup(rank=1, subspace=True, weights="nf4"),
    "subspace on int8": Setup(rank=1, subspace=True, weights="int8"),
}


def main() -> None:
    """Print the tables, or the comparison; with --json the comparison as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--only", default="", help="with --measure and --gpu: rows whose name has this in it")
    parser.add_argument("--json", action="store_true", help="with --measure and --gpu: for programs")
    given = parser.parse_args()
    if given.gpu:
        cases = [(size, SHAPES[size], "", BATCH, WAYS) for size in ("1B", "4B")]
    elif given.measure:
        shapes, batches = {"small": SMALL, "wide": WIDE}, {"few tokens": FEW, "many tokens": MANY}
        cases = [
            (size, shape, f", {amount}", batch, MEASURED)
            for size, shape in shapes.items()
            for amount, batch in batches.items()
        ]
    else:
        print(_tables())
        return
    rows = []
    for size, shape, amount, batch, ways in cases:
        for way, setup in ways.items():
            name = f"{size}{amount}: {way}"
            if given.only not in name:
                continue
            measured = measured_peak(shape, setup, batch, device="cuda" if given.gpu else "cpu")
            expected = estimate(shape, setup, batch).peak
            rows.append({"name": name, "measured": measured, "expected": expected})
            if not given.json:
                ratio = expected / measured
                print(f"{name:56}{measured / 1e6:9.1f} MB{expected / 1e6:9.1f} MB{ratio:7.3f}", flush=True)
    if given.json:
        print(json.dumps(rows))


def _tables() -> str:
    lines = []
    for size, shape in SHAPES.items():
        lines += [
            f"### {size}: {shape.parameters / 1e9:.2f} billion weights",
            "",
            "| way to train | weights | gradients | optimizer | activations | peak | "
            + " | ".join(f"{card} GB" for card in CARDS)
            + " |",
            "| --- | --- | --- | --- | --- | --- |" + " --- |" * len(CARDS),
        ]
        lines += [_row(way, estimate(shape, setup, BATCH)) for way, setup in WAYS.items()]
        lines.append("")
    return "\n".join(lines).rstrip()


def _row(way: str, memory: Memory) -> str:
    parts = (memory.weights, memory.gradients, memory.optimizer, memory.activations, memory.peak)
    fits = ["yes" if memory.peak / GIB + RESERVED <= card else "" for card in CARDS]
    return f"| {way} | " + " | ".join([*(f"{part / GIB:.1f}" for part in parts), *fits]) + " |"


def measured_peak(shape: Shape, setup: Setup, batch: BatchSize, *, device: str = "cpu") -> int:
    """Bytes at the peak of the second step of a random model of this shape."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with torch.device(device):
        model = _build(shape, setup, device)
        head = nn.Linear(shape.width, shape.vocab, bias=False, dtype=model.get_output_embeddings().weight.dtype)
    model.get_input_embeddings().requires_grad_(False)
    model.get_output_embeddings().requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = unlearn_optimizer(trained, TrainingModule(unlearning_optimizer=setup.optimizer))
    with torch.device(device):
        parts = [
            (_batch(shape, tokens, scored), scored)
            for tokens, scored in (
                (batch.forget_tokens, batch.forget_scored),
                (batch.retain_tokens, batch.retain_scored),
            )
        ]

    def step() -> None:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=setup.autocast):
            total = torch.stack([_term(model, head, ids, states, scored) for (ids, states), scored in parts]).sum()
        total.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    step()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        step()
        return torch.cuda.max_memory_allocated()
    held = _storage_bytes([*model.parameters(), *model.buffers(), *head.parameters()])
    held += _storage_bytes([v for s in optimizer.state.values() for v in s.values() if isinstance(v, Tensor)])
    held += sum(
        _storage_bytes([state.absmax, state.code])
        for p in model.parameters()
        if (state := getattr(p, "quant_state", None))
    )
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    events = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return held + most


def llama_config(shape: Shape) -> LlamaConfig:
    """Of a Llama of this shape."""
    return LlamaConfig(
        vocab_size=shape.vocab, hidden_size=shape.width, intermediate_size=shape.inner,
        num_hidden_layers=shape.blocks, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_width, tie_word_embeddings=shape.tied,
    )  # fmt: skip


def _build(shape: Shape, setup: Setup, device: str) -> PreTrainedModel:
    model = LlamaForCausalLM(llama_config(shape))
    if setup.weights == "bfloat16":
        model.bfloat16()
    if setup.weights in ("int8", "nf4"):
        quantization = quantization_config(setup.weights, dtype=torch.float32)
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            model = LlamaForCausalLM.from_pretrained(
                folder, dtype=torch.float32, quantization_config=quantization, device_map={"": device}
            )
    if setup.subspace:
        names = [name for layers in linear_layers(model, range(shape.blocks)).values() for name in layers]
        width = {name: layer_sizes(model.get_submodule(name))[0] for name in names}
        add_subspace(model, {name: torch.ones(setup.rank or 1, width[name]) for name in names})
    elif setup.rank is not None:
        lora = LoraConfig(rank=setup.rank)
        add_adapter(model, ModelConfig(name="small", model_name="small", adapter="lora", lora=lora), seed=0)
    if setup.rank is not None:
        model.requires_grad_(False)
        for parameter in adapter_parameters(model).values():
            parameter.requires_grad_(True)
    if setup.checkpointing:
        checkpoint_activations(model)
    return model.train()


def _batch(shape: Shape, tokens: int, scored: int) -> tuple[Tensor, Tensor]:
    """Rows of 32 or 96 tokens, and reference states of the scored ones."""
    width = 96 if tokens % 96 == 0 and tokens > 96 else 32
    return torch.randint(shape.vocab, (tokens // width, width)), torch.randn(scored, shape.width)


def _term(model: PreTrainedModel, head: nn.Module, ids: Tensor, states: Tensor, scored: int) -> Tensor:
    hidden = final_hidden_states(model, ids, torch.ones_like(ids, dtype=torch.bool))
    logits = logits_from_hidden(model, hidden.flatten(0, 1)[:scored])
    with torch.no_grad():
        reference = head(states)
    return kl_to_reference(logits, reference)


def _storage_bytes(tensors: list[Tensor]) -> int:
    """Of the storages behind tensors, each once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
