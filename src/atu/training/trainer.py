"""Trains the stages of one run: what moves, by which optimiser, and how it is stored and found again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from atu.embedding.predictor import Predictor
from atu.errors import UserError
from atu.methods.align import (
    AlignData,
    align_losses,
    best_constant,
    hook_states,
    judge_predictor,
)
from atu.methods.config import StageConfig, TaskConfig
from atu.methods.materials import Materials, RowSet
from atu.methods.shares import Share
from atu.methods.terms import Need
from atu.methods.unlearning import Unlearning, held_out_signals
from atu.models.language_model import LanguageModel
from atu.models.rows import batch_indices
from atu.processes import peers
from atu.training.activations import checkpoint_activations
from atu.training.checkpoint import (
    Checkpoint,
    Progress,
    check_parts,
    check_tensors,
    fitting,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from atu.training.config import TrainingConfig
from atu.training.optimizer import unlearn_optimizer
from atu.training.parallel import Losses, in_parallel, of_whole_batch, own_share
from atu.training.parameters import check_reach, restore_parameters, trainable_parameters
from atu.training.sharding import gather, scatter, shard, whole

Log = Callable[[int, int, str, float], None]
"""Called with (step over all stages, stage number, name, value)."""
Advance = Callable[[int, int], None]
"""Called with (steps done, steps in all) of the current stage."""


@dataclass
class Trainer:
    """Everything that changes during a run. Stages are run in order by `run_stage`."""

    llm: LanguageModel
    task: TaskConfig
    materials: Materials
    predictor: Predictor | None
    reference_predictor: Predictor | None
    config: TrainingConfig
    seed: int
    accelerator: Accelerator
    folder: Path
    """Where checkpoints go."""
    log: Log
    progress: Progress = field(default_factory=Progress)
    optimizers: dict[str, Optimizer] = field(default_factory=dict)
    trained: dict[str, Parameter] = field(init=False)
    """The LLM's moving parameters by name; frozen ones stay the original's."""
    share: Share = field(init=False)
    """What this process takes of each batch."""

    def __post_init__(self) -> None:
        module = self.task.training_module
        self.share = own_share(self.task, self.materials)
        self.trained = trainable_parameters(
            self.llm, train_embeddings=module.train_embeddings, layers=self.materials.trained_layers
        )
        if not Need.ABOVE_HOOK & self.task.needs:
            check_reach(self.llm, self.materials.hook_layer)
        if self.config.activation_checkpointing:
            checkpoint_activations(self.llm.model)
        if self.config.sharding == "fsdp2":
            shard(self.llm.model, self.trained)
            moving = dict(self.llm.model.named_parameters())
            self.trained = {name: moving[name] for name in self.trained}
            gather(self.llm.model)
        self.optimizers["unlearn"] = unlearn_optimizer(self.trained.values(), module)
        if self.predictor is not None:
            self.optimizers["align"] = AdamW(
                self.predictor.parameters(), lr=module.training_lr, weight_decay=module.training_weight_decay
            )

    def resume(self) -> bool:
        """Load the last checkpoint; False when there is none.

        Raises:
            UserError: it is damaged, or its tensors are not those of this run.
        """
        checkpoint = peers.main_first(lambda: load_checkpoint(self.folder))
        if checkpoint is None:
            return False
        with fitting(self.folder):
            self._restore(checkpoint)
        scatter(self.llm.model)  # what was gathered before is old
        gather(self.llm.model)
        return True

    def _restore(self, checkpoint: Checkpoint) -> None:
        predictors = dict(self._predictors())
        check_parts(checkpoint, [*predictors, *(_optimizer_file(name) for name in self.optimizers)])
        restore_parameters(self.trained, checkpoint.llm)
        for name, predictor in predictors.items():
            check_tensors(name, checkpoint.others[name], predictor.state_dict())
            predictor.load_state_dict(checkpoint.others[name])
        for name, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, checkpoint.others[_optimizer_file(name)])
        self.progress = checkpoint.progress

    def save(self, *, llm_changed: bool) -> None:
        """Write a checkpoint of the present state. The main process does it; all help where the state is divided."""
        others = {name: dict(predictor.state_dict()) for name, predictor in self._predictors()}
        for name, optimizer in self.optimizers.items():
            state = optimizer_tensors(optimizer)
            others[_optimizer_file(name)] = {key: whole(value) for key, value in state.items()}
        llm = {name: whole(parameter.detach()) for name, parameter in self.trained.items()}
        if not peers.is_main():
            return
        checkpoint = Checkpoint(self.progress, llm, others)
        save_checkpoint(self.folder, checkpoint, llm_changed=llm_changed)

    def run_stage(self, stage: StageConfig, advance: Advance) -> None:
        """Run, or go on with, the stage at `progress.stage`, and leave its signals in `progress`.

        The checkpoint written at the end already points to the next stage.
        """
        is_align = stage.type == "training"
        found = self._align(stage, advance) if is_align else self._unlearn(stage, advance)
        signals = peers.from_main(lambda: found)
        for name, value in signals.items():
            self.log(self.global_step, self.progress.stage + 1, name, value)
        self.progress.signals = signals
        self.progress.stage += 1
        self.progress.step = 0
        self.save(llm_changed=not is_align)

    def skip_to(self, index: int) -> None:
        """Leave out the stages up to `index`, so far as they have not been run."""
        self.progress.stage = max(self.progress.stage, index)

    @property
    def global_step(self) -> int:
        """Optimiser steps done so far, of both kinds."""
        return self.progress.align_steps + self.progress.unlearn_steps

    def _predictors(self) -> Iterator[tuple[str, Predictor]]:
        if self.predictor is not None:
            yield "predictor", self.predictor
        if self.reference_predictor is not None:
            yield "reference-predictor", self.reference_predictor

    def _align(self, stage: StageConfig, advance: Advance) -> dict[str, float]:
        module, predictor = self.task.training_module, self.predictor
        assert predictor is not None
        data, held_out, constant = self._align_data()
        if not self.progress.step:
            advance(0, stage.steps)
        predictor.requires_grad_(True).train()

        def losses() -> dict[str, Tensor]:
            indices = batch_indices(len(data.hidden), module.training_batch_size, self.progress.align_steps, self.seed)
            return align_losses(
                predictor,
                data,
                indices,
                contrastive_weight=self.task.contrastive_weight,
                device=self.llm.device,
                share=self.share,
            )

        def count() -> None:
            self.progress.align_steps += 1

        rate = _warmed_up(module.training_lr, module.training_warmup_steps)
        self._steps(
            stage,
            "align",
            lambda: rate(self.progress.align_steps),
            losses,
            count,
            advance,
            llm_changed=False,
        )
        if self.reference_predictor is not None and self.progress.unlearn_steps == 0:
            self.reference_predictor.load_state_dict(predictor.state_dict())
        signals = judge_predictor(predictor, held_out, constant, device=self.llm.device)
        gain = signals["align/held_out_cosine"] - signals["align/constant_cosine"]
        wanted = self.task.min_predictor_gain
        if wanted is not None and gain < wanted:
            raise UserError(
                f"The predictor has learnt too little to steer by: cosine {signals['align/held_out_cosine']:.3f} on "
                f"held-out text, {signals['align/constant_cosine']:.3f} for a constant; task.min_predictor_gain asks "
                f"for {wanted:g} more. Give it more text (data.corpus) or more steps (task.first_stage_steps)."
            )
        return signals

    def _align_data(self) -> tuple[AlignData, AlignData, Tensor]:
        """Training and held-out data of an align stage, from the LLM as it is now."""
        materials = self.materials
        mean = materials.mean
        assert mean is not None
        parts = []
        for first, second in (
            (materials.forget, materials.retain),
            (materials.held_out_forget, materials.held_out_retain),
        ):
            assert first.windows is not None
            assert second.windows is not None
            windows = first.windows.with_rows_of(second.windows)
            hidden = self._hook_states(first) + self._hook_states(second)
            parts.append(AlignData(hidden, windows, mean))
        return parts[0], parts[1], best_constant(parts[0].windows, mean)

    def _hook_states(self, rows: RowSet) -> tuple[Tensor, ...]:
        if self.progress.unlearn_steps == 0:  # the LLM is the untouched one, whose states are at hand
            return rows.states.hook
        with self.accelerator.autocast():
            return hook_states(
                self.llm,
                rows.rows,
                hook_layer=self.materials.hook_layer,
                packed=self.materials.can_pack,
                known=rows.states,
            )

    def _unlearn(self, stage: StageConfig, advance: Advance) -> dict[str, float]:
        module = self.task.training_module
        for _, predictor in self._predictors():
            predictor.requires_grad_(False).eval()
        unlearning = Unlearning(
            self.llm, self.task, self.materials, self.predictor, self.reference_predictor, share=self.share
        )

        def losses() -> dict[str, Tensor]:
            return unlearning.losses(stage, self.progress.unlearn_steps, self.seed)

        def count() -> None:
            self.progress.unlearn_steps += 1

        self.llm.model.train()
        scatter(self.llm.model)
        rate = _warmed_up(module.unlearning_lr, module.unlearning_warmup_steps)
        if module.unlearning_schedule == "cosine":
            rate = _falling(rate, self.task.unlearning_steps)
        # Its place in the schedule, not the steps done: a run that settles has left out stages.
        first = self.task.unlearning_steps_before(self.progress.stage)
        self._steps(
            stage,
            "unlearn",
            lambda: rate(first + self.progress.step),
            losses,
            count,
            advance,
            llm_changed=True,
        )
        self.llm.model.eval()
        gather(self.llm.model)
        with self.accelerator.autocast():
            return held_out_signals(self.llm, self.materials)

    def _steps(
        self,
        stage: StageConfig,
        kind: str,
        learning_rate: Callable[[], float],
        losses: Losses,
        count: Callable[[], None],
        advance: Advance,
        *,
        llm_changed: bool,
    ) -> None:
        """The one loop. Each step seeds its own randomness, so a resumed run needs no generator state."""
        optimizer = self.optimizers[kind]
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        reads_all = kind == "align" or bool(Need.ABOVE_HOOK & self.task.needs)
        losses = in_parallel(parameters, losses, reads_all=reads_all)
        saved = clock = time.monotonic()
        key = str(self.progress.stage)
        while self.progress.step < stage.steps:
            torch.manual_seed(_step_seed(self.seed, self.progress.stage, self.progress.step, self.share.rank))
            with self.accelerator.autocast():
                parts = losses()
            of_batch = of_whole_batch(parts)
            self._check_finite(of_batch["total"], kind)
            self.accelerator.backward(parts["total"])
            norm = whole(self.accelerator.clip_grad_norm_(parameters, self.task.training_module.clip_grad_norm))
            self._check_finite(norm, kind)
            rate = learning_rate()
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            self.progress.step += 1
            count()
            if self.progress.step % self.config.log_every == 0:
                self._log_step(kind, of_batch, float(norm), rate)
            now = time.monotonic()
            self.progress.seconds[key] = self.progress.seconds.get(key, 0.0) + now - clock
            clock = now
            advance(self.progress.step, stage.steps)
            if self._is_due(now - saved) and self.progress.step < stage.steps:
                self.save(llm_changed=llm_changed)
                saved = time.monotonic()

    def _is_due(self, seconds: float) -> bool:
        """Whether it is time for a checkpoint; where all must help, the main process's clock says so."""
        is_due = seconds >= self.config.checkpoint_seconds
        return peers.from_main(lambda: is_due) if self.config.sharding == "fsdp2" else is_due

    def _log_step(self, kind: str, parts: dict[str, Tensor], norm: float, rate: float) -> None:
        prefix = "align" if kind == "align" else "train"
        values = {name: float(value) for name, value in parts.items() if name != "total"}
        values |= {
            f"{prefix}/loss": float(parts["total"]),
            f"{prefix}/grad_norm": norm,
            f"{prefix}/lr": rate,
        }
        for name, value in values.items():
            self.log(self.global_step, self.progress.stage + 1, name, value)

    def _check_finite(self, value: Tensor | float | None, kind: str) -> None:
        """Stop before the optimiser moves: the weights in memory and on disk are still the last good ones."""
        if value is not None and not bool(torch.isfinite(torch.as_tensor(value))):
            key = "training_lr" if kind == "align" else "unlearning_lr"
            raise UserError(
                f"The {kind} loss is not finite at step {self.progress.step + 1} of stage {self.progress.stage + 1}. "
                f"The last checkpoint is kept. Lower task.training_module.{key} under a new name= and run again."
            )


def _optimizer_file(name: str) -> str:
    """What an optimiser's file in a checkpoint is called."""
    return f"optimizer-{name}"


def _warmed_up(rate: float, warmup_steps: int) -> Callable[[int], float]:
    """Linear warm-up over the first steps of a kind, constant after."""
    return lambda step: rate * min(1.0, (step + 1) / max(1, warmup_steps))


def _falling(rate: Callable[[int], float], steps: int) -> Callable[[int], float]:
    """The rate times 1 at the first of so many steps, towards 0 at the last (Loshchilov & Hutter 2017, eq. 5)."""
    return lambda step: rate(step) * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _step_seed(seed: int, stage: int, step: int, rank: int) -> int:
    """Of the randomness of a step; each process drops other states."""
    return (seed * 1_009 + stage) * 1_000_003 + step + (rank << 32)
