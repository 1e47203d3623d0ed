"""From the config to a benchmark and a corpus. Torch is imported where a model writes the texts, and not before."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from atu.benchmarks.base import Benchmark
from atu.benchmarks.builtin.benchmark import BuiltinBenchmark
from atu.benchmarks.config import CorpusConfig, DataConfig
from atu.benchmarks.corpus import Corpus, read_texts, split_corpus
from atu.benchmarks.own import OwnConcept
from atu.benchmarks.questions import WAYS_TO_ASK
from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.corpora import corpus_file, foreign_writer, forget_and_retain
from atu.benchmarks.rwku.questionnaire import QUESTIONNAIRE
from atu.benchmarks.rwku.reader import RwkuData
from atu.errors import UserError
from atu.records import Target, Text

if TYPE_CHECKING:
    from atu.models.language_model import LanguageModel

logger = logging.getLogger(__name__)
Progress = Callable[[str], Callable[[int, int], None] | None]


def build_benchmark(config: DataConfig) -> Benchmark:
    """The judge named by `data.benchmark`."""
    if config.benchmark == "builtin":
        return BuiltinBenchmark(icu=config.icu)
    if config.benchmark == "own":
        return OwnConcept(config)
    return RwkuBenchmark(None if config.data_dir is None else Path(config.data_dir), config.tasks, icu=config.icu)


def build_corpus(config: DataConfig, llm: LanguageModel, target: Target, *, seed: int, progress: Progress) -> Corpus:
    """The texts named by `data.corpus.source`, split into trained on and held out.

    Raises:
        UserError: a file is missing, empty or broken, or too few texts came together.
    """
    from atu.benchmarks.generated import GENERAL_SUBJECTS, cached_corpus  # brings torch

    corpus = config.corpus
    beside: frozenset[str] = frozenset()
    if corpus.source == "generated":
        forget, retain = cached_corpus(llm, target, corpus, seed=seed, progress=progress)
    else:
        forget, retain = given_texts(config, llm.label, target, seed=seed)
        _warn_if_foreign(corpus, llm.label)
        if corpus.source == "rwku" and corpus.has_questions:
            given = [*forget, *retain]
            beside = frozenset(GENERAL_SUBJECTS) - {text.subject for text in given}
            forget, retain = cached_corpus(
                llm,
                target,
                corpus,
                given=given,
                questionnaire=QUESTIONNAIRE * len(WAYS_TO_ASK),  # so often may one question be drawn
                seed=seed,
                progress=progress,
            )
    parts = split_corpus(forget, retain, share=corpus.held_out_share, seed=seed)
    return dataclasses.replace(parts, beside=beside)


def given_texts(config: DataConfig, writer: str, target: Target, *, seed: int) -> tuple[list[Text], list[Text]]:
    """The texts that lie in files, about the concept (forget) and about anything else (retain); none of `generated`.

    Args:
        writer: name of the model that is trained; of RWKU's texts it takes those that it wrote itself.

    Raises:
        UserError: a file is missing, empty or broken, or RWKU has no text by this model.
    """
    if config.corpus.source == "generated":
        return [], []
    if config.corpus.source == "jsonl":
        return _read_own(config.corpus, target)
    return _read_rwku(config, writer, target, seed)


def _read_own(corpus: CorpusConfig, target: Target) -> tuple[list[Text], list[Text]]:
    assert corpus.forget_path is not None
    forget = read_texts(Path(corpus.forget_path), subject=target.name)
    if corpus.retain_path is None:
        raise UserError("data.corpus.retain_path is missing: give texts about anything else, which must stay.")
    return list(forget), list(read_texts(Path(corpus.retain_path)))


def _read_rwku(config: DataConfig, writer: str, target: Target, seed: int) -> tuple[list[Text], list[Text]]:
    corpus = config.corpus
    data = RwkuData(None if config.data_dir is None else Path(config.data_dir))
    file = corpus_file(corpus.rwku_file, writer)
    return forget_and_retain(
        data,
        target.folder,
        file,
        num_forget_texts=corpus.num_forget_texts,
        num_others=corpus.num_neighbors,
        num_texts_per_other=corpus.num_texts_per_neighbor,
        seed=seed,
    )


def _warn_if_foreign(corpus: CorpusConfig, writer: str) -> None:
    if corpus.source != "rwku":
        return
    file = corpus_file(corpus.rwku_file, writer)
    foreign = foreign_writer(file, writer)
    if foreign is not None:
        logger.warning("the corpus %s was written by %s, not by %s", file, foreign, writer)
