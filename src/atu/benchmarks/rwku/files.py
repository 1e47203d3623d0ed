"""RWKU's 22 files per target, and how a row of each is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from atu.benchmarks.rwku.record import Record
from atu.benchmarks.rwku.rows import (
    ATTACK_TYPES,
    BbhRow,
    BiographyRow,
    Choices,
    FluencyRow,
    IntroRow,
    MembershipRow,
    MmluExample,
    MmluRow,
    PairRow,
    PassageRow,
    QuestionRow,
    RefusalRow,
    TriviaRow,
    TruthfulRow,
)

T = TypeVar("T")


@dataclass(frozen=True)
class RwkuFile(Generic[T]):
    """One of the 22 files: its name without `.json`, and how to read a row of it."""

    name: str
    parse: Callable[[Record], T]


def _intro(record: Record) -> IntroRow:
    return IntroRow(target=record.text("target"), intro=record.text("intro"))


def _question(record: Record) -> QuestionRow:
    answer = record.text("answer")
    if not answer.strip(" .\n"):  # the released scorer has no words to look for in it
        raise record.fault("answer", f"has no word: {answer!r}")
    return QuestionRow(query=record.text("query"), answer=answer, type=record.text("type"))


def _attack(record: Record) -> QuestionRow:
    row = _question(record)
    label = row.type.replace("cross-lingual", "cross lingual")  # one French row is spelled so
    if not label.startswith(ATTACK_TYPES):
        raise record.fault("type", f"is no attack that RWKU has: {row.type!r}")
    return QuestionRow(query=row.query, answer=row.answer, type=label)


def _neighbor(record: Record) -> QuestionRow:
    row = _question(record)
    return QuestionRow(query=row.query, answer=row.answer, type=row.type, neighbor=record.text("neighbor"))


def _membership(record: Record) -> MembershipRow:
    return MembershipRow(text=record.text("text"), ngram=record.whole("ngram"))


def _mmlu_example(record: Record) -> MmluExample:
    answer = record.whole("answer")
    if not 0 <= answer < 4:
        raise record.fault("answer", f"must be 0, 1, 2 or 3, found {answer}")
    return MmluExample(question=record.text("question"), choices=record.texts("choices", 4), answer=answer)


def _mmlu(record: Record) -> MmluRow:
    task = record.text("task")
    asked = _mmlu_example(record)
    examples = tuple(_mmlu_example(example) for example in record.records("examples", 5))
    return MmluRow(
        task=task,
        question=asked.question,
        choices=asked.choices,
        answer=asked.answer,
        examples=record.shared.hold("MMLU examples", task, examples, record.where),
    )


def _bbh(record: Record) -> BbhRow:
    task = record.text("task")
    return BbhRow(
        task=task,
        question=record.text("question"),
        answer=record.text("answer"),
        cot=record.shared.hold("BBH chains", task, record.text("cot"), record.where),
    )


def _choices(record: Record) -> Choices:
    choices = record.texts("choices")
    labels = record.get("labels")
    is_right = isinstance(labels, list) and len(labels) == len(choices)
    if not is_right or not all(type(label) is int and label in (0, 1) for label in labels):
        raise record.fault("labels", "must be a 0 or 1 for each choice")
    if set(labels) != {0, 1}:
        raise record.fault("labels", "must name a true and a false choice")
    return Choices(choices=choices, labels=tuple(labels))


def _truthful(record: Record) -> TruthfulRow:
    mc1, mc2 = _choices(record.record("mc1_targets")), _choices(record.record("mc2_targets"))
    if not set(mc1.choices) <= set(mc2.choices):
        raise record.fault("mc1_targets", "has a choice that mc2_targets lacks")
    return TruthfulRow(question=record.text("question"), mc1=mc1, mc2=mc2)


def _trivia(record: Record) -> TriviaRow:
    return TriviaRow(question=record.text("question"), answers=record.texts("answers"))


def _fluency(record: Record) -> FluencyRow:
    return FluencyRow(instruction=record.text("instruction"))


def _passage(record: Record) -> PassageRow:
    return PassageRow(text=record.text("text"))


def _biography(record: Record) -> BiographyRow:
    return BiographyRow(id=record.text("id"), text=record.text("text"), intro=record.text("intro"))


def _pair(record: Record) -> PairRow:
    chosen, rejected = record.texts("response", 2)
    return PairRow(id=record.text("id"), prompt=record.text("prompt"), chosen=chosen, rejected=rejected)


def _refusal(record: Record) -> RefusalRow:
    # One of the two public copies lacks the question in one row each of four targets.
    return RefusalRow(instruction=record.text("instruction", may_be_empty=True), output=record.text("output"))


INTRO = RwkuFile("intro", _intro)
FORGET_LEVEL1 = RwkuFile("forget_level1", _question)
FORGET_LEVEL2 = RwkuFile("forget_level2", _question)
FORGET_LEVEL3 = RwkuFile("forget_level3", _attack)
NEIGHBOR_LEVEL1 = RwkuFile("neighbor_level1", _neighbor)
NEIGHBOR_LEVEL2 = RwkuFile("neighbor_level2", _neighbor)
FORGET_MIA = RwkuFile("forget_mia", _membership)
RETAIN_MIA = RwkuFile("retain_mia", _membership)
RETAIN_MMLU = RwkuFile("retain_mmlu", _mmlu)
RETAIN_BBH = RwkuFile("retain_bbh", _bbh)
TRUTHFUL = RwkuFile("truthful", _truthful)
TRIVIAQA = RwkuFile("triviaqa", _trivia)
FLUENCY = RwkuFile("fluency", _fluency)
PASSAGE = RwkuFile("passage", _passage)
POSITIVE = RwkuFile("positive", _biography)
POSITIVE_PHI = RwkuFile("positive_phi", _biography)
NEGATIVE = RwkuFile("negative", _biography)
NEGATIVE_PHI = RwkuFile("negative_phi", _biography)
PAIR = RwkuFile("pair", _pair)
PAIR_PHI = RwkuFile("pair_phi", _pair)
REJECT = RwkuFile("reject", _refusal)
REJECT_PHI = RwkuFile("reject_phi", _refusal)

EVALUATION_FILES: tuple[RwkuFile[Any], ...] = (
    FORGET_LEVEL1,
    FORGET_LEVEL2,
    FORGET_LEVEL3,
    NEIGHBOR_LEVEL1,
    NEIGHBOR_LEVEL2,
    FORGET_MIA,
    RETAIN_MIA,
    RETAIN_MMLU,
    RETAIN_BBH,
    TRUTHFUL,
    TRIVIAQA,
    FLUENCY,
)
"""The twelve files that judge a model."""

TRAINING_FILES: tuple[RwkuFile[Any], ...] = (
    PASSAGE,
    POSITIVE,
    POSITIVE_PHI,
    NEGATIVE,
    NEGATIVE_PHI,
    PAIR,
    PAIR_PHI,
    REJECT,
    REJECT_PHI,
)

ALL_FILES: tuple[RwkuFile[Any], ...] = (INTRO, *EVALUATION_FILES, *TRAINING_FILES)
