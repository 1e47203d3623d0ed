"""Answers of a model that never knew the target (a gold or retain model), for scores that compare with it.

It is asked first: `atu evaluate GOLD_MODEL ... --out FOLDER`. The folder is then given as `--gold` (`data.gold`) where
another model is judged. A benchmark takes part by a config class of `GoldConfig`, by `GOLD` among its options, and by
reading `gold_answers` in its `judge`. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atu.benchmarks.config import DataConfig
from atu.benchmarks.options import Option
from atu.errors import UserError
from atu.records import Answer, Probe, Scoring
from atu.runs.rows import read_answers
from atu.storage.user_files import file_sha256, shown

GOLD = Option(
    flag="--gold",
    key="gold",
    help="Folder that `atu evaluate` wrote of a model that never knew the target.",
    commands=("evaluate",),
)


@dataclass(frozen=True, kw_only=True)
class GoldConfig(DataConfig):
    """The keys of a benchmark that can compare with a gold model."""

    gold: str | None = None
    """Folder of an evaluation of a model that never knew the target; None leaves out what compares with it."""


def gold_file(folder: str, scoring: Scoring = "corrected") -> Path:
    """The gold model's answers under a scoring.

    Raises:
        UserError: the folder has none.
    """
    path = Path(folder).expanduser() / f"answers.{scoring}.jsonl"
    if not path.is_file():
        _refuse_model(folder)
        raise UserError(f"{folder} holds no evaluation of a gold model: there is no {path.name} in it.")
    return path


def gold_log(gold: str, name: str) -> Path | None:
    """The log of another program that `data.gold` is, or that lies in it without answers of our own; None for no such.

    Args:
        name: the log's usual one, such as `TOFU_EVAL.json`.
    """
    path = Path(gold).expanduser()
    if path.suffix == ".json":
        return path
    log = path / name
    return log if log.is_file() and not any(path.glob("answers.*.jsonl")) else None


def gold_sha256(gold: str, log_name: str) -> str:
    """Checksum (hex) of what `data.gold` names, an evaluation or another program's log.

    Raises:
        UserError: it is neither.
    """
    log = gold_log(gold, log_name)
    if log is not None:
        return file_sha256(log)
    path = Path(gold).expanduser()
    for scoring in ("corrected", "released"):
        answers = path / f"answers.{scoring}.jsonl"
        if answers.is_file():
            return file_sha256(answers)
    _refuse_model(gold)
    raise UserError(
        f"{shown(path)} holds no evaluation of a gold model: there is neither answers.corrected.jsonl nor {log_name} "
        "in it."
    )


def gold_answers(folder: str, asked: Sequence[Probe | Answer], scoring: Scoring = "corrected") -> list[Answer]:
    """What the gold model answered to the same probes, in their order.

    Args:
        asked: probes, or another model's answers to them.

    Raises:
        UserError: it was asked something else, of which the first is named.
    """
    kept = {answer.probe_id: answer for answer in read_answers(gold_file(folder, scoring))}
    found = []
    for one in asked:
        probe_id = one.id if isinstance(one, Probe) else one.probe_id
        answer = kept.get(probe_id)
        if answer is None or (answer.group, answer.prompt) != (one.group, one.prompt):
            raise UserError(
                f"{folder} has no answer of the gold model to '{probe_id}': evaluate it with the same benchmark, "
                "target and options."
            )
        found.append(answer)
    return found


def _refuse_model(gold: str) -> None:
    if (Path(gold).expanduser() / "config.json").is_file():
        raise UserError(
            f"{gold} is a model: ask it first (atu evaluate {gold} ... --out FOLDER), and give that folder as --gold."
        )
