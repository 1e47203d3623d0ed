"""MUSE_EVAL.json and MUSE_SUMMARY.json: open-unlearning's files, written from answers, and read for a gold model.

Both are about the scoring `released`. Every metric has its `agg_value`, and those of rows `value_by_index`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from atu.benchmarks.muse.prompts import FORGET_KNOWLEDGE, RETAIN_KNOWLEDGE, VERBATIM
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.errors import UserError
from atu.records import Answer, Probe, Score
from atu.storage.user_files import read_json_object, shown

EVAL_FILE, SUMMARY_FILE = "MUSE_EVAL.json", "MUSE_SUMMARY.json"
_WRITTEN = {
    "forget_knowmem_ROUGE": FORGET_KNOWLEDGE,
    "retain_knowmem_ROUGE": RETAIN_KNOWLEDGE,
    "forget_verbmem_ROUGE": VERBATIM,
}
_MEMORIZED = {"extraction_strength": "strength", "exact_memorization": "exact"}
_ATTACKS = {
    "mia_loss": "loss",
    "mia_zlib": "zlib",
    "mia_min_k": "min_k",
    "mia_min_k_plus_plus": "min_k++",
    "mia_gradnorm": "gradnorm",
}
_SIDES = {"forget": MEMBERS, "holdout": OTHERS}


def log_files(rows: Sequence[Answer], scores: Mapping[str, Score]) -> dict[str, Any]:
    """Name → content of both files.

    Args:
        rows: answers under the scoring `released`.
        scores: what `muse_scores` gives for them.
    """
    log: dict[str, dict[str, Any]] = {}
    for name, group in _WRITTEN.items():
        own = [row for row in rows if row.group == group]
        if own:
            log[name] = {"agg_value": fmean(row.score for row in own), "value_by_index": _by_index(own, _text_of)}
    for name, value in _MEMORIZED.items():
        own = [row for row in rows if value in row.values]
        if own:
            log[name] = _scores(own, value)
    for name, attack in _ATTACKS.items():
        if f"privacy/auc_{attack}" in scores:
            auc = scores[f"privacy/auc_{attack}"].value / 100
            log[name] = {**{side: _side(rows, group, attack) for side, group in _SIDES.items()}, "auc": auc}
            log[name]["agg_value"] = auc
    if "privacy/leak" in scores:
        log["privleak"] = {"agg_value": scores["privacy/leak"].value}
    log = dict(sorted(log.items()))
    return {EVAL_FILE: log, SUMMARY_FILE: {name: metric["agg_value"] for name, metric in log.items()}}


def texts_of_log(path: Path, asked: Sequence[Probe | Answer]) -> list[Answer]:
    """What the membership attacks of a log say of the texts of the probes, in their order.

    Args:
        asked: the probes of a corpus, or answers to them; those of other groups are left out.

    Raises:
        UserError: it is no such log, or of other texts.
    """
    log = read_json_object(path, is_foreign=True)
    columns = {
        attack: _column(log[name], path, name) for name, attack in _ATTACKS.items() if isinstance(log.get(name), dict)
    }
    if "min_k" not in columns:
        raise UserError(f"{shown(path)} is no {EVAL_FILE} of a gold model: it has no mia_min_k, which is compared.")
    found = []
    for side, group in _SIDES.items():
        texts = [one for one in asked if one.group == group]
        for attack, column in columns.items():
            if len(column[side]) != len(texts):
                raise UserError(
                    f"{shown(path)} has {len(column[side])} texts of '{side}' for {attack}, where {len(texts)} are "
                    "asked: it is of another corpus."
                )
        for place, one in enumerate(texts):
            values = {attack: column[side][place] for attack, column in columns.items()}
            found.append(_answer(one, values))
    return found


def _column(metric: Mapping[str, Any], path: Path, name: str) -> dict[str, list[float]]:
    """Side → the scores of its texts, in the order of their rows."""
    sides = {}
    for side in _SIDES:
        rows = metric.get(side, {}).get("value_by_index") if isinstance(metric.get(side), dict) else None
        if not isinstance(rows, dict):
            raise UserError(f"{shown(path)}: {name} has no rows of '{side}'.")
        found = [rows.get(str(place)) for place in range(len(rows))]
        numbers = [row.get("score") if isinstance(row, dict) else None for row in found]
        sides[side] = [float(number) for number in numbers if isinstance(number, int | float)]
        if len(sides[side]) < len(rows):
            raise UserError(f"{shown(path)}: a score of {name} for '{side}' is missing or no number.")
    return sides


def _answer(one: Probe | Answer, values: Mapping[str, float]) -> Answer:
    return Answer(
        probe_id=one.id if isinstance(one, Probe) else one.probe_id,
        group=one.group,
        prompt=one.prompt,
        text="",
        score=0.0,
        degenerate=False,
        values=values,
    )


def _text_of(row: Answer) -> dict[str, Any]:
    return {
        "rouge1_recall": row.values["rouge1_recall"],
        "rougeL_f1": row.score,
        "rougeL_recall": row.values["rougeL_recall"],
        "input": row.prompt,
        "ground_truth": row.references[0],
        "generation": row.text,
    }


def _side(rows: Sequence[Answer], group: str, attack: str) -> dict[str, Any]:
    return _scores([row for row in rows if row.group == group], attack)


def _scores(rows: Sequence[Answer], value: str) -> dict[str, Any]:
    by_index = _by_index(rows, lambda row: {"score": row.values[value]})
    return {"agg_value": fmean(row.values[value] for row in rows), "value_by_index": by_index}


def _by_index(rows: Sequence[Answer], content: Callable[[Answer], dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {str(number): content(row) for number, row in enumerate(rows)}
