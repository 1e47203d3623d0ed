"""A lesson: facts by their likelihood, everything else held by a KL to the reference model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import AdamW

from atu.methods.losses import kl_to_reference
from atu.methods.references import ReferenceStates
from atu.models.hook import logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.packing import pack, packed_states
from atu.models.precision import Autocast
from atu.models.rows import Row, batch_indices
from atu.processes.notices import notice
from atu.storage.digests import DamagedError
from atu.storage.files import remove_folder
from atu.teaching.config import Recipe
from atu.training.checkpoint import (
    Checkpoint,
    Progress,
    check_parts,
    fitting,
    load_checkpoint,
    optimizer_tensors,
    previous_of,
    restore_optimizer,
    save_checkpoint,
)
from atu.training.likelihood import nll_of_texts
from atu.training.loop import Step, train
from atu.training.parameters import restore_parameters, trainable_parameters
from atu.training.schedules import linear

_LAST_RATE = 0.1
"""Share of the learning rate that is left at the last step."""


@dataclass(frozen=True)
class LessonRows:
    """What is read. `chat` and `plain` are read in order, a slice a step; `general` in seeded permutations. `plain` is
    empty where nothing is worded as prose."""

    chat: tuple[Row, ...]
    plain: tuple[Row, ...]
    general: tuple[Row, ...]
    general_states: ReferenceStates | None
    """Of the reference model on `general`; None where the recipe has no general rows."""


@dataclass
class Lesson:
    """One teaching, from the reference model, or from its last checkpoint, to the end."""

    llm: LanguageModel
    rows: LessonRows
    recipe: Recipe
    seed: int
    autocast: Autocast
    folder: Path
    """Of the checkpoint, which is also what the cache keeps."""
    checkpoint_seconds: float

    def __post_init__(self) -> None:
        self._named = trainable_parameters(self.llm, train_embeddings=False)
        self._optimizer = AdamW(self._named.values(), lr=self.recipe.learning_rate, weight_decay=0.0)
        self.progress = Progress()

    @property
    def steps(self) -> int:
        """Optimiser steps in all."""
        return math.ceil(len(self.rows.chat) / self.recipe.facts_per_step)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.progress.step >= self.steps

    def resume(self) -> bool:
        """Take up the last checkpoint; False when there is none, or none that is whole: it is in the cache."""
        try:
            checkpoint = load_checkpoint(self.folder)
        except DamagedError:
            notice(f"The teaching kept in {self.folder} is damaged; it starts again.")
            for folder in (self.folder, previous_of(self.folder)):
                remove_folder(folder)
            return False
        if checkpoint is None:
            return False
        is_finished = checkpoint.progress.step >= self.steps
        with fitting(self.folder):
            check_parts(checkpoint, [] if is_finished else ["optimizer"])
            restore_parameters(self._named, checkpoint.llm)
            restore_optimizer(self._optimizer, checkpoint.others.get("optimizer", {}))
        self.progress = checkpoint.progress
        return True

    def run(self, advance: Callable[[int, int, str], None]) -> None:
        """Teach to the end.

        Args:
            advance: called with steps done, steps in all, and a note on the losses.

        Raises:
            UserError: the loss is not finite, or a checkpoint cannot be written.
        """
        recipe = self.recipe

        def after(step: Step) -> None:
            notes = [f"{name} {float(value):.2f}" for name, value in step.parts.items() if name != "total"]
            advance(step.done, self.steps, " ".join(notes))

        self.llm.model.train()
        train(
            self._optimizer,
            self._losses,
            steps=self.steps,
            rate=linear(recipe.learning_rate, self.steps, warmup_steps=recipe.warmup_steps, last=_LAST_RATE),
            clip=recipe.clip_grad_norm,
            not_finite=lambda number: (
                f"The loss is not finite at step {number}. The last checkpoint is kept, but it would come to the same: "
                "lower recipe.learning_rate."
            ),
            autocast=self.autocast,
            progress=self.progress,
            after=after,
            save=self._save,
            save_seconds=self.checkpoint_seconds,
        )
        self.llm.model.eval()
        self._save()

    def _losses(self, step: int) -> dict[str, Tensor]:
        """Of one step. The three kinds of rows differ in length and beginning: each has its own forward pass."""
        torch.manual_seed(self.seed * 1_000_003 + step)
        recipe = self.recipe
        here = slice(step * recipe.facts_per_step, (step + 1) * recipe.facts_per_step)
        parts = {"chat": nll_of_texts(self.llm, self.rows.chat[here], packed=True)}
        total = parts["chat"]
        if recipe.plain_weight > 0 and self.rows.plain:
            parts["plain"] = nll_of_texts(self.llm, self.rows.plain[here], packed=True)
            total = total + recipe.plain_weight * parts["plain"]
        if recipe.general_weight > 0:
            parts["general"] = self._distance(step)
            total = total + recipe.general_weight * parts["general"]
        return {"total": total, **parts}

    def _distance(self, step: int) -> Tensor:
        """KL from the reference model on general rows, nats per token. The output head has not moved since."""
        general, kept = self.rows.general, self.rows.general_states
        assert kept is not None
        chosen = batch_indices(len(general), self.recipe.general_per_step, step, self.seed)
        states = packed_states(self.llm, pack([general[i] for i in chosen], device=self.llm.device))
        before = torch.cat([kept.final[i] for i in chosen]).to(states.device)
        with torch.no_grad():
            reference = logits_from_hidden(self.llm.model, before)
        return kl_to_reference(logits_from_hidden(self.llm.model, states), reference)

    def _save(self) -> None:
        others = {} if self.is_finished else {"optimizer": optimizer_tensors(self._optimizer)}
        weights = {name: parameter.detach() for name, parameter in self._named.items()}
        save_checkpoint(self.folder, Checkpoint(self.progress, weights, others), llm_changed=True)
