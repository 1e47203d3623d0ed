"""What the training of one run changes: parameters, optimisers and progress; how they are stored and found again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor
from torch.nn import Parameter
from torch.optim import AdamW, Optimizer

from atu.embedding.predictor import Predictor
from atu.methods.config import StageKind, TaskConfig
from atu.methods.materials import Materials
from atu.methods.shares import Share
from atu.methods.terms import Need
from atu.models.adapters import without_inner_matrices
from atu.models.language_model import LanguageModel
from atu.models.precision import Autocast
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
from atu.training.parallel import own_share
from atu.training.parameters import check_reach, restore_parameters, trainable_parameters
from atu.training.sharding import reshard, shard, unshard, whole

Log = Callable[[int, int, str, float], None]
"""Called with (step over all stages, stage number, name, value)."""


@dataclass
class TrainingState:
    """Everything that changes during a run, with what its stages read."""

    llm: LanguageModel
    task: TaskConfig
    materials: Materials
    predictor: Predictor | None
    reference_predictor: Predictor | None
    """The predictor as it was after the first align stage."""
    config: TrainingConfig
    seed: int
    autocast: Autocast
    folder: Path
    """Where checkpoints go."""
    log: Log
    progress: Progress = field(default_factory=Progress)
    optimizers: dict[StageKind, Optimizer] = field(default_factory=dict)
    trained: dict[str, Parameter] = field(init=False)
    """The LLM's moving parameters by name; frozen ones stay the reference model's."""
    share: Share = field(init=False)
    """What this process takes of each batch."""
    reference: dict[str, Tensor] = field(init=False)
    """What `trained` was before the first step, where the change is to be scaled back: weights, or B of adapters."""

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
            unshard(self.llm.model)
        kept = without_inner_matrices(self.trained) if self.task.scale.is_chosen else {}
        self.reference = {name: parameter.detach().clone() for name, parameter in kept.items()}
        self.optimizers["unlearn"] = unlearn_optimizer(self.trained.values(), module)
        if self.predictor is not None:
            self.optimizers["align"] = AdamW(
                self.predictor.parameters(), lr=module.training_lr, weight_decay=module.training_weight_decay
            )

    @property
    def global_step(self) -> int:
        """Optimiser steps done so far, of both kinds."""
        return self.progress.align_steps + self.progress.unlearn_steps

    @property
    def predictors(self) -> dict[str, Predictor]:
        """Those that there are, by their name in a checkpoint."""
        named = {"predictor": self.predictor, "reference-predictor": self.reference_predictor}
        return {name: predictor for name, predictor in named.items() if predictor is not None}

    def skip_to(self, index: int) -> None:
        """Leave out the stages up to `index`, so far as they have not been run."""
        self.progress.stage = max(self.progress.stage, index)

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
        self.read_again()
        return True

    def read_again(self) -> None:
        """After `trained` was written to: the whole weights that each process has are those from before."""
        reshard(self.llm.model)
        unshard(self.llm.model)

    def _restore(self, checkpoint: Checkpoint) -> None:
        check_parts(checkpoint, [*self.predictors, *(_optimizer_file(kind) for kind in self.optimizers)])
        restore_parameters(self.trained, checkpoint.llm)
        for name, predictor in self.predictors.items():
            check_tensors(name, checkpoint.others[name], predictor.state_dict())
            predictor.load_state_dict(checkpoint.others[name])
        for kind, optimizer in self.optimizers.items():
            restore_optimizer(optimizer, checkpoint.others[_optimizer_file(kind)])
        self.progress = checkpoint.progress

    def agree(self, is_due: bool) -> bool:
        """The main process's answer where the model is divided, since all must help to save it; else this one's own."""
        return peers.from_main(lambda: is_due) if self.config.sharding == "fsdp2" else is_due

    def save(self, *, llm_changed: bool) -> None:
        """Write a checkpoint of the present state. The main process does it; all help where the state is divided.

        Args:
            llm_changed: whether the LLM has moved since the last one.
        """
        others = {name: dict(predictor.state_dict()) for name, predictor in self.predictors.items()}
        for kind, optimizer in self.optimizers.items():
            state = optimizer_tensors(optimizer)
            others[_optimizer_file(kind)] = {key: whole(value) for key, value in state.items()}
        llm = {name: whole(parameter.detach()) for name, parameter in self.trained.items()}
        if peers.is_main():
            save_checkpoint(self.folder, Checkpoint(self.progress, llm, others), llm_changed=llm_changed)


def _optimizer_file(kind: StageKind) -> str:
    """What an optimiser's file in a checkpoint is called."""
    return f"optimizer-{kind}"
