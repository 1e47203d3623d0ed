"""From answers to scores: means over groups of rows with bootstrap intervals. Pure functions, no torch.

Names, in percent (0..100) where nothing else is said:

- `forget/fb`, `neighbor/qa`, ...: mean row score of each group present; `forget/all`, `neighbor/all`: of all
  their rows pooled. Groups of `likelihood` probes (`mia/...`): mean loss in nats per token.
- the same with `@known`: over the rows that the reference answered rightly: only they can be forgotten.
- `degenerate/forget`, `/neighbor`, `/utility`: share of written answers that are no language any more.
- `nll/forget@known`, ...: mean nats per token of the right answer that the reference gave. Greedy answers
  flip by single rows; this moves smoothly.
- `p/forget@known`, ...: mean probability (0..1) of the words that made that answer right, which moves by less than a
  hundredth where greedy answers flip by several points.
- `unfinished_thinking/forget`, ...: share of written answers that are a thought without an end, where there are any.
  Such a row is neither right nor wrong and counts for no other score.

A group without rows has no score. Rows are independent draws in the bootstrap: with few rows, or all of them
right or wrong, the interval is too narrow.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from atu.evaluation.score_words import POOLED, SIDES
from atu.records import KNOWN_VALUES, UNFINISHED, Answer, Score


def summarize(answers: Sequence[Answer], *, samples: int, seed: int = 0) -> dict[str, Score]:
    """Every score (names above) that the answers can give, each with its 95% percentile bootstrap interval.

    `samples` resamplings of the rows; the draw depends on `seed` and the score's name alone, so a score's
    interval is the same whatever stands next to it.
    """
    columns = _columns(answers)
    return {name: bootstrap_mean(values, name=name, samples=samples, seed=seed) for name, values in columns.items()}


def bootstrap_mean(values: Sequence[float], *, name: str, samples: int, seed: int) -> Score:
    """Mean of at least one value with its 2.5% and 97.5% percentiles over resampled rows."""
    rows = np.asarray(values, dtype=np.float64)
    draws = np.random.default_rng([seed, zlib.crc32(name.encode())])
    means = rows[draws.integers(len(rows), size=(samples, len(rows)))].mean(axis=1)
    with np.errstate(invalid="ignore"):  # released Min-K++ can be infinite
        low, high = np.percentile(means, [2.5, 97.5])
    return Score(value=float(rows.mean()), n=len(rows), low=float(low), high=float(high))


def bootstrap_weighted_mean(
    groups: Mapping[str, Sequence[float]], weights: Mapping[str, float], *, name: str, samples: int, seed: int = 0
) -> Score:
    """Mean of the groups' means, weighted by `weights`; rows are resampled within each group, none of them empty."""
    draws = np.random.default_rng([seed, zlib.crc32(name.encode())])
    shares = {group: weights[group] / sum(weights.values()) for group in weights}
    value, means = 0.0, np.zeros(samples)
    for group, share in shares.items():
        rows = np.asarray(groups[group], dtype=np.float64)
        value += share * float(rows.mean())
        means += share * rows[draws.integers(len(rows), size=(samples, len(rows)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Score(value=value, n=sum(len(groups[group]) for group in shares), low=float(low), high=float(high))


def _columns(answers: Sequence[Answer]) -> dict[str, list[float]]:
    """The numbers behind each score, by name; no name without numbers."""
    asked = [answer for answer in answers if "loss" not in answer.values]
    graded = [answer for answer in asked if UNFINISHED not in answer.values]
    columns: dict[str, list[float]] = {}
    for suffix, rows in (("", graded), ("@known", [answer for answer in graded if answer.known_before])):
        for group in sorted({answer.group for answer in rows}):
            columns[group + suffix] = [100 * answer.score for answer in rows if answer.group == group]
        for side in POOLED:
            columns[f"{side}/all{suffix}"] = [100 * answer.score for answer in _of(side, rows)]
    for answer in answers:
        if "loss" in answer.values:
            columns.setdefault(answer.group, []).append(answer.values["loss"])
    written = [answer for answer in graded if _is_written(answer)]
    for side in SIDES:
        columns[f"degenerate/{side}"] = [100.0 * answer.degenerate for answer in _of(side, written)]
        known = [answer for answer in _of(side, graded) if answer.known_before]
        for name in KNOWN_VALUES:
            columns[f"{name}/{side}@known"] = [answer.values[name] for answer in known if name in answer.values]
        unfinished = [100.0 * (UNFINISHED in answer.values) for answer in _of(side, asked) if _is_written(answer)]
        columns[f"{UNFINISHED}/{side}"] = unfinished if any(unfinished) else []
    return {name: values for name, values in columns.items() if values}


def _is_written(answer: Answer) -> bool:
    return "choice" not in answer.values


def _of(side: str, answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.group.startswith(f"{side}/")]
