"""RWKU's keys under `data`. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from atu.benchmarks.config import CorpusConfig, DataConfig

Task = Literal["forget", "neighbor", "mmlu", "bbh", "truthful", "triviaqa", "mia", "fluency"]


@dataclass(frozen=True, kw_only=True)
class RwkuCorpusConfig(CorpusConfig):
    """The texts of a run; with source `rwku` the texts that come with the benchmark."""

    rwku_file: str = "own"
    """RWKU file with the texts about a target, without `.json`; `own` takes the one that this model wrote."""


@dataclass(frozen=True, kw_only=True)
class RwkuConfig(DataConfig):
    """Which of RWKU's questions are asked. `data_dir`: by default `$ATU_RWKU`, else `data/rwku`."""

    has_texts = True
    benchmark: str = "rwku"
    tasks: tuple[Task, ...] = ()
    """Which of RWKU's tasks are asked; empty = all."""
    corpus: RwkuCorpusConfig = field(default_factory=RwkuCorpusConfig)
