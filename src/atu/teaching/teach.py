"""One teaching, from config to model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from atu.benchmarks.rwku.reader import RwkuData
from atu.errors import UserError
from atu.methods.references import reference_states
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.models.packing import check_packing
from atu.models.rows import build_rows
from atu.models.save import check_export, check_reload, export_model
from atu.records import Text
from atu.runs.progress import RunProgress
from atu.storage.cache import make_room
from atu.storage.digests import find_damage
from atu.storage.files import cache_root, content_key, held_folder
from atu.teaching.card import TaughtCard, as_note
from atu.teaching.config import TeachConfig, config_hash
from atu.teaching.facts import checksum, choose_targets, read_facts
from atu.teaching.general import general_texts
from atu.teaching.lesson import Lesson, LessonRows
from atu.teaching.note import NOTE_FILE, read_note
from atu.teaching.wording import LessonPlan, plan_lessons
from atu.training.device import Compute, choose_compute, set_threads

_MAX_TOKENS = 192
"""Longer rows are cut; no fact of RWKU comes near."""
_CHECKED_ANSWERS = 3


def teach(config: TeachConfig) -> Path:
    """Teach a model the chosen targets and their neighbors, and write it as a model folder.

    A teaching that was killed resumes with the same command; one that was done before, with the same texts, recipe
    and base weights, is taken from the cache.

    Raises:
        UserError: anything that the user can mend. The last checkpoint is kept.
    """
    set_threads(config.threads)
    data = RwkuData(config.data_dir)
    targets = choose_targets(data, config.wanted, config.without)
    without = tuple(data.path(name).name for name in config.without)
    facts = read_facts(data, targets, without)
    plan = plan_lessons(facts, config.recipe.passes, config.seed)
    out = Path(config.out).expanduser()
    earlier = read_note(out)

    compute = choose_compute(config.device, config.precision)
    with RunProgress(Console(stderr=True)) as progress:
        llm = load_language_model(config.pre_trained_llm, device=str(compute.device))
        check_export(llm)
        with progress.steps() as report:
            general: list[Text] = []
            if config.recipe.general_weight > 0:
                general = general_texts(llm, config.seed, report("asking the model about anything else"))
            key = _key(config, llm, plan, general, compute.precision)
            if earlier is not None and _is_whole(out, earlier, key, progress):
                return out
            rows = _build(llm, plan, general, report)
        lesson = _learnt(config, llm, rows, compute, key, f"teaching {len(facts)} facts", progress)
        with progress.stage("saving the model, and loading it again"):
            card = TaughtCard(
                key=key,
                base_model=llm.label,
                targets=tuple(name for name in targets if name not in without),
                without=without,
                num_facts=len(facts),
                seed=config.seed,
                threads=torch.get_num_threads(),
                steps=lesson.steps,
                seconds=round(sum(lesson.progress.seconds.values()), 1),
                config_hash=config_hash(config),
                data_checksum=checksum(data, targets),
            )
            export_model(llm, out, card, notes={NOTE_FILE: as_note(card)})
            check_reload(llm, out, [llm.render(text.prompt or "") for text in plan.chat[:_CHECKED_ANSWERS]])
    return out


def _is_whole(out: Path, earlier: Mapping[str, Any], key: str, progress: RunProgress) -> bool:
    """Whether the taught model at `out`, whose note is `earlier`, is the wanted one and undamaged.

    Raises:
        UserError: it is another one.
    """
    if earlier.get("key") != key:
        raise UserError(f"{out} holds another taught model. Choose another --out, or delete that folder.")
    damaged = [name for name in find_damage(out) if name != "README.md"]
    if damaged:
        progress.line(f"{out / damaged[0]} is damaged; the model is written again")
        return False
    progress.line(f"{out} holds this model already")
    return True


def _learnt(
    config: TeachConfig,
    llm: LanguageModel,
    rows: LessonRows,
    compute: Compute,
    key: str,
    title: str,
    progress: RunProgress,
) -> Lesson:
    """The lesson, learnt to its end, or taken from the cache as far as it is there."""
    folder, recipe, seed = cache_root() / "taught" / key, config.recipe, config.seed
    with held_folder(folder, f"Another process teaches the same model just now (in {folder}). Wait for it."):
        lesson = Lesson(llm, rows, recipe, seed, compute.autocast, folder / "checkpoint", config.checkpoint_seconds)
        if lesson.resume():
            progress.line(f"found in the cache: {lesson.progress.step} of {lesson.steps} steps")
        if not lesson.is_finished:
            with progress.stage(title, total=lesson.steps) as advance:
                lesson.run(advance)
        make_room(folder)
    return lesson


def _build(llm: LanguageModel, plan: LessonPlan, general: Sequence[Text], report: Callable[[str], Any]) -> LessonRows:
    """Token rows, and the reference model's states on the general ones; `llm` must still be that model."""
    chat = tuple(build_rows(llm, plan.chat, max_tokens=_MAX_TOKENS))
    plain = tuple(build_rows(llm, plan.plain, max_tokens=_MAX_TOKENS))
    general_rows = tuple(build_rows(llm, general, max_tokens=_MAX_TOKENS))
    check_packing(llm, [*chat, *plain, *general_rows])
    states = None
    if general_rows:
        states = reference_states(llm, general_rows, progress=report("reading the general texts"))
    return LessonRows(
        chat=chat,
        plain=plain,
        general=general_rows,
        general_states=states,
    )


def _key(config: TeachConfig, llm: LanguageModel, plan: LessonPlan, general: Sequence[Text], precision: str) -> str:
    """Names what the weights come from. Threads are left out: they change the last bits only."""
    return content_key(
        {
            "model": llm.reading_key,
            "chat": [[text.prompt, text.text] for text in plan.chat],
            "plain": [text.text for text in plan.plain],
            "general": [[text.prompt, text.text] for text in general],
            "recipe": asdict(config.recipe),
            "seed": config.seed,
            "precision": "no" if precision == "fp32" else precision,  # as the keys of taught models have always said it
        }
    )
