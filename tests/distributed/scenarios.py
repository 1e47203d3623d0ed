"""Trains and runs in one process and in two, and leaves what came of it in a folder; a process of its own, as it forks.

Usage: scenarios.py WORKPLACE MODEL ENCODER OUT
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from forked import start_processes, wait_all
from safetensors.torch import save_file
from tiny_training import materials, own_llm, predictor, task
from torch.distributed.tensor import DTensor
from workplace import Workplace

from atu.errors import UserError
from atu.methods.config import SubspaceConfig
from atu.methods.materials import Materials
from atu.methods.subspace import chosen_directions, find_directions
from atu.models.adapters import add_adapter, add_subspace
from atu.models.config import LoraConfig, ModelConfig
from atu.models.language_model import LanguageModel
from atu.processes import peers
from atu.run import run
from atu.training.config import TrainingConfig
from atu.training.device import choose_compute
from atu.training.sharding import reshard, unshard
from atu.training.stages import run_stage
from atu.training.state import TrainingState

OBJECTIVES: dict[str, tuple[float, dict[str, Any]]] = {
    "push": (0.3, {"push": {}, "retain_kl": {}}),
    "redirect + masked": (0.1, {"redirect": {}, "distill": {}, "retain_kl": {}}),
    "hook alone": (0.3, {"push": {}}),
    "rmu": (1e-3, {"rmu": {}, "retain_kl": {}}),
    "ga": (1e-3, {"ga": {}, "retain_kl": {}}),
    "npo": (1e-2, {"npo": {}, "retain_kl": {}}),
    "simnpo": (1e-2, {"simnpo": {"beta": 0.1}, "retain_kl": {}}),
    "dpo": (1e-3, {"dpo": {}, "retain_kl": {}}),
    "refusal": (1e-3, {"refusal": {}, "retain_kl": {}}),
    "subspace": (1e-2, {"npo": {}, "retain_kl": {}}),
}
"""Learning rate (of plain gradient descent, so that weights show the size of gradients) and terms."""
STAGES = "task.stages=[{type: training, steps: 8}, {type: unlearning, steps: 8}]"
# In bf16 a batch in two parts differs from the whole by more than the tests allow.
SUBSPACE = (
    "task.training_module.moves=subspace", "task.training_module.subspace.min_ratio=2", "skip_initial_eval=true",
    "task=unlearning_distill", "task.stages=[{type: unlearning, steps: 2}]",
)  # fmt: skip
RUN = (STAGES, "embedding_prediction_model.dropout=0", "training.checkpoint_seconds=0", "training.precision=fp32")


def weights(state: TrainingState) -> dict[str, torch.Tensor]:
    """A copy of all weights as they are now."""
    return {name: parameter.detach().clone() for name, parameter in state.llm.model.named_parameters()}


def directions(llm: LanguageModel, made: Materials) -> dict[str, torch.Tensor]:
    """The main process's, as a run has them."""
    found = partial(find_directions, llm, made, SubspaceConfig(), progress=lambda _what: None)
    return peers.from_main(lambda: chosen_directions(found(), min_ratio=2.0, max_rank=1))


def train(model: Path, encoder: Path, out: Path, sharding: Literal["none", "fsdp2"] = "none") -> None:
    """Each objective in turn; the main process writes losses and weights."""
    for name, (rate, objective) in OBJECTIVES.items():
        rows: list[tuple[int, str, float]] = []
        module = {"unlearning_optimizer": "sgd", "unlearning_lr": rate, "clip_grad_norm": 1e6}
        config = task(module, **objective)
        if name == "push":
            config = replace(task({**module, "first_trained_layer": 1}, **objective), contrastive_weight=0.5)
        if name == "ga":  # its gradient passes through a divided block that stays
            config = task({**module, "last_trained_layer": 2}, **objective)
        llm = own_llm(model)
        if name == "npo":
            add_adapter(
                llm.model, ModelConfig(name="t", model_name="t", adapter="lora", lora=LoraConfig(rank=4)), seed=0
            )
        if name == "subspace":
            config = task({**module, "moves": "subspace", "subspace": SubspaceConfig(lr=rate)}, **objective)
        made = materials(llm, encoder, config)
        if name == "subspace":
            add_subspace(llm.model, directions(llm, made))
        fit = predictor(dropout=0.0) if config.aligns else None
        state = TrainingState(
            llm=llm,
            task=config,
            materials=made,
            predictor=fit,
            reference_predictor=None,
            config=TrainingConfig(sharding=sharding, activation_checkpointing=name == "ga"),
            seed=0,
            autocast=choose_compute("cpu", "fp32", devices="auto").autocast,
            folder=out / name / "checkpoint",
            log=lambda step, stage, name, value, rows=rows: rows.append((step, name, value)),
        )
        start = weights(state)
        for stage in config.stages:
            run_stage(state, stage, lambda done, total: None)
        reshard(llm.model)
        here = {key: (len(p.to_local()) if isinstance(p, DTensor) else len(p)) for key, p in state.trained.items()}
        held = peers.from_all(partial(dict, here))
        unshard(llm.model)
        if peers.is_main():
            (out / name / "held.json").write_text(json.dumps(held))
            (out / name / "rows.json").write_text(json.dumps(rows))
            save_file(start, out / name / "start.safetensors")
            save_file(weights(state), out / name / "end.safetensors")


def refused(workplace: Workplace, out: Path) -> None:
    """What two processes cannot share; each of them must be told."""
    try:
        run(workplace.config(*RUN, "task.training_module.forget_batch_size=1", "name=refused"))
    except UserError as error:
        (out / f"refused-{peers.rank()}.txt").write_text(str(error))


def stopped(workplace: Workplace, out: Path) -> None:
    """A run whose other process may be killed; the main one leaves its message."""
    try:
        run(workplace.config(*RUN, "name=two-then-one"))
    except UserError as error:
        (out / f"stopped-{peers.rank()}.txt").write_text(str(error))
        raise


def num_rows(folder: Path) -> int:
    """Rows logged so far."""
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kill_after(rows: int, folder: Path, victim: int) -> None:
    """End a process by SIGKILL once so many rows are logged."""
    end = time.monotonic() + 120
    while num_rows(folder) < rows:
        assert time.monotonic() < end, f"{folder} has {num_rows(folder)} rows"
        time.sleep(0.002)
    os.kill(victim, signal.SIGKILL)


def main() -> None:
    """All scenarios, one after another."""
    torch.set_num_threads(1)  # OpenMP's threads would not survive a fork
    root, model, encoder, out = map(Path, sys.argv[1:])
    workplace = Workplace(root, model, encoder)
    runs, codes, seconds = root / "runs", {}, {}

    def done(name: str, children: list[int]) -> None:
        began = time.monotonic()
        codes[name] = wait_all(children)
        seconds[name] = time.monotonic() - began

    for count, name in ((1, "one"), (2, "two")):
        done(f"train {name}", start_processes(count, partial(train, model, encoder, out / name)))
        config = workplace.config(*RUN, f"name=run-{count}")
        done(f"run {count}", start_processes(count, partial(run, config)))
    for count, sharding in ((1, "none"), (2, "fsdp2")):
        config = workplace.config(*RUN[1:], *SUBSPACE, f"training.sharding={sharding}", f"name=subspace-{count}")
        done(f"subspace {count}", start_processes(count, partial(run, config)))
    done("train sharded", start_processes(2, partial(train, model, encoder, out / "sharded", "fsdp2")))
    done("refused", start_processes(2, partial(refused, workplace, out)))

    children = start_processes(2, partial(stopped, workplace, out))
    kill_after(60, runs / "two-then-one", children[1])
    done("killed of two", children)
    status = (runs / "two-then-one" / "status.json").read_text()
    done("resumed by one", start_processes(1, partial(run, workplace.config(*RUN, "name=two-then-one"))))

    config = workplace.config(*RUN, "name=one-then-two")
    children = start_processes(1, partial(run, config))
    kill_after(60, runs / "one-then-two", children[0])
    done("killed alone", children)
    config = workplace.config(*RUN, "training.sharding=fsdp2", "name=one-then-two")
    done("resumed by two", start_processes(2, partial(run, config)))
    (out / "outcome.json").write_text(json.dumps({"codes": codes, "status": json.loads(status), "seconds": seconds}))


if __name__ == "__main__":
    main()
