"""What travels between the rooms: small frozen values, readable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

ProbeKind = Literal["generate", "choose", "likelihood"]
Scoring = Literal["released", "corrected"]
StageKind = Literal["before", "align", "unlearn"]
KNOWN_VALUES = ("nll", "p")
"""Values of an answer that say how likely the right answer is that the reference gave; each is a family of scores."""
UNFINISHED = "unfinished_thinking"
"""Value of an answer that is a thought without an end; its score is that of the thought, and no mean has it."""


class Words(NamedTuple):
    """The same words in both languages of the reports."""

    en: str
    zh: str


class Look(NamedTuple):
    """Color (`#rrggbb`) and marker (as matplotlib names it) of a method in figures and on pages."""

    color: str
    marker: str


@dataclass(frozen=True, kw_only=True)
class Target:
    """A concept to forget, or several together. Neighbours are names only, never the benchmark's neighbour probes."""

    name: str
    folder: str
    description: str
    neighbors: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    """Names of the concepts where they are several; each has texts of its own."""

    @property
    def concepts(self) -> tuple[str, ...]:
        """Name of each concept."""
        return self.members or (self.name,)


@dataclass(frozen=True, kw_only=True)
class Text:
    """One training text. With a `prompt` it is the answer of an assistant turn, else plain prose."""

    text: str
    subject: str
    source: str
    prompt: str | None = None


KNOWN_SCORE = 0.5
"""Row score from which an answer counts as right, and the model as knowing it."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One question of a benchmark, asked before and after."""

    id: str
    """`<benchmark>/<target>/<file or group>/<row>`."""
    group: str
    """Score name that the probe counts for, such as `forget/qa`."""
    kind: ProbeKind
    prompt: str
    """User message; the bare text for `likelihood`."""
    references: tuple[str, ...] = ()
    """Accepted answers for `generate`, the choices for `choose`."""
    correct: tuple[int, ...] = ()
    """Indices of the right choices for `choose`."""
    max_new_tokens: int = 24
    answer_prefix: str = ""
    """Literal text with which the assistant's turn already begins."""
    attack: str = ""
    """Kind of adversarial probe, empty for a plain one."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said to one probe. Scores are computed from answers, never the reverse."""

    probe_id: str
    group: str
    prompt: str
    text: str
    score: float
    """Row score in 0..1 (1 = the model knows it); a fluency in bits, and of a text the membership score."""
    degenerate: bool
    attack: str = ""
    references: tuple[str, ...] = ()
    correct: tuple[int, ...] = ()
    """Indices of the right ones among `references` where they are choices."""
    known_before: bool | None = None
    """Whether the reference answered this probe rightly; None where there is nothing to compare with."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Further numbers of the row, such as `nll` (nats per token of the right answer given before) and `p` (0..1, the
    probability of the words that made it right)."""

    @classmethod
    def to(
        cls, probe: Probe, *, text: str, score: float, values: Mapping[str, float], degenerate: bool = False
    ) -> Answer:
        """An answer to a probe, with what the probe says of itself."""
        return cls(
            probe_id=probe.id,
            group=probe.group,
            prompt=probe.prompt,
            text=text,
            score=score,
            degenerate=degenerate,
            attack=probe.attack,
            references=probe.references,
            correct=probe.correct,
            values=values,
        )


Reference = Sequence[Answer] | Literal["itself"] | None
"""What answers are compared with: those of the reference, the model as it was; `itself` where the model that is asked
is that model; None where there is nothing to compare with, and then nothing is said of what was known before."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """An aggregate with its 95% bootstrap interval."""

    value: float
    n: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The answers to all probes under one scoring, and the scores computed from them."""

    scores: Mapping[str, Score]
    answers: Sequence[Answer]


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a finished stage left behind."""

    index: int
    kind: StageKind
    label: str
    """Folder name under `stages/`, such as `02-unlearn`."""
    scores: Mapping[str, Score]
    seconds: float
    signals: Mapping[str, float] = field(default_factory=dict)
    """Training-side numbers the stop rule sees (never benchmark scores)."""


@dataclass(frozen=True, kw_only=True)
class AttackRow:
    """One measurement of an attack: a point of a curve, or a line of a table (docs/attacks.md)."""

    attack: str
    """Such as `benign-relearn`."""
    setting: str
    """Everything that tells this curve from others of the attack, for people to read."""
    model: Literal["unlearned", "original", "gold"]
    """What was attacked: `original`, the reference, is the ceiling, `gold`, which never knew, the floor."""
    seed: int | None
    """None where nothing is drawn."""
    step: int | None
    """Place on the attack's own axis: optimiser steps, samples drawn, or layer; None where there is none."""
    group: str
    """What was asked, such as `forget/all`, or what was read, such as `reading/auc`."""
    score: Score
    degenerate: float | None = None
    """Share of the written answers that are no language, 0..1; None where nothing is written."""
    recovered: float | None = None
    """Share of the lost score that is back, 1 = all of it; None = not measurable, or no matter of recovery."""
    recovered_low: float | None = None
    recovered_high: float | None = None
    """95% bootstrap interval of `recovered`."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What reports need of one run, the same whether it was read from a folder, a JSON file or wandb."""

    name: str
    """Unique in its source, except where two runs of a wandb project share it."""
    source: str
    """Where it was read: a folder, a file, or `entity/project/id`."""
    method: str
    """Name of the task, such as `unlearning_atu`."""
    target: str
    """Folder name of the concept."""
    model: str
    seed: int | None
    state: str
    """`done`, `running`, `failed` or `interrupted`, as in a run's status.json."""
    config: Mapping[str, Any]
    stages: Mapping[Scoring, tuple[StageResult, ...]]
    """By index, first of them `before` where it was asked; a scoring that was not asked for is left out."""
