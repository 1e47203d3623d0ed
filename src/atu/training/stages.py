"""The two kinds of stages: align moves the predictor, unlearn moves the LLM; both by the one loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from atu.methods.align import align_data, align_losses, best_constant, check_gain, judge_predictor
from atu.methods.config import StageConfig
from atu.methods.terms import Need
from atu.methods.unlearning import Unlearning, concept_left, held_out_signals, retain_kl
from atu.models.rows import batch_indices
from atu.processes import peers
from atu.training.loop import Step, train
from atu.training.parallel import Losses, in_parallel
from atu.training.scale import set_scale, smallest_scale
from atu.training.schedules import Rate, cosine, warmed_up
from atu.training.sharding import reshard, unshard
from atu.training.state import TrainingState

Advance = Callable[[int, int], None]
"""Called with (steps done, steps in all) of the current stage."""


def run_stage(state: TrainingState, stage: StageConfig, advance: Advance) -> None:
    """Run the stage at `state.progress.stage`, or resume it, and leave its signals in `state.progress`.

    The checkpoint written at the end already points to the next stage.

    Raises:
        UserError: a loss is not finite, the predictor has learnt too little, or a checkpoint cannot be written.
    """
    progress = state.progress
    found = _align(state, stage, advance) if stage.kind == "align" else _unlearn(state, stage, advance)
    signals = peers.from_main(lambda: found)
    for name, value in signals.items():
        state.log(state.global_step, progress.stage + 1, name, value)
    progress.signals = signals
    progress.stage += 1
    progress.step = 0
    state.save(llm_changed=stage.kind == "unlearn")


def _align(state: TrainingState, stage: StageConfig, advance: Advance) -> dict[str, float]:
    task, module, progress, predictor = state.task, state.task.training_module, state.progress, state.predictor
    assert predictor is not None
    is_reference = progress.unlearn_steps == 0
    data, held_out = align_data(state.llm, state.materials, is_reference=is_reference, autocast=state.autocast)
    constant = best_constant(data.windows, data.mean)
    if not progress.step:
        advance(0, stage.steps)
    first = progress.align_steps - progress.step

    def losses(step: int) -> dict[str, Tensor]:
        indices = batch_indices(len(data.hidden), module.training_batch_size, first + step, state.seed)
        weight, device = task.contrastive_weight, state.llm.device
        return align_losses(predictor, data, indices, contrastive_weight=weight, device=device, share=state.share)

    predictor.requires_grad_(True).train()
    rate = warmed_up(module.training_lr, module.training_warmup_steps)
    _take_steps(state, stage, losses, lambda step: rate(first + step), advance, reads_all=True)
    if state.reference_predictor is not None and is_reference:
        state.reference_predictor.load_state_dict(predictor.state_dict())
    signals = judge_predictor(predictor, held_out, constant, device=state.llm.device)
    check_gain(signals, task.min_predictor_gain)
    return signals


def _unlearn(state: TrainingState, stage: StageConfig, advance: Advance) -> dict[str, float]:
    task, module, progress, model = state.task, state.task.training_module, state.progress, state.llm.model
    for predictor in state.predictors.values():
        predictor.requires_grad_(False).eval()
    unlearning = Unlearning(
        state.llm, task, state.materials, state.predictor, state.reference_predictor, share=state.share
    )
    first = progress.unlearn_steps - progress.step
    rate = warmed_up(module.rate, module.unlearning_warmup_steps)
    if module.unlearning_schedule == "cosine":
        rate = cosine(rate, task.unlearning_steps)
    # Its place in the schedule, not the steps done: a run that settles has left out stages.
    place = task.unlearning_steps_before(progress.stage)
    model.train()
    reshard(model)
    _take_steps(
        state,
        stage,
        lambda step: unlearning.losses(stage, first + step, state.seed),
        lambda step: rate(place + step),
        advance,
        reads_all=bool(Need.ABOVE_HOOK & task.needs),
    )
    model.eval()
    unshard(model)
    scaled = _scale(state) if progress.stage == task.last_unlearning_stage else {}
    with state.autocast():
        return held_out_signals(state.llm, state.materials) | scaled


def _scale(state: TrainingState) -> dict[str, float]:
    """Keep of the change what held-out texts say is enough to forget, or as much as others stand; says how much."""
    limits, llm, materials = state.task.scale, state.llm, state.materials
    tells = any(materials.held_out_forget.telling)
    if limits.retain_kl is None and not (tells and limits.concept_left is not None):
        return {}
    trained = {name: parameter.detach().clone() for name, parameter in state.trained.items()}

    def reaches(scale: float) -> bool:
        set_scale(state.trained, state.reference, trained, scale)
        state.read_again()
        with state.autocast():  # entered anew: inside of one the first scale's weights would be read again
            return peers.from_main(at_limit)

    def at_limit() -> bool:
        if limits.concept_left is not None and tells:
            left = concept_left(llm, materials)
            assert left is not None
            if left <= limits.concept_left:
                return True
        return limits.retain_kl is not None and retain_kl(llm, materials) >= limits.retain_kl

    scale = smallest_scale(reaches, largest=limits.largest)
    set_scale(state.trained, state.reference, trained, scale)
    state.read_again()
    return {"signal/scale": scale}


def _take_steps(
    state: TrainingState, stage: StageConfig, losses: Losses, rate: Rate, advance: Advance, *, reads_all: bool
) -> None:
    """The stage's steps that are left, in all processes.

    Args:
        reads_all: whether each moving parameter gets a gradient in every step.
    """
    progress, optimizer, kind = state.progress, state.optimizers[stage.kind], stage.kind
    module = state.task.training_module
    key = "training_lr" if kind == "align" else "subspace.lr" if module.moves == "subspace" else "unlearning_lr"

    def seeded(step: int) -> dict[str, Tensor]:
        torch.manual_seed(_step_seed(state.seed, progress.stage, step, state.share.rank))
        return losses(step)

    def after(step: Step) -> None:
        progress.count(kind)
        if step.done % state.config.log_every == 0:
            _log(state, kind, step)
        advance(step.done, stage.steps)

    train(
        optimizer,
        in_parallel([p for group in optimizer.param_groups for p in group["params"]], seeded, reads_all=reads_all),
        steps=stage.steps,
        rate=rate,
        clip=module.clip_grad_norm,
        not_finite=lambda number: (
            f"The {kind} loss is not finite at step {number} of stage {progress.stage + 1}. The last checkpoint is "
            f"kept. Lower task.training_module.{key} under a new name= and run again."
        ),
        autocast=state.autocast,
        progress=progress,
        after=after,
        save=partial(state.save, llm_changed=kind == "unlearn"),
        save_seconds=state.config.checkpoint_seconds,
        agree=state.agree,
    )


def _log(state: TrainingState, kind: str, step: Step) -> None:
    prefix = "align" if kind == "align" else "train"
    values = {name: float(value) for name, value in step.parts.items() if name != "total"}
    values |= {
        f"{prefix}/loss": float(step.parts["total"]),
        f"{prefix}/grad_norm": step.norm,
        f"{prefix}/lr": step.rate,
    }
    for name, value in values.items():
        state.log(state.global_step, state.progress.stage + 1, name, value)


def _step_seed(seed: int, stage: int, step: int, rank: int) -> int:
    """Of the randomness of a step; each process drops other states."""
    return (seed * 1_009 + stage) * 1_000_003 + step + (rank << 32)
