"""TOFU_EVAL.json and TOFU_SUMMARY.json: the files of open-unlearning's evaluator, written from answers and read back.

Both are about the scoring `released`. Every metric has its `agg_value`, and those of rows `value_by_index`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.benchmarks.tofu.probes import FORGET
from atu.benchmarks.tofu.summary import SETS, by_row, perturbed_losses
from atu.benchmarks.tofu.truth import EPSILON, normalised_probability
from atu.errors import UserError
from atu.records import Answer, Probe, Score
from atu.storage.user_files import read_json_object, shown

EVAL_FILE, SUMMARY_FILE = "TOFU_EVAL.json", "TOFU_SUMMARY.json"
_ATTACKS = {
    "mia_loss": "loss",
    "mia_zlib": "zlib",
    "mia_min_k": "min_k",
    "mia_min_k_plus_plus": "min_k++",
    "mia_gradnorm": "gradnorm",
    "mia_reference": "reference",
}
_MEMORIZED = {"extraction_strength": "strength", "exact_memorization": "exact"}
_KINDS = ("ROUGE", "Prob", "PERT_Prob", "PARA_Prob", "Prob_normalised")
_ROUGE = ("rouge1_recall", "rougeL_f1", "rougeL_recall")
_SIDES = {"forget": MEMBERS, "holdout": OTHERS}
Rows = Mapping[str, Answer]
"""Answers of one group by the number of their row."""


def log_files(rows: Sequence[Answer], scores: Mapping[str, Score]) -> dict[str, Any]:
    """Name → content of both files.

    Args:
        rows: answers under the scoring `released`.
        scores: what `tofu_scores` gives for them.
    """
    log = _log(rows, scores)
    summary = {name: metric["agg_value"] for name, metric in log.items() if metric["agg_value"] is not None}
    return {EVAL_FILE: log, SUMMARY_FILE: summary}


def answers_of_log(path: Path, asked: Sequence[Probe | Answer]) -> list[Answer]:
    """The answers that a log tells of, to those of the probes of which it has something.

    A metric that the log lacks leaves its values out.

    Args:
        asked: the probes of a split, or answers to them.

    Raises:
        UserError: it is no such log, or that of another split.
    """
    log = read_json_object(path, is_foreign=True)
    if not any(isinstance(log.get(name), dict) and "agg_value" in log[name] for name in _names()):
        raise UserError(f"{shown(path)} is no {EVAL_FILE}: it has no metric of TOFU, such as forget_truth_ratio.")
    found = []
    for group in dict.fromkeys(one.group for one in asked):
        own = {_number(one): one for one in asked if one.group == group}
        values = _values_of(log, group, path)
        rows = {number for column in values.values() for number in column}
        if rows and rows != own.keys():
            raise UserError(
                f"{shown(path)} has {len(rows)} rows for '{group}', where {len(own)} are asked: it is of another "
                "split, or not of all rows."
            )
        texts = _texts(log, group)
        for number, one in own.items():
            if number in texts:
                _check_truth(texts[number], one, path)
            row = {name: column[number] for name, column in values.items() if number in column}
            if row:
                found.append(_answer(one, row, texts.get(number, {})))
    return found


def _log(rows: Sequence[Answer], scores: Mapping[str, Score]) -> dict[str, dict[str, Any]]:
    means = {name: fmean(values) if values else None for name, values in by_row(rows, epsilon=EPSILON).items()}
    log: dict[str, dict[str, Any]] = {}

    def add(name: str, own: Rows, row: Callable[[Answer], Any], value: float | None) -> None:
        if own:
            log[name] = {"agg_value": value, "value_by_index": {number: row(one) for number, one in own.items()}}

    for prefix, group in SETS.items():
        own = _rows(rows, group)

        def having(*keys: str, own: Rows = own) -> Rows:
            return {number: one for number, one in own.items() if all(key in one.values for key in keys)}

        ratio = "forget_truth_ratio" if prefix == "forget" else f"{prefix}_Truth_Ratio"
        rouge, prob, wrong, para, norm = (f"{prefix}_Q_A_{kind}" for kind in _KINDS)
        add(prob, having("avg_loss"), lambda one: _prob(one.values["avg_loss"]), means[prob])
        add(wrong, having("perturbed_loss_0"), _wrong_probs, means[wrong])
        add(ratio, having("truth_ratio"), lambda one: {"score": one.values["truth_ratio"]}, means[ratio])
        add(rouge, having(*_ROUGE), _written, means[rouge])
        if prefix in ("forget", "retain"):
            add(para, having("paraphrased_loss"), lambda one: _prob(one.values["paraphrased_loss"]), means[para])
        else:
            scored = having("avg_loss", "perturbed_loss_0")
            add(norm, scored, lambda one: {"prob": _normalised(one)}, means[norm])
    forget = _rows(rows, FORGET)
    for name, value in _MEMORIZED.items():
        own = {number: one for number, one in forget.items() if value in one.values}
        add(name, own, lambda one, value=value: {"score": one.values[value]}, _value(scores, f"memorization/{value}"))  # type: ignore[misc]
    for name, attack in _ATTACKS.items():
        if f"privacy/auc_{attack}" in scores:
            auc = _value(scores, f"privacy/auc_{attack}")
            log[name] = {**_sides(rows, attack), "auc": auc, "agg_value": auc}
    log |= {
        name: {"agg_value": scores[key].value}
        for name, key in (
            ("forget_quality", "tofu/forget_quality"),
            ("model_utility", "tofu/model_utility"),
            ("privleak", "privacy/leak"),
        )
        if key in scores
    }
    if forget and "forget_quality" not in log:
        log["forget_quality"] = {"agg_value": None}
    return dict(sorted(log.items()))


def _rows(rows: Sequence[Answer], group: str) -> dict[str, Answer]:
    return {_number(one): one for one in rows if one.group == group}


def _number(one: Probe | Answer) -> str:
    return (one.id if isinstance(one, Probe) else one.probe_id).rpartition("/")[2]


def _prob(loss: float) -> dict[str, float]:
    return {"prob": math.exp(-loss), "avg_loss": loss}


def _wrong_probs(one: Answer) -> dict[str, list[float]]:
    losses = perturbed_losses(one.values)
    return {"prob": [math.exp(-loss) for loss in losses], "avg_loss": losses}


def _normalised(one: Answer) -> float:
    return normalised_probability(one.values["avg_loss"], perturbed_losses(one.values), epsilon=EPSILON)


def _written(one: Answer) -> dict[str, Any]:
    texts = {"input": one.prompt, "ground_truth": one.references[0], "generation": one.text}
    return {**{name: one.values[name] for name in _ROUGE}, **texts}


def _sides(rows: Sequence[Answer], attack: str) -> dict[str, Any]:
    sides = {}
    for side, group in _SIDES.items():
        values = {number: one.values.get(attack) for number, one in _rows(rows, group).items()}
        if all(value is not None for value in values.values()):  # `reference` has none of its own
            mean = fmean([value for value in values.values() if value is not None])
            by_index = {number: {"score": value} for number, value in values.items()}
            sides[side] = {"agg_value": mean, "value_by_index": by_index}
    return sides


def _value(scores: Mapping[str, Score], name: str) -> float | None:
    """A score in percent as a share."""
    return scores[name].value / 100 if name in scores else None


def _names() -> list[str]:
    kinds = ("Q_A_Prob", "Q_A_ROUGE", "Truth_Ratio")
    return ["forget_truth_ratio", *_ATTACKS, *_MEMORIZED, *(f"{prefix}_{kind}" for prefix in SETS for kind in kinds)]


def _values_of(log: Mapping[str, Any], group: str, path: Path) -> dict[str, dict[str, float]]:
    """Value of an answer → row → number, for one group."""
    if group in _SIDES.values():
        side = next(side for side, one in _SIDES.items() if one == group)
        metrics = {value: log.get(name) for name, value in _ATTACKS.items()}
        return {
            value: _column(metric.get(side), "score", path)
            for value, metric in metrics.items()
            if isinstance(metric, dict) and value != "reference"
        }
    prefix = next(prefix for prefix, one in SETS.items() if one == group)
    ratio = "forget_truth_ratio" if prefix == "forget" else f"{prefix}_Truth_Ratio"
    values = {
        "avg_loss": _column(log.get(f"{prefix}_Q_A_Prob"), "avg_loss", path),
        "paraphrased_loss": _column(log.get(f"{prefix}_Q_A_PARA_Prob"), "avg_loss", path),
        "truth_ratio": _column(log.get(ratio), "score", path),
        **{name: _column(log.get(f"{prefix}_Q_A_ROUGE"), name, path) for name in _ROUGE},
        **_wrong_losses(log.get(f"{prefix}_Q_A_PERT_Prob"), path),
    }
    if group == FORGET:
        values |= {value: _column(log.get(name), "score", path) for name, value in _MEMORIZED.items()}
    return values


def _by_index(metric: object) -> Mapping[str, Any]:
    found = metric.get("value_by_index") if isinstance(metric, dict) else None
    return found if isinstance(found, dict) else {}


def _column(metric: object, key: str, path: Path) -> dict[str, float]:
    """Row → number; rows without one, or with NaN, are left out."""
    column = {}
    for number, row in _by_index(metric).items():
        value = row.get(key) if isinstance(row, dict) else None
        if value is None or value != value:  # which NaN is not
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{shown(path)}: '{key}' of row {number} is not a number.")
        column[number] = float(value)
    return column


def _wrong_losses(metric: object, path: Path) -> dict[str, dict[str, float]]:
    columns: dict[str, dict[str, float]] = {}
    for number, row in _by_index(metric).items():
        losses = row.get("avg_loss") if isinstance(row, dict) else None
        if not isinstance(losses, list) or not all(type(loss) in (int, float) for loss in losses):
            raise UserError(f"{shown(path)}: 'avg_loss' of the wrong answers of row {number} is no list of numbers.")
        for place, loss in enumerate(losses):
            columns.setdefault(f"perturbed_loss_{place}", {})[number] = float(loss)
    return columns


def _texts(log: Mapping[str, Any], group: str) -> dict[str, dict[str, Any]]:
    prefix = next((prefix for prefix, one in SETS.items() if one == group), "")
    return {number: row for number, row in _by_index(log.get(f"{prefix}_Q_A_ROUGE")).items() if isinstance(row, dict)}


def _check_truth(row: Mapping[str, Any], one: Probe | Answer, path: Path) -> None:
    """Refuse the log of other questions; a true answer may differ in spaces, as decoding leaves them."""
    truth = row.get("ground_truth")
    if isinstance(truth, str) and "".join(truth.split()) != "".join(one.references[0].split()):
        raise UserError(
            f"{shown(path)} is of another split or data set: its true answer of row {_number(one)} is {truth[:60]!r}, "
            f"not {one.references[0][:60]!r}."
        )


def _answer(one: Probe | Answer, values: Mapping[str, float], texts: Mapping[str, Any]) -> Answer:
    text = texts.get("generation")
    return Answer(
        probe_id=one.id if isinstance(one, Probe) else one.probe_id,
        group=one.group,
        prompt=one.prompt,
        text=text if isinstance(text, str) else "",
        score=values.get("rougeL_recall", 0.0),
        degenerate=False,
        references=one.references,
        values=values,
    )
