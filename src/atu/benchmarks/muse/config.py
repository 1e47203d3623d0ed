"""MUSE's keys under `data`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.gold import GoldConfig

Task = Literal["forget", "retain", "verbatim", "privacy"]
ForgetTexts = Literal[
    "raw/forget",
    "scal/forget_1",
    "scal/forget_2",
    "scal/forget_3",
    "scal/forget_4",
    "sust/forget_1",
    "sust/forget_2",
    "sust/forget_3",
    "sust/forget_4",
]


@dataclass(frozen=True, kw_only=True)
class MuseCorpusConfig(CorpusConfig):
    """The texts of a run; with source `muse` MUSE's own, in pieces of `max_input_length` tokens."""

    forget_texts: ForgetTexts = "raw/forget"
    """Those to forget. News has larger requests (`scal/forget_2` holds `scal/forget_1` and as much again), and
    requests that follow one another (`sust/forget_1` ...)."""


@dataclass(frozen=True, kw_only=True)
class MuseConfig(GoldConfig):
    """What is asked. `data_dir`: by default `$ATU_MUSE`, else `data/muse`."""

    has_texts = True
    benchmark: str = "muse"
    collection: Literal["news", "books"] | None = None
    """The corpus that `atu evaluate` asks about where no target is named; in a run `unlearning_target` names it."""
    tasks: tuple[Task, ...] = ()
    """Which parts are asked; empty = all. `forget`, `retain`: questions; `verbatim`: passages to continue; `privacy`:
    the membership attacks."""
    gradnorm: bool = False
    """Whether the membership attack by gradients is made too: it computes a gradient for each text."""
    corpus: MuseCorpusConfig = field(default_factory=MuseCorpusConfig)
