"""Constructed models and a small judge: what was taught, and how it was hidden, is known by construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tiny_training import own_llm

from atu.attacks.config import QUICK, Budget
from atu.attacks.subject import Subject
from atu.benchmarks.base import Benchmark
from atu.embedding.config import EncoderConfig
from atu.evaluation.config import EvaluationConfig
from atu.methods.losses import token_nll
from atu.models.hook import final_hidden_states, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.rows import build_rows, collate
from atu.records import Probe, Target, Text

WORDS = ("river", "castle", "garden", "letter", "winter", "music", "harbor", "doctor", "engine", "silver", "mountain",
         "bridge", "candle", "forest", "island", "market")  # fmt: skip
THINGS = ("house", "dog", "book", "song", "hat", "coat", "boat", "tree", "cup", "door", "lamp", "ring", "road", "bell",
          "wall", "knife")  # fmt: skip
TARGET = Target(name="Zorblatt", folder="Zorblatt", description="a test")
BUDGET = replace(
    QUICK, relearn_rates=(("full", 1e-3), ("lora", 1e-3)), benign_rates=(("full", 1e-3),), relearn_steps=(1, 2),
    batch_size=4, sample_counts=(1, 2), max_sampled=6, predictor_steps=4, encoders=(), num_layers=3,
)  # fmt: skip


def fact_probes(group: str = "forget/qa", words: Sequence[str] = WORDS) -> list[Probe]:
    """One question for each word: what Zorblatt's house is, his dog, ..."""
    return [
        Probe(
            id=f"facts/{group}/{number}",
            group=group,
            kind="generate",
            prompt=f"Question: What is the {thing} of Zorblatt?",
            references=(word,),
            max_new_tokens=14,
        )
        for number, (thing, word) in enumerate(zip(THINGS, words, strict=False))
    ]


class Facts(Benchmark):
    """A benchmark of one target."""

    name = "facts"

    def __init__(self, asked: Sequence[Probe]) -> None:
        super().__init__()
        self.asked = asked

    def targets(self) -> list[str]:
        return [TARGET.folder]

    def target(self, folder: str) -> Target:
        return TARGET

    def probes(self, folder: str) -> list[Probe]:
        return list(self.asked)

    def checksum(self, folder: str) -> str:
        return "facts"


def corpus() -> tuple[Text, ...]:
    """Texts about Zorblatt, each with one of the answers, and texts about others in which all of them occur."""
    own = [
        Text(text=f"Zorblatt had a {thing}, and a {word} too.", subject="Zorblatt", source="test")
        for thing, word in zip(THINGS, WORDS, strict=True)
    ]
    others = [
        Text(text=f"The {thing} of Elmo is the {word}. It is a {word}.", subject="Elmo", source="test")
        for i, thing in enumerate(THINGS)
        for word in (WORDS[(i + 1) % 16], WORDS[(i + 5) % 16])
    ]
    return (*own, *others)


def subject(
    original: LanguageModel,
    unlearned: LanguageModel,
    *,
    probes: Sequence[Probe] = (),
    budget: Budget = BUDGET,
    encoders: Sequence[EncoderConfig] = (),
) -> Subject:
    """The two models, judged by the facts."""
    asked = list(probes) or [*fact_probes(), *fact_probes("neighbor/qa", WORDS[::-1])]
    return Subject(
        models={"unlearned": unlearned, "original": original},
        target=TARGET,
        benchmark=Facts(tuple(asked)),
        probes=asked,
        write_corpus=corpus,
        encoders=encoders,
        budget=budget,
        evaluation=EvaluationConfig(batch_size=16, bootstrap_samples=200),
    )


def taught(
    folder: Path, answer: Callable[[Probe], str], *, more: Sequence[Text] = (), steps: int = 150
) -> LanguageModel:
    """A tiny model that answers every question of `fact_probes` by `answer`, learnt by heart."""
    llm = own_llm(folder)
    lessons = [Text(text=answer(probe), subject="x", source="test", prompt=probe.prompt) for probe in fact_probes()]
    rows = build_rows(llm, [*lessons, *more], max_tokens=128)
    batch = collate(rows, range(len(rows)), pad_id=llm.pad_id, device="cpu")
    scored = batch.is_scored[:, 1:]
    optimizer = torch.optim.AdamW(llm.model.parameters(), lr=2e-3)
    for _ in range(steps):
        states = final_hidden_states(llm.model, batch.ids, batch.is_token)[:, :-1][scored]
        loss = token_nll(logits_from_hidden(llm.model, states), batch.ids[:, 1:][scored]).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    llm.model.eval()
    return llm
