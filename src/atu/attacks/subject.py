"""What is attacked, what it is compared with, and how a measurement becomes a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property

from atu.attacks.config import AttackName, Budget, ModelName
from atu.attacks.halves import Halves, split_facts
from atu.attacks.recovery import Recovered, recovered_share
from atu.benchmarks.base import Benchmark
from atu.embedding.config import EncoderConfig
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.scores import bootstrap_mean
from atu.models.language_model import LanguageModel
from atu.models.precision import Autocast
from atu.records import Answer, AttackRow, Probe, Target, Text


@dataclass(frozen=True)
class Unit:
    """A piece of an attack that is done whole or not at all; a killed run resumes after the last whole one."""

    attack: AttackName
    setting: str
    """With the seed, the name of the unit."""
    seed: int | None
    run: Callable[[], list[AttackRow]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An unlearned model, the original, perhaps a gold model that never knew the target, and the judge."""

    models: Mapping[ModelName, LanguageModel]
    """`unlearned` and `original`, and `gold` where there is one; alike in architecture and tokenizer."""
    target: Target
    benchmark: Benchmark
    probes: Sequence[Probe]
    write_corpus: Callable[[], tuple[Text, ...]] = field(repr=False)
    """Gives texts about the target, which have its name as subject, and about others."""
    encoders: Sequence[EncoderConfig]
    budget: Budget
    evaluation: EvaluationConfig
    autocast: Autocast = nullcontext
    """Precision of training steps; answers are always in the weights' own."""

    @property
    def unlearned(self) -> LanguageModel:
        return self.models["unlearned"]

    @property
    def original(self) -> LanguageModel:
        return self.models["original"]

    @property
    def compared(self) -> tuple[ModelName, ...]:
        """The models that most attacks are tried on; a quick budget leaves the original out."""
        return ("unlearned", "original") if self.budget.with_original else ("unlearned",)

    def group(self, *names: str) -> list[Probe]:
        """Probes of groups, such as `forget` or `neighbor`."""
        return [probe for probe in self.probes if probe.group.partition("/")[0] in names]

    @cached_property
    def corpus(self) -> tuple[Text, ...]:
        """What `write_corpus` gives, made on first use."""
        return self.write_corpus()

    def halves(self, seed: int) -> Halves:
        """The facts split by `seed`; see `split_facts`."""
        if seed not in self._halves:
            self._halves[seed] = split_facts(self.target, self.group("forget"), seed)
        return self._halves[seed]

    def check_halves(self, seeds: Sequence[int]) -> None:
        """Raises UserError, before anything is done, when the facts are too few to split."""
        for seed in seeds:
            self.halves(seed)

    def plain_answers(self, model: ModelName) -> dict[str, Answer]:
        """What a model answers to all probes when nothing is done to it, by probe id."""
        if model not in self._answers:
            answers = self.benchmark.ask(
                self.models[model], self.probes, reference=None, as_loaded=True, config=self.evaluation
            )
            self._answers[model] = {answer.probe_id: answer for answer in answers["corrected"]}
        return self._answers[model]

    def ask(self, llm: LanguageModel, probes: Sequence[Probe]) -> list[Answer]:
        """What a changed model, or one asked otherwise, answers; in the order of the probes."""
        return self.benchmark.ask(llm, probes, reference=None, as_loaded=False, config=self.evaluation)["corrected"]

    @cached_property
    def _halves(self) -> dict[int, Halves]:
        return {}

    @cached_property
    def _answers(self) -> dict[ModelName, dict[str, Answer]]:
        return {}


@dataclass(frozen=True)
class Reporter:
    """Makes the rows of one unit: all of them share attack, setting, model and seed."""

    subject: Subject
    attack: AttackName
    setting: str
    model: ModelName
    seed: int | None

    def answered(self, answers: Sequence[Answer], step: int | None) -> list[AttackRow]:
        """`forget/all` and each of its groups, with the share of what these very rows lost that is back.

        Answers to altered probes are compared with the plain ones to the probes that they were made of.
        """
        before, after = self.subject.plain_answers("original"), self.subject.plain_answers("unlearned")
        groups = sorted({answer.group for answer in answers})
        rows = []
        for name in ("forget/all", *groups) if len(groups) > 1 else ("forget/all",):
            chosen = [answer for answer in answers if name in ("forget/all", answer.group)]
            origins = [origin(answer.probe_id) for answer in chosen]
            rows.append(
                self.measured(
                    name,
                    [answer.score for answer in chosen],
                    step,
                    before=[before[one].score for one in origins],
                    after=[after[one].score for one in origins],
                    degenerate=sum(answer.degenerate for answer in chosen) / len(chosen),
                )
            )
        return rows

    def measured(
        self,
        group: str,
        values: Sequence[float],
        step: int | None,
        *,
        before: Sequence[float] | None = None,
        after: Sequence[float] | None = None,
        degenerate: float | None = None,
    ) -> AttackRow:
        """A row of scores in 0..1, given in percent; with `before` and `after` also of what is recovered."""
        share: Recovered | None = None
        if before is not None and after is not None:
            samples = self.subject.evaluation.bootstrap_samples
            share = recovered_share(before, after, values, name=group, samples=samples)
        row = self.raw(group, [100 * value for value in values], step, degenerate=degenerate)
        if share is None:
            return row
        return replace(row, recovered=share.value, recovered_low=share.low, recovered_high=share.high)

    def raw(
        self, group: str, values: Sequence[float], step: int | None, *, degenerate: float | None = None
    ) -> AttackRow:
        """A row of numbers in a unit of their own, such as nats."""
        samples = self.subject.evaluation.bootstrap_samples
        return AttackRow(
            attack=self.attack,
            setting=self.setting,
            model=self.model,
            seed=self.seed,
            step=step,
            group=group,
            score=bootstrap_mean(values, name=group, samples=samples, seed=0),
            degenerate=degenerate,
        )


def labelled(setting: str, model: ModelName, seed: int | None) -> str:
    """A setting as people read it: `lora, lr 0.001, original, seed 1`."""
    parts = [setting, *([] if model == "unlearned" else [model]), *([] if seed is None else [f"seed {seed}"])]
    return ", ".join(parts)


def check_alike(models: Mapping[ModelName, LanguageModel]) -> None:
    """Raises UserError unless all models have the same tensors and read a chat as the same tokens."""
    first = models["original"]
    shapes = {name: tuple(value.shape) for name, value in first.model.state_dict().items()}
    ids = first.encode(first.render("What is it?"))
    for name, llm in models.items():
        if shapes != {key: tuple(value.shape) for key, value in llm.model.state_dict().items()}:
            raise UserError(
                f"The {name} model '{llm.label}' ({type(llm.model).__name__}) is not of the architecture of the "
                f"original '{first.label}' ({type(first.model).__name__}): give the model that it was made from."
            )
        if llm.tokenizer.get_vocab() != first.tokenizer.get_vocab() or llm.encode(llm.render("What is it?")) != ids:
            raise UserError(
                f"The {name} model '{llm.label}' reads text as other tokens than the original '{first.label}': "
                "their tokenizers or chat templates differ. Give the model that it was made from."
            )


def altered(probe: Probe, how: str, *, prompt: str | None = None, answer_prefix: str | None = None) -> Probe:
    """A probe asked in another way, under an id of its own."""
    return replace(
        probe,
        id=f"{probe.id}#{how}",
        prompt=probe.prompt if prompt is None else prompt,
        answer_prefix=probe.answer_prefix if answer_prefix is None else answer_prefix,
    )


def origin(probe_id: str) -> str:
    """The id of the probe that an altered one was made of."""
    return probe_id.partition("#")[0]
