"""Reading the hidden states: are the facts still in there, though the model no longer says them?

Two readers, each trained on one half of the facts and tested on the other: a linear probe that tells a true answer
from a wrong one (Azaria and Mitchell 2023, arXiv 2304.13734; Marks and Tegmark 2023, arXiv 2310.06824), and a fresh
embedding predictor, of another seed, layer or encoder than any that unlearning saw.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from atu.attacks.fresh_predictor import FreshPredictor, readable_texts
from atu.attacks.halves import is_plain
from atu.attacks.linear_probe import Readings, Statement, read_with_probe
from atu.attacks.states import spread_layers
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.embedding.config import EncoderConfig
from atu.embedding.encoder import load_encoder
from atu.models.hook import count_layers
from atu.models.language_model import LanguageModel
from atu.records import AttackRow, Probe, Target

_UNKNOWN = "Jorun Velk"
"""A name that nobody bears: what can be read of it comes from the wording of questions and answers alone."""


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """For each seed one unit with the linear probe and one with each encoder; each reads all models.

    Raises:
        UserError: the target has too few questions to split.
    """
    subject.check_halves(seeds)
    found = []
    for seed in seeds:
        found.append(_probe_unit(subject, seed))
        found += [_predictor_unit(subject, encoder, seed) for encoder in subject.encoders]
    return found


def renamed(probe: Probe, target: Target) -> Probe:
    """The question about an unknown name in place of the target's."""
    prompt = probe.prompt
    last = _UNKNOWN.split()[-1]
    words = target.name.split()
    for name, other in ((target.name, _UNKNOWN), *((alias, last) for alias in target.aliases), (words[-1], last)):
        prompt = prompt.replace(name, other)
    return replace(probe, prompt=prompt)


def statements(probes: Sequence[Probe], seed: int) -> list[Statement]:
    """Each question with its answer and with a wrong one, which answers another of the questions.

    Wrong answers are of the same kind where there are such: a number for a number, as many words if possible.
    """
    chance = random.Random(f"statements {seed}")
    found = []
    for probe in probes:
        right = probe.references[0]
        others = [other.references[0] for other in probes if not set(other.references) & set(probe.references)]
        if not others:
            continue
        chance.shuffle(others)
        wrong = min(others, key=lambda other: (_has_digit(other) != _has_digit(right), _words_apart(other, right)))
        found.append(Statement(probe, right, wrong))
    return found


def _probe_unit(subject: Subject, seed: int) -> Unit:
    layers = spread_layers(subject.original, subject.budget.num_layers)

    def read(llm: LanguageModel) -> dict[int, Readings]:
        halves, size = subject.halves(seed), subject.evaluation.batch_size
        seen, tested = (statements(_plain(half), seed) for half in (halves.seen, halves.tested))
        unknown = [replace(one, probe=renamed(one.probe, subject.target)) for one in tested]
        return read_with_probe(llm, seen, tested, unknown, layers, batch_size=size)

    return _unit(subject, "linear probe", seed, read)


def _predictor_unit(subject: Subject, config: EncoderConfig, seed: int) -> Unit:
    depth = count_layers(subject.original.model)
    layers = list(dict.fromkeys(max(1, round(share * depth)) for share in subject.budget.predictor_depths))

    def read(llm: LanguageModel) -> dict[int, Readings]:
        halves = subject.halves(seed)
        tested = _plain(halves.tested)
        reader = FreshPredictor(
            llm=llm,
            encoder=load_encoder(config, device=str(llm.device)),
            texts=readable_texts(subject.target, subject.corpus, halves),
            steps=subject.budget.predictor_steps,
            seed=seed,
        )
        unknown = [renamed(probe, subject.target) for probe in tested]
        return {layer: reader.read(layer, tested, unknown) for layer in layers}

    return _unit(subject, f"fresh predictor, {config.name}", seed, read)


def _unit(subject: Subject, what: str, seed: int, read: Callable[[LanguageModel], dict[int, Readings]]) -> Unit:
    def run() -> list[AttackRow]:
        found = {name: read(llm) for name, llm in subject.models.items()}
        rows = []
        for name, by_layer in found.items():
            report = Reporter(subject, "hidden-states", labelled(what, name, seed), name, seed)
            for layer, readings in by_layer.items():
                # What was lost to reading: from the original's down to what an unknown name gives.
                before, floor = found["original"][layer].target, found["unlearned"][layer].unknown
                rows.append(report.measured("reading/auc", readings.target, layer, before=before, after=floor))
                rows.append(report.measured("reading/auc of an unknown name", readings.unknown, layer))
                if readings.cosines:
                    rows.append(report.raw("reading/cosine", readings.cosines, layer))
        return rows

    return Unit("hidden-states", labelled(what, "unlearned", seed), seed, run)


def _plain(probes: Sequence[Probe]) -> list[Probe]:
    return [probe for probe in probes if is_plain(probe)]


def _has_digit(text: str) -> bool:
    return any(letter.isdigit() for letter in text)


def _words_apart(text: str, other: str) -> int:
    return abs(len(text.split()) - len(other.split()))
