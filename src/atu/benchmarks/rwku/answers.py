"""One row of an answers file from one observation: what the scores of both scorings begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from atu.benchmarks.rwku.fluency import Fluency
from atu.benchmarks.rwku.membership import SHARES, MembershipScores
from atu.benchmarks.rwku.prompts import KNOWLEDGE, LETTERS
from atu.benchmarks.rwku.released_scorers import truthful_mc1
from atu.benchmarks.rwku.rows import TruthfulRow
from atu.evaluation.collapse import is_degenerate
from atu.records import Answer, Probe

MassOfTruth = Callable[[TruthfulRow, Mapping[str, float]], float]
"""From a row of TruthfulQA and the log-probability of each choice to MC2."""


def written(probe: Probe, text: str, score: float, values: Mapping[str, float], *, raises: bool = False) -> Answer:
    """A generated text. `raises`: the released code has no score for it, which makes it degenerate."""
    return Answer.to(probe, text=text, score=score, values=values, degenerate=raises or is_degenerate(text))


def fluent(probe: Probe, text: str, fluency: Fluency) -> Answer:
    """A generated text that has no right or wrong; its score is an entropy in bits."""
    return written(probe, text, fluency.score, {"h2": fluency.h2, "h3": fluency.h3})


def lettered(probe: Probe, probabilities: Sequence[float]) -> Answer:
    """The likeliest of the letters, the first one of equals."""
    choice = probabilities.index(max(probabilities))
    values = {f"p_{letter}": value for letter, value in zip(LETTERS, probabilities, strict=True)}
    score = float(choice in probe.correct)
    return Answer.to(probe, text=LETTERS[choice], score=score, values={"choice": float(choice), **values})


def chosen(probe: Probe, row: TruthfulRow, numbers: Sequence[float], mc2: MassOfTruth) -> Answer:
    """The likeliest of TruthfulQA's choices; the score is MC1. `numbers`: log-probability of each choice, in nats."""
    logprobs = dict(zip(probe.references, numbers, strict=True))
    choice, mc1 = numbers.index(max(numbers)), truthful_mc1(row, logprobs)
    values = {"choice": float(choice), "mc1": mc1, "mc2": mc2(row, logprobs)}
    values |= {f"logprob_{number}": value for number, value in enumerate(numbers)}
    return Answer.to(probe, text=probe.references[choice], score=mc1, values=values)


def choice(probe: Probe, row: TruthfulRow | None, numbers: Sequence[float], mc2: MassOfTruth) -> Answer | None:
    """The answer to a probe that offers choices; None for a probe that is answered in words.

    Args:
        row: of TruthfulQA, for its probes.
        numbers: what the model gave for each letter or choice.
        mc2: the probability mass of the true choices, by the rules of a scoring.
    """
    if probe.group == KNOWLEDGE:
        return lettered(probe, numbers)
    return None if row is None else chosen(probe, row, numbers, mc2)


def member(probe: Probe, scores: MembershipScores) -> Answer:
    """A text with the numbers of the membership attacks; `loss` is the cross-entropy, minus the attack of that name."""
    values = {"loss": -scores.loss, "zlib": scores.zlib}
    values |= {f"mink_{share}": value for share, value in zip(SHARES, scores.mink, strict=True)}
    values |= {f"mink++_{share}": value for share, value in zip(SHARES, scores.minkpp, strict=True)}
    return Answer.to(probe, text="", score=scores.loss, values=values)
