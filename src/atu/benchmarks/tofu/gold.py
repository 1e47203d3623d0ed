"""The gold model's answers: from a folder that `atu evaluate` wrote, or from anybody's TOFU_EVAL.json. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from atu.benchmarks.gold import gold_answers, gold_log
from atu.benchmarks.privacy import MEMBERS, OTHERS
from atu.benchmarks.tofu.log import EVAL_FILE, answers_of_log
from atu.benchmarks.tofu.probes import FORGET
from atu.errors import UserError
from atu.records import Answer, Probe, Scoring
from atu.runs.evaluation_folder import IDENTITY_FILE
from atu.storage.user_files import read_json_object

_COMPARED = (FORGET, MEMBERS, OTHERS)


def check_template(gold: str, template: str | None) -> None:
    """Raise UserError where the gold model's evaluation put its questions in another form.

    Args:
        template: `data.template`.
    """
    path = Path(gold).expanduser() / IDENTITY_FILE
    asked = read_json_object(path).get("benchmark") if path.is_file() else None
    if isinstance(asked, dict) and asked.get("template") != template:
        raise UserError(
            f"{gold} was asked with template {asked.get('template')}, this model is to be asked with {template}: "
            "evaluate both alike (--template)."
        )


def gold_of(gold: str, asked: Sequence[Probe | Answer], scoring: Scoring) -> list[Answer] | None:
    """What the gold model answered to those of the probes that are compared, in their order.

    Args:
        gold: `data.gold`.
        asked: probes, or another model's answers to them.

    Returns:
        None where a log is given and the scoring is another than the log's: two rules do not compare.

    Raises:
        UserError: there is no such evaluation, it is of another split, or it has no truth ratios.
    """
    compared = [one for one in asked if one.group in _COMPARED]
    log = gold_log(gold, EVAL_FILE)
    if log is None:
        found = gold_answers(gold, compared, scoring)
    elif scoring == "released":
        found = answers_of_log(log, compared)
    else:
        return None
    num_asked = sum(one.group == FORGET for one in compared)
    if num_asked != sum(row.group == FORGET and "truth_ratio" in row.values for row in found):
        raise UserError(
            f"{gold} has no truth ratios of the forget rows, with which forget quality compares: evaluate the gold "
            "model with the task forget (in open-unlearning, with forget_truth_ratio)."
        )
    return found
