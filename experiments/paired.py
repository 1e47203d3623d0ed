"""Two methods at matched forgetting, question by question: what one keeps of the neighbors that the other does not.

    python experiments/paired.py --ours RUN... --other RUN...

Runs are paired by concept and seed. Of each concept, all are read at the deepest forgetting that all of them reach:
where as little of the forget score before is left as in the run that goes least deep, with the numbers of each question
on the straight line between the two stages there. Each question then has one difference, ours - other, for each seed.
Twice: with forgetting told by greedy answers (`forget/all`), and by p (`p/forget@known`), which flickers less.

The interval is a 95% percentile bootstrap in which both questions and seeds are drawn anew (Owen 2007, "The pigeonhole
bootstrap"): the answers to a question with several seeds are not independent. With one seed it says nothing of seeds.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from atu.benchmarks.comparison import GAP, signed
from atu.errors import UserError
from atu.evaluation.scores import summarize
from atu.records import UNFINISHED, Answer
from atu.report.collect import record_of
from atu.runs.run_folder import RunFolder

SAMPLES = 10_000
MATCHED_BY = ("forget/all", "p/forget@known")
"""What tells how much is forgotten."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A run: what was answered before and after each unlearn stage."""

    concept: str
    seed: int
    answers: Sequence[Sequence[Answer]]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean over questions and seeds of ours - other, with its 95% interval (NaN where there is none)."""

    value: float
    low: float
    high: float


Values = Mapping[str, float]
"""A number for each question, by probe id."""
Measure = Callable[[Sequence[Answer], Sequence[Answer]], Values]
"""From the answers before and at some point to a number for each question."""


def neighbors_kept(before: Sequence[Answer], answers: Sequence[Answer]) -> Values:
    """Whose mean is `neighbor/all` in percent of before: a question's score over the mean score before."""
    scores = [answer.score for answer in _of("neighbor", before)]
    mean = sum(scores) / max(1, len(scores))
    return {answer.probe_id: 100 * answer.score / mean for answer in _of("neighbor", answers)} if mean else {}


def broken(_before: Sequence[Answer], answers: Sequence[Answer]) -> Values:
    """Whose mean is `degenerate/forget`, in percent."""
    written = (answer for answer in _of("forget", answers) if "choice" not in answer.values)
    return {answer.probe_id: 100.0 * answer.degenerate for answer in written}


def neighbor_p(_before: Sequence[Answer], answers: Sequence[Answer]) -> Values:
    """Whose mean is `p/neighbor@known`, 0..1."""
    return _probabilities("neighbor", answers)


def general_p(_before: Sequence[Answer], answers: Sequence[Answer]) -> Values:
    """Whose mean is `p/utility@known`, 0..1."""
    return _probabilities("utility", answers)


def _probabilities(side: str, answers: Sequence[Answer]) -> Values:
    known = (answer for answer in _of(side, answers) if answer.known_before)
    return {answer.probe_id: answer.values["p"] for answer in known if "p" in answer.values}


def _of(side: str, answers: Sequence[Answer]) -> list[Answer]:
    """The answers that count for scores of a side."""
    return [a for a in answers if a.group.startswith(f"{side}/") and UNFINISHED not in a.values]


MEASURES: Mapping[str, tuple[str, Measure]] = {
    "neighbors kept, %": ("%", neighbors_kept),
    "broken answers, %": ("%", broken),
    "p of neighbors": ("", neighbor_p),
    "p of general facts": ("", general_p),
}
"""Unit, and the numbers of the questions."""


def share_left(curve: Curve, name: str) -> list[float]:
    """The share of a forget score before that is left at each point of the curve; NaN where it has none."""
    scores = [summarize(answers, samples=1) for answers in curve.answers]
    start = scores[0][name].value if name in scores[0] else math.nan
    return [point[name].value / start if name in point and start > 0 else math.nan for point in scores]


def deepest_common(curves: Sequence[Curve], name: str) -> float:
    """The smallest share that every curve reaches; NaN where one cannot tell."""
    return float(np.max([np.min(share_left(curve, name)) for curve in curves]))


def at_level(curve: Curve, name: str, level: float, measure: Measure) -> Values:
    """The numbers of the questions where the curve first has the share `level` left, which it reaches."""
    shares = share_left(curve, name)
    index = next(i for i, share in enumerate(shares) if share <= level)
    right = measure(curve.answers[0], curve.answers[index])
    if index == 0:
        return right
    part = (shares[index - 1] - level) / (shares[index - 1] - shares[index])
    left = measure(curve.answers[0], curve.answers[index - 1])
    return {probe: left[probe] + part * (right[probe] - left[probe]) for probe in right if probe in left}


def gaps(ours: Curve, other: Curve, name: str, level: float, measure: Measure) -> Values:
    """Ours - other where both have the share `level` left, of each question that both have a number for."""
    left, right = (at_level(curve, name, level, measure) for curve in (ours, other))
    return {probe: left[probe] - right[probe] for probe in left if probe in right}


def pooled(parts: Sequence[Values]) -> Values:
    """The questions of several concepts; one that is asked of each, such as a general fact, has its mean."""
    found: dict[str, list[float]] = {}
    for part in parts:
        for probe, gap in part.items():
            found.setdefault(probe, []).append(gap)
    return {probe: fmean(values) for probe, values in found.items()}


def mean_gap(by_seed: Sequence[Values], *, samples: int = SAMPLES) -> Difference:
    """Mean over the seeds and over the questions that all of them have, with its interval."""
    seeds, questions = len(by_seed), [probe for probe in by_seed[0] if all(probe in one for one in by_seed)]
    if not questions:
        return Difference(value=math.nan, low=math.nan, high=math.nan)
    table = np.array([[one[probe] for probe in questions] for one in by_seed])
    draws = np.random.default_rng(0)
    # How often each seed and each question is drawn: the mean over what is drawn is a product with both.
    of_seeds = draws.multinomial(seeds, [1 / seeds] * seeds, size=samples)
    of_questions = draws.multinomial(len(questions), [1 / len(questions)] * len(questions), size=samples)
    means = ((of_seeds @ table) * of_questions).sum(axis=1) / table.size
    low, high = np.percentile(means, [2.5, 97.5])
    return Difference(value=float(table.mean()), low=float(low), high=float(high))


def table(ours: Sequence[Curve], other: Sequence[Curve]) -> str:
    """Markdown: for each way to tell forgetting a line for each concept, and one for the questions of all.

    Raises:
        UserError: the two have no concept and seed in common, or one has two runs of the same.
    """
    lines = [
        f"| concept | matched by | left | seeds | {' | '.join(MEASURES)} |",
        "| --- | --- | --- | --- |" + " --- |" * len(MEASURES),
    ]
    pairs = pairs_of(ours, other)
    for name in MATCHED_BY:
        levels = {c: deepest_common([run for pair in of.values() for run in pair], name) for c, of in pairs.items()}
        concepts = [concept for concept, level in levels.items() if not math.isnan(level)]
        for members in [*([concept] for concept in concepts), *([concepts] if len(concepts) > 1 else [])]:
            seeds = sorted(set.intersection(*(set(pairs[concept]) for concept in members)))
            cells = []
            for unit, measure in MEASURES.values():
                found = [pooled([gaps(*pairs[c][seed], name, levels[c], measure) for c in members]) for seed in seeds]
                cells.append(_cell(mean_gap(found), unit) if found else GAP)
            label = members[0] if len(members) == 1 else f"all {len(members)}"
            left = " / ".join(f"{levels[concept]:.0%}" for concept in members)
            lines.append(f"| {label} | {name} | {left} | {len(seeds)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pairs_of(ours: Sequence[Curve], other: Sequence[Curve]) -> dict[str, dict[int, tuple[Curve, Curve]]]:
    """The runs that both methods have, by concept and seed.

    Raises:
        UserError: there are none, or a method has two runs of one concept and seed.
    """
    left, right = _by_concept_and_seed(ours), _by_concept_and_seed(other)
    pairs: dict[str, dict[int, tuple[Curve, Curve]]] = {}
    for (concept, seed), curve in left.items():
        if (concept, seed) in right:
            pairs.setdefault(concept, {})[seed] = curve, right[concept, seed]
    if not pairs:
        raise UserError("The two methods have no concept and seed in common.")
    return pairs


def read_curve(root: Path) -> Curve:
    """The answers of a run.

    Raises:
        UserError: it holds no finished stage behind that of the reference, or is broken.
    """
    folder = RunFolder(root=root)
    stages = [stage for stage in folder.read_stages() if stage.scores]
    if len(stages) < 2 or stages[0].kind != "before":
        raise UserError(f"{root} has no answers before and after unlearning.")
    record = record_of(root, root.name)
    return Curve(
        concept=record.target,
        seed=record.seed or 0,
        answers=[folder.read_answers(stage.label) for stage in stages],
    )


def _by_concept_and_seed(curves: Sequence[Curve]) -> dict[tuple[str, int], Curve]:
    found = {(curve.concept, curve.seed): curve for curve in curves}
    if len(found) < len(curves):
        raise UserError("Two runs of one method have the same concept and seed.")
    return found


def _cell(difference: Difference, unit: str) -> str:
    if math.isnan(difference.value):
        return GAP
    return " ".join(
        [signed(difference.value, unit), f"({signed(difference.low, unit)} to {signed(difference.high, unit)})"]
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", nargs="+", type=Path, metavar="RUN", required=True)
    parser.add_argument("--other", nargs="+", type=Path, metavar="RUN", required=True)
    options = parser.parse_args()
    print(table(*([read_curve(root) for root in roots] for roots in (options.ours, options.other))))


if __name__ == "__main__":
    main()
