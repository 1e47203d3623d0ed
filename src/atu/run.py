"""One run, from config to report: the table of contents of this program."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console
from torch import Tensor

from atu.audit import audit, audit_config
from atu.benchmarks.base import Benchmark
from atu.benchmarks.catalog import build_benchmark
from atu.benchmarks.corpus import write_corpus
from atu.benchmarks.prior import describe_prior, prior_knowledge
from atu.benchmarks.several import find_probes, find_target
from atu.config import NOT_DEFINING, RunConfig, config_hash, to_mapping
from atu.embedding.predictor import build_predictor
from atu.judge import Judge
from atu.methods.config import StageConfig
from atu.methods.materials import Materials
from atu.methods.subspace import chosen_directions, describe_choice, find_directions, kept_directions
from atu.methods.terms import Need
from atu.model_card import PROPOSED, ModelCard
from atu.models.adapters import adapter_parameters, add_adapter, add_subspace, merge_adapter
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.models.save import check_export, check_reload, export_model
from atu.preparation import prepare
from atu.processes import peers
from atu.provenance import keep_manifest
from atu.records import Answer, Probe, StageResult, Target
from atu.runs.opening import open_run
from atu.runs.progress import RunProgress
from atu.runs.run_folder import RunFolder
from atu.runs.session import session
from atu.runs.sinks import sinks
from atu.runs.tracking import NoTracker, Tracker
from atu.training.checkpoint import previous_of
from atu.training.device import Compute, choose_compute, set_threads
from atu.training.parameters import restore_parameters
from atu.training.sharding import check_sharding, whole_weights
from atu.training.stages import run_stage
from atu.training.state import TrainingState
from atu.training.stopping import stop_reason

logger = logging.getLogger("atu")


def run(config: RunConfig, *, write_report: Callable[[RunFolder], object] = lambda _: None) -> RunFolder:
    """Make a model forget a concept, or several together, and measure what it forgot and what it kept.

    The same config again resumes where a killed run stood; a finished run is only reported.

    Args:
        write_report: writes the page of the run, whether it ended well or not.

    Raises:
        UserError: anything that the user can mend; the run folder then says so and keeps its last good state.
    """
    compute = choose_compute(config.device, config.training.precision, devices=config.devices)
    set_threads(config.threads)
    check_sharding(config.training)
    benchmark = build_benchmark(config.data)
    target = find_target(benchmark, config.unlearning_target)
    probes = find_probes(benchmark, config.unlearning_target)
    root, is_main = Path(config.runs_dir) / config.name, peers.is_main()
    is_done = peers.from_main(RunFolder(root=root).is_done)
    folder = peers.on_main(
        lambda: open_run(root, to_mapping(config), config_hash(config), may_differ=NOT_DEFINING),
        elsewhere=RunFolder(root=root),
    )
    console = Console(quiet=not is_main)
    record = session(folder, write_report) if is_main else nullcontext(NoTracker())
    with record as tracker, RunProgress(console) as progress, peers.peers_watched():
        if is_done and config.wandb.mode != "disabled":
            progress.line(f"the run was done before: nothing is sent to wandb; `atu report sync {root}` sends it")
        if not is_done:
            tracker.start(sinks(folder, config.wandb, tensorboard=config.tensorboard))
            device = str(compute.device)
            llm = peers.main_first(lambda: load_language_model(config.pre_trained_llm, device=device))
            if is_main:
                check_export(llm)
            proposes = benchmark.proposes_probes
            if proposes:
                benchmark = benchmark.with_probes(
                    _proposed_probes(folder, benchmark, llm, target, config.seed, progress)
                )
                probes = find_probes(benchmark, config.unlearning_target)
            add_adapter(llm.model, config.pre_trained_llm, seed=config.seed)
            if is_main:
                keep_manifest(folder, config, llm, benchmark, target, compute)
                if proposes:
                    folder.add_to_manifest(proposed_probes=len(probes))
            judge = Judge(folder, benchmark, probes, config.evaluation, progress)
            before = None if config.skip_initial_eval else judge.record_before(llm)
            if before is not None and not config.data.allow_no_verdict:
                _tell_prior(before, target, progress)
            materials = prepare(
                config,
                llm,
                target,
                compute,
                progress,
                apart_from=probes if proposes else (),
                keep_corpus=partial(write_corpus, folder.corpus_dir),
            )
            directions = _forget_subspace(config, llm, materials, folder, compute, progress)
            add_subspace(llm.model, directions)

            state = _training_state(config, llm, materials, folder, compute, tracker)
            if config.task.schedule != config.task.stages:
                progress.line("no term of task.objective reads the predictor: the align stages are left out")
            _train(config.task.schedule, config, state, judge, before, tracker)
        peers.leave_group()  # the model is the same in all of them; the main one does the rest
        if is_main and not is_done:
            with progress.stage("saving the model, and loading it again"):
                _export(config, folder, _plain(config, llm, state, directions), target, probes)
        if is_main and config.attacks:
            audit(audit_config(config, folder, folder.root), progress)
    return folder


def _proposed_probes(
    folder: RunFolder, benchmark: Benchmark, llm: LanguageModel, target: Target, seed: int, progress: RunProgress
) -> Path:
    """The file of the probes that the model proposed when the run began.

    Raises:
        UserError: it knows nothing of the target.
    """

    def propose_once() -> None:
        if not (folder.holds_work and folder.probes_path.exists()):
            with progress.steps() as report:
                count = benchmark.propose_probes(folder.probes_path, llm, target, seed=seed, progress=report)
            progress.line(f"the model proposed what is asked ({folder.probes_path}): {count}")

    peers.on_main(propose_once, elsewhere=None)
    return folder.probes_path


def _tell_prior(before: Sequence[Answer], target: Target, progress: RunProgress) -> None:
    """Say how much of the concept the model knows; UserError where that is nothing."""
    prior = prior_knowledge(before)
    if prior.asked:
        progress.line(describe_prior(prior, target.name))


def _forget_subspace(
    config: RunConfig,
    llm: LanguageModel,
    materials: Materials,
    folder: RunFolder,
    compute: Compute,
    progress: RunProgress,
) -> dict[str, Tensor]:
    """The directions to train, by layer; none where weights move. The manifest says how many, the log how distinct."""
    module = config.task.training_module
    if module.moves == "weights":
        return {}
    subspace = module.subspace

    def find() -> dict[str, Tensor]:
        with progress.steps() as report, compute.autocast():
            found = find_directions(llm, materials, subspace, progress=report)
        chosen = chosen_directions(
            found, min_ratio=subspace.min_ratio, max_rank=subspace.max_rank, full_ratio=subspace.full_ratio
        )
        logger.info(describe_choice(found, chosen))
        return chosen

    resumes = any(path.exists() for path in (folder.checkpoint_dir, previous_of(folder.checkpoint_dir)))
    chosen = peers.from_main(lambda: kept_directions(folder.subspace_dir, find, resumes=resumes))
    if peers.is_main():
        folder.add_to_manifest(subspace_ranks={name: len(rows) for name, rows in chosen.items()})
    return chosen


def _training_state(
    config: RunConfig,
    llm: LanguageModel,
    materials: Materials,
    folder: RunFolder,
    compute: Compute,
    tracker: Tracker | NoTracker,
) -> TrainingState:
    """As the last checkpoint has it, or at the start."""
    predictors = []
    if materials.mean is not None:
        hidden_size = llm.model.config.get_text_config().hidden_size
        for _ in range(2 if Need.REFERENCE_PREDICTOR in config.task.needs else 1):
            predictor = build_predictor(
                config.embedding_prediction_model,
                d_llm=hidden_size,
                d_enc=len(materials.mean),
                seed=config.seed,
            )
            predictors.append(predictor.to(compute.device))
    state = TrainingState(
        llm=llm,
        task=config.task,
        materials=materials,
        predictor=predictors[0] if predictors else None,
        reference_predictor=predictors[1] if len(predictors) > 1 else None,
        config=config.training,
        seed=config.seed,
        autocast=compute.autocast,
        folder=folder.checkpoint_dir,
        log=tracker.log,
    )
    if state.resume():
        logger.info("resuming in stage %d after %d steps", state.progress.stage + 1, state.progress.step)
    if peers.is_main():
        folder.settle_stages(state.progress.stage, can_measure=state.progress.step == 0)
    tracker.rewind(state.global_step)
    return state


def _train(
    stages: Sequence[StageConfig],
    config: RunConfig,
    state: TrainingState,
    judge: Judge,
    before: Sequence[Answer] | None,
    tracker: Tracker | NoTracker,
) -> None:
    """Run the schedule. After each stage: checkpoint, evaluation, stop rule, in this order for every method."""
    last, is_settling = config.task.last_unlearning_stage, False
    for index, stage in enumerate(stages):
        if is_settling and index < last:
            continue
        label = stage_label(index, stage)
        if state.progress.stage <= index:
            if peers.is_main():
                judge.folder.set_status("running", label, "training")
            with judge.progress.stage(_title(stage, index, len(stages))) as advance:
                run_stage(state, stage, advance)
        if _must_record(label, index, state, judge.folder):
            result = StageResult(
                index=index + 1,
                kind=stage.kind,
                label=label,
                scores={},
                seconds=state.progress.seconds.get(str(index), 0.0),
                signals=state.progress.signals,
            )
            if stage.kind == "unlearn":
                judge.record(state.llm, result, before)
            elif peers.is_main():
                judge.folder.write_stage(result, [])
            if peers.is_main() and "signal/scale" in result.signals:
                judge.folder.add_to_manifest(scale=result.signals["signal/scale"])
            tracker.catch_up()
        if stage.kind == "unlearn":
            finished = peers.from_main(partial(judge.folder.read_stage, label))
            reason = stop_reason(finished.signals, config.task.stop)
            if reason is not None:
                judge.progress.line(f"stopping after {label}: {reason}")
                if index >= last or not config.task.stop.settle:
                    return
                is_settling = True
                state.skip_to(last)


def _must_record(label: str, index: int, state: TrainingState, folder: RunFolder) -> bool:
    """Whether the end of a stage is still to be recorded, which the model as it was then alone allows.

    Raises:
        UserError: the record is missing, and the model has gone on since.
    """
    if peers.from_main(lambda: label in folder.stage_labels()):
        return False
    if (state.progress.stage, state.progress.step) != (index + 1, 0):
        folder.refuse_lost_stage(label)
    return True


def stage_label(index: int, stage: StageConfig) -> str:
    """Folder name of a stage, such as `02-unlearn-0.90`."""
    if stage.kind == "align":
        return f"{index + 1:02d}-align"
    tau = "" if stage.threshold is None else f"-{stage.threshold:.2f}"
    return f"{index + 1:02d}-unlearn{tau}"


def _title(stage: StageConfig, index: int, count: int) -> str:
    what = "aligning the predictor" if stage.kind == "align" else "unlearning"
    return f"stage {index + 1} of {count}: {what}"


def _plain(
    config: RunConfig, llm: LanguageModel, state: TrainingState, directions: Mapping[str, Tensor]
) -> LanguageModel:
    """The trained model as plain modules: one that was divided among processes is loaded anew, for its weights."""
    if config.training.sharding == "none":
        return llm
    plain = load_language_model(config.pre_trained_llm, device=str(llm.device))
    add_adapter(plain.model, config.pre_trained_llm, seed=config.seed)
    add_subspace(plain.model, directions)
    weights = whole_weights(llm.model, state.trained)
    restore_parameters({name: plain.model.get_parameter(name) for name in weights}, weights)
    return plain


def _export(config: RunConfig, folder: RunFolder, llm: LanguageModel, target: Target, probes: Sequence[Probe]) -> None:
    """Write the model folder and prove that plain transformers gives the same answers from it."""
    before, after = folder.read_ends()
    asked = [llm.render(probe.prompt, probe.answer_prefix) for probe in probes[:: max(1, len(probes) // 4)]]
    remarks = [PROPOSED] if folder.read_manifest().get("proposed_probes") else []
    if adapter_parameters(llm.model):
        llm, merged = merge_adapter(llm, asked)
        remarks.append(merged.describe())
        logger.info(merged.describe())
    card = ModelCard(
        base_model=llm.label,
        target=target.name,
        method=config.task.describe(),
        config_hash=config_hash(config),
        before=before,
        after=after,
        remarks=remarks,
    )
    export_model(llm, folder.model_dir, card)
    check_reload(llm, folder.model_dir, asked)
