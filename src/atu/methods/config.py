"""Configuration of a task: what is optimised, by which terms, over which stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import Annotated, Literal

from atu.errors import UserError
from atu.methods.terms import TERMS, Need, Term
from atu.typed import check_sizes

MAX_STEPS = 10**8
MAX_BATCH = 10**6
MAX_DIRECTIONS = 16
"""Directions of a layer that are kept in the cache, and so the most that can be trained."""
StageType = Literal["training", "unlearning"]
StageKind = Literal["align", "unlearn"]


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """One stage of the schedule."""

    type: StageType
    """`training` fits the predictor (align), `unlearning` changes the LLM."""
    steps: int
    threshold: float | None = None
    """tau of the term `push` in this stage, a cosine; None takes the calibrated one. Other terms have none."""

    @property
    def kind(self) -> StageKind:
        """What the stage is called everywhere but in `type`."""
        return "align" if self.type == "training" else "unlearn"

    def __post_init__(self) -> None:
        check_sizes(self, {"steps": MAX_STEPS}, least=0)
        if self.threshold is not None and not -1.0 <= self.threshold <= 1.0:
            raise UserError(f"threshold (tau) is a cosine and must lie in [-1, 1], found {self.threshold}.")


@dataclass(frozen=True, kw_only=True)
class SubspaceConfig:
    """The forget subspace: in each layer the input directions that the concept's texts use and retain texts do not."""

    lr: float = 3e-2
    """Learning rate. Steps are in units of the size that the layer's output has on forget texts."""
    min_ratio: float = 25.0
    """How many times more the forget texts must use a direction than the retain texts do. Layers without such a
    direction stay as they are."""
    full_ratio: float | None = 100.0
    """Ratio from which a direction has the whole rate; one of ratio r has (r / full_ratio)^2 of it, and at most four
    times as much. Where no direction comes up to it, the highest ratio takes its place. None = all have the whole
    rate."""
    max_rank: int = 1
    """Most directions of a layer."""
    ridge: float = 0.01
    """Added to the retain texts' second moments, as a share of their mean: below it nothing counts as unused."""
    targets: tuple[str, ...] | None = None
    """Linear layers that are looked at, by the last part of their name, such as `q_proj`; None = all in a block."""

    def __post_init__(self) -> None:
        check_sizes(self, {"max_rank": MAX_DIRECTIONS})
        for key in ("lr", "min_ratio", "ridge"):
            if not getattr(self, key) > 0:
                raise UserError(f"{key} must be positive.")
        if self.full_ratio is not None and not self.full_ratio > 0:
            raise UserError("full_ratio must be positive, or null.")
        if self.targets == ():
            raise UserError("targets is empty: nothing would be trained. Set it to null for all.")


@dataclass(frozen=True, kw_only=True)
class TrainingModule:
    """Optimisers, batches and the hook layer."""

    pretrained_model_hook_layer: int | float = 0.8
    """Index into the hidden states (1 = output of the first block) or, below 1, a fraction of the depth."""
    first_trained_layer: int | float = 0
    """Number of transformer blocks from below that unlearning leaves as they are, or a fraction of the depth."""
    last_trained_layer: int | float | None = None
    """Number of transformer blocks from below of which the last is the highest that unlearning moves, or a fraction of
    the depth; None: up to the top, and what follows the blocks too."""
    training_lr: float = 2e-3
    """Learning rate of the predictor in align stages (Adam)."""
    training_weight_decay: float = 0.0
    training_warmup_steps: int = 20
    training_batch_size: int = 8
    """Texts in one align step."""
    unlearning_optimizer: Literal["adamw", "sgd", "adamw8bit"] = "adamw"
    """`adamw8bit` keeps AdamW's state in 8 bits (needs bitsandbytes)."""
    moves: Literal["weights", "subspace"] = "weights"
    """What unlearning trains: the weights (or the model's LoRA adapters), or adapters on the `subspace` alone."""
    subspace: SubspaceConfig = field(default_factory=SubspaceConfig)
    unlearning_lr: float = 3e-5
    """Learning rate of the weights."""
    unlearning_weight_decay: float = 0.0
    unlearning_warmup_steps: int = 3
    unlearning_schedule: Literal["constant", "cosine"] = "constant"
    """Of the rate after the warm-up: as it is, or over all unlearn steps down to 0 along half a cosine."""
    forget_batch_size: int = 4
    """Forget texts in one unlearn step."""
    retain_batch_size: int = 12
    """Retain texts in one unlearn step; unused without a retain term."""
    clip_grad_norm: float = 1.0
    train_embeddings: bool = False
    """Whether unlearning also moves the token embeddings (and with them a tied output head)."""

    def __post_init__(self) -> None:
        for key in ("training_weight_decay", "unlearning_weight_decay"):
            if getattr(self, key) < 0:
                raise UserError(f"{key} must not be negative.")
        check_sizes(self, dict.fromkeys(("training_batch_size", "forget_batch_size", "retain_batch_size"), MAX_BATCH))
        check_sizes(self, dict.fromkeys(("training_warmup_steps", "unlearning_warmup_steps"), MAX_STEPS), least=0)
        for key in ("training_lr", "unlearning_lr", "clip_grad_norm"):
            if not getattr(self, key) > 0:
                raise UserError(f"{key} must be positive.")
        if self.train_embeddings and self.moves == "subspace":
            raise UserError(
                "train_embeddings moves weights, but moves=subspace leaves them: set one of them otherwise."
            )
        if self.train_embeddings and self.first_trained_layer:
            raise UserError("train_embeddings moves what the frozen blocks read: set first_trained_layer=0 with it.")

    @property
    def rate(self) -> float:
        """Highest learning rate of what unlearning moves."""
        return self.subspace.lr if self.moves == "subspace" else self.unlearning_lr


@dataclass(frozen=True, kw_only=True)
class StopConfig:
    """When a run ends before its schedule does. Reads training-side signals only, alike for every method."""

    concept_nll_rise: float | None = 5.0
    """Stop once what held-out texts tell of the concept costs this many nats per token more than before."""
    retain_kl: float | None = 0.5
    """Stop once the model has moved this far (nats per token) from the reference on held-out retain texts."""
    settle: bool = False
    """Whether the run then has its last stage first, in which a falling rate comes to nothing (`cosine`)."""


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """How much of the change is kept in the end: w0 + a (w - w0), with the smallest a that reaches one of the limits.

    All None leaves the change as it is.
    """

    concept_left: float | None = None
    """Enough is forgotten when what held-out texts tell of the concept is at most this share as likely to the model as
    to the reference."""
    retain_kl: float | None = None
    """No more may change than this: KL from the reference on held-out retain texts, nats per token."""
    largest: float = 1.0
    """Largest a; above 1 the model goes further than training went, in its direction."""

    def __post_init__(self) -> None:
        for key in ("concept_left", "retain_kl", "largest"):
            value = getattr(self, key)
            if value is not None and not value > 0:
                raise UserError(f"{key} must be positive, not {value:g}.")

    @property
    def is_chosen(self) -> bool:
        """Whether there is a limit that chooses a."""
        return self.concept_left is not None or self.retain_kl is not None


@dataclass(frozen=True, kw_only=True)
class TaskConfig:
    """One unlearning task."""

    name: str
    first_stage_steps: int = 0
    """Steps of the first align stage; `stages` refers to it."""
    min_predictor_gain: float | None = None
    """Held-out cosine by which the predictor must beat a constant after the first align stage, or the run
    stops; None does not ask."""
    contrastive_weight: float = 0.0
    """Weight of the contrastive (InfoNCE) part of the align loss."""
    training_module: TrainingModule = field(default_factory=TrainingModule)
    objective: Annotated[Mapping[str, Term], TERMS]
    """The terms of the unlearn loss, by name."""
    stop: StopConfig = field(default_factory=StopConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    stages: tuple[StageConfig, ...]

    def __post_init__(self) -> None:
        check_sizes(self, {"first_stage_steps": MAX_STEPS}, least=0)
        if self.contrastive_weight < 0:
            raise UserError(f"contrastive_weight must not be negative, found {self.contrastive_weight}.")
        kinds = [stage.type for stage in self.stages]
        if "unlearning" not in kinds:
            raise UserError("stages has no unlearning stage: nothing would be forgotten.")
        self._check_terms()
        if self.aligns and not any(stage.steps for stage in self.stages[: kinds.index("unlearning")]):
            raise UserError(
                f"objective.{_names(self.terms, Need.PREDICTOR)} needs a trained predictor: stages must begin with a "
                "training stage of at least one step."
            )
        if Need.STAGE_THRESHOLD not in self.needs and any(stage.threshold is not None for stage in self.stages):
            raise UserError(
                f"stages has a threshold (tau), which no term of objective reads ({', '.join(self.terms)}): leave it "
                "out."
            )

    def _check_terms(self) -> None:
        terms = self.terms
        if all(term.texts == "retain" for term in terms.values()):
            raise UserError("objective has no term that forgets: give one a weight above 0, such as npo: {weight: 1}.")
        if Need.FILLED_TEXTS in self.needs and len(terms) > 1:
            raise UserError(
                f"objective.{_names(terms, Need.FILLED_TEXTS)}.positions=all reads padding as text, which no other "
                f"term may: leave out the others of {', '.join(terms)}, or set it to windows."
            )

    @property
    def terms(self) -> dict[str, Term]:
        """The terms that have a weight, in the order of `TERMS`, in which the loss is summed up."""
        return {name: self.objective[name] for name in TERMS if name in self.objective and self.objective[name].weight}

    @property
    def needs(self) -> Need:
        """What they need together."""
        return reduce(or_, (term.needs for term in self.terms.values()), Need(0))

    @property
    def aligns(self) -> bool:
        """Whether a predictor is trained, and with it there are an encoder and align stages."""
        return Need.PREDICTOR in self.needs

    @property
    def schedule(self) -> tuple[StageConfig, ...]:
        """The stages that are run: align stages only where a term reads the predictor (`~task.objective.redirect`)."""
        return tuple(stage for stage in self.stages if self.aligns or stage.kind == "unlearn")

    @property
    def unlearning_steps(self) -> int:
        """Steps of all unlearning stages together."""
        return self.unlearning_steps_before(len(self.schedule))

    def unlearning_steps_before(self, index: int) -> int:
        """Steps of the unlearning stages before stage `index` of the schedule."""
        return sum(stage.steps for stage in self.schedule[:index] if stage.kind == "unlearn")

    @property
    def last_unlearning_stage(self) -> int:
        """Its index in the schedule."""
        return max(index for index, stage in enumerate(self.schedule) if stage.kind == "unlearn")

    def describe(self) -> str:
        """What the method is made of, in a few words for manifest and report."""
        parts = [f"{term.label.en} x {term.weight:g}" for term in self.terms.values()]
        return f"{self.name} ({' + '.join(parts)})"


def _names(terms: Mapping[str, Term], need: Need) -> str:
    """Those of the terms that need something."""
    return ", ".join(name for name, term in terms.items() if need in term.needs)
