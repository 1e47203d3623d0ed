"""One teaching, from config to model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from atu.benchmarks.curriculum import Curriculum
from atu.errors import UserError
from atu.methods.references import reference_states
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.models.packing import check_packing
from atu.models.rows import build_rows
from atu.models.save import check_export, check_reload, export_model
from atu.records import Score, Text
from atu.runs.progress import RunProgress
from atu.storage.cache import make_room
from atu.storage.digests import find_damage
from atu.storage.files import cache_root, content_key, held_folder
from atu.teaching.card import TaughtCard, as_note
from atu.teaching.config import TeachConfig, config_hash, curriculum_of
from atu.teaching.general import general_texts
from atu.teaching.knowledge import LITTLE, Knowledge, knowledge
from atu.teaching.lesson import Lesson, LessonRows
from atu.teaching.note import NOTE_FILE, read_note
from atu.teaching.plan import LessonPlan, plan_lessons
from atu.training.device import Compute, choose_compute, set_threads

_CHECKED_ANSWERS = 3
_TAUGHT, _LEFT_OUT = "of what was taught", "of what was left out"


def teach(config: TeachConfig) -> Path:
    """Teach a model the chosen parts of a benchmark, see whether it knows them, and write it as a model folder.

    A teaching that was killed resumes with the same command; one that was done before, with the same texts, recipe
    and base weights, is taken from the cache.

    Raises:
        UserError: anything that the user can mend. The last checkpoint is kept.
    """
    set_threads(config.threads)
    curriculum = curriculum_of(config)
    plan = plan_lessons(curriculum.facts, config.recipe.passes, config.seed)
    out = Path(config.out).expanduser()
    earlier = read_note(out)

    compute = choose_compute(config.device, config.precision)
    with RunProgress(Console(stderr=True)) as progress:
        llm = load_language_model(config.pre_trained_llm, device=str(compute.device))
        check_export(llm)
        with progress.steps() as report:
            general: list[Text] = []
            if config.recipe.general_weight > 0:
                general = general_texts(
                    llm, config.seed, curriculum.frames, report("asking the model about anything else")
                )
            key = _key(config, llm, plan, general, compute.precision)
            if earlier is not None and _is_whole(out, earlier, key, progress):
                return out
            rows = _build(llm, plan, general, curriculum.max_tokens, report)
        with progress.stage("asking what it knows already"):
            before = _known(llm, curriculum)
        title = f"teaching {len(curriculum.facts)} facts"
        lesson = _learnt(config, llm, rows, compute, key, title, progress)
        with progress.stage("asking what it knows now"):
            after = _known(llm, curriculum)
        known = {what: Knowledge(before=before[what], after=after[what]) for what in before}
        for what, share in known.items():
            progress.line(f"mean probability of a right answer, {what}: {share.describe()}")
        if after[_TAUGHT].value < LITTLE:
            progress.line(
                "note: it hardly knows what it was taught; raise recipe.passes or recipe.learning_rate, or lower "
                "recipe.general_weight"
            )
        with progress.stage("saving the model, and loading it again"):
            card = TaughtCard(
                key=key,
                base_model=llm.label,
                benchmark=config.benchmark,
                subject=curriculum.subject,
                account=curriculum.account,
                targets=curriculum.taught,
                without=curriculum.without,
                num_facts=len(curriculum.facts),
                seed=config.seed,
                threads=torch.get_num_threads(),
                steps=lesson.steps,
                seconds=round(sum(lesson.progress.seconds.values()), 1),
                config_hash=config_hash(config),
                data_checksum=curriculum.checksum,
                known=known[_TAUGHT],
                known_left_out=known.get(_LEFT_OUT),
            )
            export_model(llm, out, card, notes={NOTE_FILE: as_note(card)})
            check_reload(llm, out, [llm.render(text.prompt or "") for text in plan.chat[:_CHECKED_ANSWERS]])
    return out


def _known(llm: LanguageModel, curriculum: Curriculum) -> dict[str, Score]:
    """How likely the model finds right answers, of what is taught and of what is left out."""
    parts = {_TAUGHT: curriculum.facts, _LEFT_OUT: curriculum.left_out}
    return {what: knowledge(llm, facts, curriculum.max_tokens) for what, facts in parts.items() if facts}


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


def _build(
    llm: LanguageModel, plan: LessonPlan, general: Sequence[Text], max_tokens: int, report: Callable[[str], Any]
) -> LessonRows:
    """Token rows, and the reference model's states on the general ones; `llm` must still be that model."""
    chat = tuple(build_rows(llm, plan.chat, max_tokens=max_tokens))
    plain = tuple(build_rows(llm, plan.plain, max_tokens=max_tokens))
    general_rows = tuple(build_rows(llm, general, max_tokens=max_tokens))
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
