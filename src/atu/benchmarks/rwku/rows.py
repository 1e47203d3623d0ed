"""The rows of RWKU's files, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

ATTACK_TYPES = (
    "prefix injection",
    "affirmative suffix",
    "role play",
    "multiple choice",
    "reverse query",
    "context hint",
    "synonym manipulation",
    "incontext learning",
    "cross lingual",
)
"""The nine adversarial forms of `forget_level3`, in the data's spelling."""


@dataclass(frozen=True, kw_only=True)
class IntroRow:
    """Whom to forget, and the request to do so."""

    target: str
    intro: str
    """`Please forget X. ` and a sentence that describes X."""


@dataclass(frozen=True, kw_only=True)
class QuestionRow:
    """A cloze, question or adversarial question about the target or a neighbor of it."""

    query: str
    answer: str
    type: str
    """`cloze`, `simple question`, or one of ATTACK_TYPES; `cross lingual` goes with ` (Language)`."""
    neighbor: str = ""
    """The entity asked about; empty for questions about the target."""


@dataclass(frozen=True, kw_only=True)
class MembershipRow:
    """A fragment of Wikipedia about the target (forget) or about others (retain)."""

    text: str
    ngram: int
    """About the number of words."""


@dataclass(frozen=True, kw_only=True)
class MmluExample:
    """One of the five worked examples of an MMLU task."""

    question: str
    choices: tuple[str, ...]
    answer: int


@dataclass(frozen=True, kw_only=True)
class MmluRow:
    """A multiple choice question with four choices."""

    task: str
    question: str
    choices: tuple[str, ...]
    answer: int
    examples: tuple[MmluExample, ...]
    """The same object for every row of a task."""


@dataclass(frozen=True, kw_only=True)
class BbhRow:
    """A BIG-Bench Hard question."""

    task: str
    question: str
    answer: str
    cot: str
    """Three worked chains of thought; the same object for every row of a task."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """Answers to a TruthfulQA question, label 1 = true."""

    choices: tuple[str, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class TruthfulRow:
    """A TruthfulQA question; the choices of `mc1` are among those of `mc2`."""

    question: str
    mc1: Choices
    mc2: Choices


@dataclass(frozen=True, kw_only=True)
class TriviaRow:
    """A TriviaQA question with every accepted answer."""

    question: str
    answers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FluencyRow:
    """An AlpacaEval instruction."""

    instruction: str


@dataclass(frozen=True, kw_only=True)
class PassageRow:
    """A Wikipedia paragraph about the target."""

    text: str


@dataclass(frozen=True, kw_only=True)
class BiographyRow:
    """A biography that a model wrote: factual in `positive*`, made up in `negative*`."""

    id: str
    text: str
    intro: str


@dataclass(frozen=True, kw_only=True)
class PairRow:
    """A request for a biography with the made-up (chosen) and the factual (rejected) answer."""

    id: str
    prompt: str
    chosen: str
    rejected: str


@dataclass(frozen=True, kw_only=True)
class RefusalRow:
    """A question about the target with an "I don't know" answer."""

    instruction: str
    """Empty in a few rows."""
    output: str
