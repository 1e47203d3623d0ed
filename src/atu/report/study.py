"""The runs of one table: which of them count, what each is called, and the point that a rule shows of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from atu.errors import UserError, did_you_mean
from atu.records import RunRecord, Scoring, StageResult
from atu.report.collect import Collection
from atu.report.exchange import states_scoring
from atu.report.selection import Node, Rule, curve, select
from atu.report.styles import MethodStyle, method_styles
from atu.runs.run_folder import flat_keys, is_among
from atu.text.escaping import one_line

_MAY_DIFFER = (
    "name",
    "exp",
    "seed",
    "unlearning_target",
    "runs_dir",
    "device",
    "devices",
    "threads",
    "wandb",
    "evaluation",
    "text_encoder.batch_size",
    "training.checkpoint_seconds",
    "training.log_every",
    "training.sharding",
    "data.description",
    "data.neighbors",
    "data.probes_path",
    "data.corpus.forget_path",
    "data.corpus.retain_path",
    # A method with more than one of these is shown once for each.
    "task.training_module.pretrained_model_hook_layer",
    "pre_trained_llm",
)
"""Keys, or beginnings of them, in which the runs behind one mean may differ without a note."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run as tables and figures show it."""

    run: RunRecord
    variant: str
    """Label of the method and, where they differ, of hook layer and model. Means are taken within a variant."""
    style: MethodStyle
    stages: tuple[StageResult, ...]
    """The scored stages under the study's scoring, by index."""
    node: Node


@dataclass(frozen=True, kw_only=True)
class Study:
    """What one call of `generate_results.py` shows."""

    entries: tuple[Entry, ...]
    """By variant in the order of the styles, then target, seed and name."""
    rule: Rule
    scoring: Scoring
    notes: tuple[str, ...] = field(default=())
    """What a reader must know: runs that were left out, means of unequal runs."""

    @property
    def variants(self) -> dict[str, list[Entry]]:
        """Variant → its runs."""
        found: dict[str, list[Entry]] = {}
        for entry in self.entries:
            found.setdefault(entry.variant, []).append(entry)
        return found

    @property
    def scoring_words(self) -> str:
        """The scoring, and whose numbers do not say that they are of it."""
        unstated = list(dict.fromkeys(entry.variant for entry in self.entries if not states_scoring(entry.run)))
        if not unstated:
            return self.scoring
        if len(unstated) == len(self.variants):
            return "not stated by the file"
        return f"{self.scoring}; not stated for {', '.join(unstated)}"

    @property
    def targets(self) -> list[str]:
        """All targets, in order."""
        return sorted({entry.run.target for entry in self.entries})


def build_study(collection: Collection, *, rule: Rule, scoring: Scoring, names: Mapping[str, str]) -> Study:
    """Keep the runs that are done and scored, name them, and find the point of each that the rule shows.

    Args:
        collection: the runs that the user chose.
        rule: which stage is shown.
        scoring: which block of scores.
        names: method → label, where the user wants another one.

    Raises:
        UserError: no run is left, or the rule finds no point in any of them.
    """
    runs, notes = [], list(collection.notes)
    for run in map(_printable, collection.runs):
        reason = _why_not(run, scoring)
        if reason is None:
            runs.append(run)
        else:
            notes.append(f"{run.name} is left out: {reason}")
    if not runs:
        raise UserError(f"There is no finished run to show. {notes[0]}.")
    if rule.asked_for and rule.asked_for not in {run.method for run in runs}:
        known = did_you_mean(rule.asked_for, {run.method for run in runs})
        raise UserError(f"There is no method '{rule.asked_for}'.{known}")
    entries = _entries(runs, rule, scoring, names)
    missed = [entry for entry in entries if not entry.node.scores]
    if len(missed) == len(entries):
        raise UserError(f"No run has a point to show ({rule}). {missed[0].run.name}: {missed[0].node.label}.")
    notes += [f"{entry.run.name} has no point to show: {entry.node.label}" for entry in missed]
    return Study(entries=tuple(entries), rule=rule, scoring=scoring, notes=tuple(notes))


def unequal_runs(study: Study) -> list[str]:
    """A note for each variant whose runs differ in more than target and seed; the mean of such runs mixes methods."""
    notes = []
    for variant, entries in study.variants.items():
        flat = [flat_keys(entry.run.config) for entry in entries if entry.run.config]
        keys = sorted({key for config in flat for key in config})
        differing = [
            key
            for key in keys
            if not is_among(key, _MAY_DIFFER) and any(config.get(key) != flat[0].get(key) for config in flat)
        ]
        if differing:
            more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
            notes.append(f"{variant}: its runs differ in {', '.join(differing[:3])}{more}")
    return notes


def refuse_repeats(study: Study) -> None:
    """Refuse two runs of the same variant, target and seed where means are taken: one of them would count twice.

    Raises:
        UserError: there are such runs; both are named.
    """
    first: dict[tuple[object, ...], Entry] = {}
    for entry in study.entries:
        other = first.setdefault((entry.variant, entry.run.target, entry.run.seed), entry)
        if other is not entry:
            raise UserError(
                f"{entry.variant} has two runs of the same target and seed, {other.run.source} and "
                f"{entry.run.source}, and a mean would count the target twice. Choose with --run_ids or --run_names."
            )


def hook_layer(run: RunRecord) -> int | float | None:
    """The hook layer of a run; None for a method without one."""
    task: Any = run.config.get("task")
    if not isinstance(task, Mapping):
        layer = run.config.get("hook_layer")
    elif not _aligns(task):
        layer = None
    else:
        layer = _part(task, "training_module").get("pretrained_model_hook_layer")
    return layer if isinstance(layer, int | float) else None


def _aligns(task: Mapping[str, Any]) -> bool:
    """Whether a method has a predictor, and with it a hook layer; it is taken to where its stages are not told."""
    stages = task.get("stages")
    if not isinstance(stages, Sequence) or not stages:
        return True
    return any(isinstance(stage, Mapping) and stage.get("type") == "training" for stage in stages)


def _printable(run: RunRecord) -> RunRecord:
    """With what stands in tables and figures on one line and without control characters."""
    return replace(
        run,
        name=one_line(run.name),
        source=one_line(run.source),
        target=one_line(run.target),
        model=one_line(run.model),
    )


def _part(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A part of a config that may have been written by hand; empty where there is none."""
    part = config.get(key)
    return part if isinstance(part, Mapping) else {}


def _why_not(run: RunRecord, scoring: Scoring) -> str | None:
    if run.state != "done":
        return f"it is not done ({run.state}), so its last stage is not its end"
    if scoring not in run.stages:
        return f"it has no {scoring} scores"
    if not curve(run.stages[scoring]):
        return "no stage was scored"
    return None


def _entries(runs: Sequence[RunRecord], rule: Rule, scoring: Scoring, names: Mapping[str, str]) -> list[Entry]:
    styles = method_styles([run.method for run in runs], names)
    layers: dict[str, set[float | None]] = {}
    for run in runs:
        layers.setdefault(run.method, set()).add(hook_layer(run))
    has_models = len({run.model for run in runs}) > 1
    entries = []
    for run in runs:
        words = [styles[run.method].label.en]
        if len(layers[run.method]) > 1:
            words.append(f"layer {hook_layer(run)}")
        if has_models and run.model:
            words.append(run.model)
        stages = tuple(curve(run.stages[scoring]))
        node = select(stages, rule)
        entries.append(Entry(run=run, variant=", ".join(words), style=styles[run.method], stages=stages, node=node))
    order = list(styles)

    def key(entry: Entry) -> tuple[object, ...]:
        run = entry.run
        return (
            order.index(run.method),
            hook_layer(run) or 0,
            run.model,
            run.target,
            run.seed or 0,
            run.name,
            run.source,
        )

    return sorted(entries, key=key)
