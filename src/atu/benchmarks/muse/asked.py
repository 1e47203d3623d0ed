"""What MUSE asks of a model, what it gave, and the rows of the answers file that both scorings make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from atu.evaluation.collapse import is_degenerate
from atu.evaluation.generate import Prompt
from atu.evaluation.gradient_norms import GradientNorm
from atu.evaluation.likelihood import Completion, TokenStatistics
from atu.evaluation.membership import attack_values
from atu.evaluation.rouge import rouge
from atu.records import Answer, Probe


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One probe as tokens."""

    prompt: Prompt | None = None
    """To be continued by the model."""
    completion: Completion | None = None
    """A given text to be read; None also where a text has no token that could be scored."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a model gave to one probe."""

    new: tuple[int, ...] = ()
    """Tokens that it wrote."""
    statistics: TokenStatistics | None = None
    """Of the given text."""
    gradient: GradientNorm | None = None

    @property
    def right(self) -> tuple[bool, ...]:
        """For each token of the given text whether the model would have written it."""
        return () if self.statistics is None else self.statistics.right


def written(probe: Probe, text: str, truth: str, values: Mapping[str, float], *, use_stemmer: bool) -> Answer:
    """A generated text; its score is ROUGE-L's F1 with the true one."""
    found = rouge(truth, text, use_stemmer=use_stemmer)
    numbers = {"rouge1_recall": found.rouge1_recall, "rougeL_recall": found.rougeL_recall, **values}
    return Answer.to(probe, text=text, score=found.rougeL_f1, values=numbers, degenerate=is_degenerate(text))


def read_values(strength: float | None, exact: float | None) -> dict[str, float]:
    """How much of a given text the model has by heart, without what cannot be said."""
    return {name: value for name, value in (("strength", strength), ("exact", exact)) if value is not None}


def text_values(probe: Probe, observed: Observation, text: str, *, released: bool) -> Answer:
    """A given text with what the membership attacks say of it.

    Args:
        text: the tokens that were read.
    """
    statistics, gradient = observed.statistics, observed.gradient
    values = {} if statistics is None else attack_values(statistics, text, is_released=released)
    if gradient is not None:
        values["gradnorm"] = gradient.mean_of_tensors if released else gradient.whole
    return Answer.to(probe, text="", score=0.0, values=values)
