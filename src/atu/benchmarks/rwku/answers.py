"""One row of an answers file from one observation: what the scores of both scorings begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atu.benchmarks.rwku.fluency import Fluency
from atu.benchmarks.rwku.membership import SHARES, MembershipScores
from atu.benchmarks.rwku.prompts import LETTERS
from atu.evaluation.collapse import is_degenerate
from atu.records import Answer, Probe


def written(probe: Probe, text: str, score: float, values: Mapping[str, float], *, raises: bool = False) -> Answer:
    """A generated text. `raises`: the released code has no score for it, which makes it degenerate."""
    return _answer(probe, text=text, score=score, values=values, degenerate=raises or is_degenerate(text))


def fluent(probe: Probe, text: str, fluency: Fluency) -> Answer:
    """A generated text that has no right or wrong; its score is an entropy in bits."""
    return written(probe, text, fluency.score, {"h2": fluency.h2, "h3": fluency.h3})


def lettered(probe: Probe, probabilities: Sequence[float]) -> Answer:
    """The likeliest of the letters, the first one of equals."""
    choice = probabilities.index(max(probabilities))
    values = {f"p_{letter}": value for letter, value in zip(LETTERS, probabilities, strict=True)}
    score = float(choice in probe.correct)
    return _answer(probe, text=LETTERS[choice], score=score, values={"choice": float(choice), **values})


def chosen(probe: Probe, logprobs: Sequence[float], *, mc1: float, mc2: float) -> Answer:
    """The likeliest of TruthfulQA's choices; the score is MC1. `logprobs`: of each choice, in nats."""
    choice = logprobs.index(max(logprobs))
    values = {f"logprob_{number}": value for number, value in enumerate(logprobs)}
    return _answer(
        probe,
        text=probe.references[choice],
        score=mc1,
        values={"choice": float(choice), "mc1": mc1, "mc2": mc2, **values},
    )


def member(probe: Probe, scores: MembershipScores) -> Answer:
    """A text with the numbers of the membership attacks; `loss` is the cross-entropy, minus the attack of that name."""
    values = {"loss": -scores.loss, "zlib": scores.zlib}
    values |= {f"mink_{share}": value for share, value in zip(SHARES, scores.mink, strict=True)}
    values |= {f"mink++_{share}": value for share, value in zip(SHARES, scores.minkpp, strict=True)}
    return _answer(probe, text="", score=scores.loss, values=values)


def _answer(probe: Probe, *, text: str, score: float, values: Mapping[str, float], degenerate: bool = False) -> Answer:
    return Answer(
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
