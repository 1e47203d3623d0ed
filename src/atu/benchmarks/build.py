"""From the config to the texts of a run. Torch is imported where a model writes them, and not before."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.corpus import Corpus, read_texts, split_corpus
from atu.benchmarks.questions import WAYS_TO_ASK
from atu.benchmarks.several import find_texts
from atu.errors import UserError
from atu.records import Target

if TYPE_CHECKING:
    from atu.models.language_model import LanguageModel

logger = logging.getLogger(__name__)
Progress = Callable[[str], Callable[[int, int], None] | None]


def build_corpus(benchmark: Benchmark, llm: LanguageModel, target: Target, *, seed: int, progress: Progress) -> Corpus:
    """The texts named by `data.corpus.source`, split into trained on and held out.

    Raises:
        UserError: a file is missing, empty or broken, or too few texts came together.
    """
    from atu.benchmarks.generated import GENERAL_SUBJECTS, cached_corpus  # brings torch

    corpus = benchmark.config.corpus
    general_subjects: frozenset[str] = frozenset()
    if corpus.source == "generated":
        forget, retain = cached_corpus(llm, target, corpus, seed=seed, progress=progress)
    else:
        texts = given_texts(benchmark, target, writer=llm.label, seed=seed)
        forget, retain = list(texts.forget), list(texts.retain)
        if texts.remark is not None:
            logger.warning(texts.remark)
        if corpus.source == benchmark.name and corpus.has_questions:
            given = [*forget, *retain]
            general_subjects = frozenset(GENERAL_SUBJECTS) - {text.subject for text in given}
            forget, retain = cached_corpus(
                llm,
                target,
                corpus,
                given=given,
                questionnaire=[*texts.questionnaire] * len(WAYS_TO_ASK),  # so often may one question be drawn
                seed=seed,
                progress=progress,
            )
    parts = split_corpus(forget, retain, share=corpus.held_out_share, seed=seed)
    return dataclasses.replace(parts, general_subjects=general_subjects)


def given_texts(benchmark: Benchmark, target: Target, *, writer: str, seed: int) -> GivenTexts:
    """The texts that lie in files; none of `generated`.

    Args:
        writer: name of the model that is trained; a benchmark may have texts that it wrote itself.

    Raises:
        UserError: a file is missing, empty or broken, or the benchmark has no text for this model.
    """
    corpus = benchmark.config.corpus
    if corpus.source == "generated":
        return GivenTexts()
    return (
        _read_own(corpus, target)
        if corpus.source == "jsonl"
        else find_texts(benchmark, target, writer=writer, seed=seed)
    )


def _read_own(corpus: CorpusConfig, target: Target) -> GivenTexts:
    assert corpus.forget_path is not None
    forget = read_texts(Path(corpus.forget_path), subject=target.name)
    if corpus.retain_path is None:
        raise UserError("data.corpus.retain_path is missing: give texts about anything else, which must stay.")
    return GivenTexts(forget=forget, retain=read_texts(Path(corpus.retain_path)))
