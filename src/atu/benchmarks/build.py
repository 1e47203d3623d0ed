"""From the config to the texts of a run. Torch is imported where a model writes them, and not before."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.corpus import Corpus, read_texts, split_corpus
from atu.benchmarks.questions import WAYS_TO_ASK
from atu.benchmarks.several import find_texts
from atu.errors import UserError
from atu.records import Target, Text

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
        if texts.is_running:
            forget, retain = (pieces(llm, side, num_tokens=corpus.max_input_length) for side in (forget, retain))
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


def pieces(llm: LanguageModel, texts: Sequence[Text], *, num_tokens: int) -> list[Text]:
    """The texts of each subject joined by a blank line, and cut into pieces of so many tokens, a BOS among them.

    A piece is text again, so that a border within a word is one where the row is tokenised too; half a character there
    is left out.
    """
    size = num_tokens - len(llm.encode(""))
    found = []
    for subject in dict.fromkeys(text.subject for text in texts):
        of_subject = [text for text in texts if text.subject == subject]
        ids = llm.tokenizer("\n\n".join(text.text for text in of_subject), add_special_tokens=False)["input_ids"]
        for first in range(0, len(ids), size):
            text = llm.tokenizer.decode(ids[first : first + size], clean_up_tokenization_spaces=False)
            found.append(dataclasses.replace(of_subject[0], text=text.strip("\ufffd")))
    return found


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
