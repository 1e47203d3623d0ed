"""`atu compare` and `atu demo`: from what the user names to two models. Torch comes with them alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from atu.entry.chat import models_of_run
from atu.errors import UserError
from atu.models.config import ModelConfig
from atu.models.resolve import chat_settings, resolve_model
from atu.reference import is_run_folder
from atu.runs.run_folder import BEFORE, RunFolder
from atu.storage.user_files import parse_json, read_text, shown
from atu.text.prompts import plain_question

MAX_PROMPTS = 10_000
_EXAMPLES = 3
"""On the page, about the concept and about its neighbors each."""


def two_models(first: str, second: str) -> list[tuple[str, ModelConfig]]:
    """The models of two names, each a run's folder (its model after), a model's folder, a hub id or a built-in name.

    Both are asked in the words of the first.

    Raises:
        UserError: one is none of them, or a run that has no model yet.
    """
    before, after = (_model(name) for name in (first, second))
    titles = (first, second) if first != second else (f"{first} (1)", f"{second} (2)")
    return [(titles[0], before), (titles[1], replace(after, **chat_settings(before)))]


def _model(name: str) -> ModelConfig:
    return models_of_run(Path(name))[1][1] if is_run_folder(Path(name)) else resolve_model(name)


def example_prompts(run: Path) -> list[str]:
    """Some questions of the run, about the concept and about its neighbors; none where it asked nothing."""
    folder = RunFolder(root=run)
    if BEFORE not in folder.stage_labels():
        return []
    known = [answer for answer in folder.read_answers(BEFORE) if answer.known_before]
    sides = [[a for a in known if a.group.startswith(side) and not a.attack] for side in ("forget/qa", "neighbor/qa")]
    return [
        plain_question(answer.prompt)
        for side in sides
        for answer in side[:: max(1, len(side) // _EXAMPLES)][:_EXAMPLES]
    ]


def read_prompts(path: Path) -> list[str]:
    """The prompts of a file: one a line, or JSON lines with a `prompt`, such as probes.

    Raises:
        UserError: there is no such file, it has no prompt or too many, or a row of it is broken (its line is named).
    """
    if not path.is_file():
        raise UserError(f"--prompts: the file {shown(path)} does not exist.")
    prompts = [
        _prompt(line.strip(), f"{shown(path)}, line {number}")
        for number, line in enumerate(read_text(path).split("\n"), 1)
        if line.strip()
    ]
    if not 0 < len(prompts) <= MAX_PROMPTS:
        raise UserError(f"--prompts: {shown(path)} has {len(prompts)} prompts; 1 to {MAX_PROMPTS:,} are asked.")
    return prompts


def _prompt(line: str, where: str) -> str:
    if not line.startswith("{"):
        return line
    row = parse_json(line, where)
    if not isinstance(row, dict) or not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
        raise UserError(f'{where}: an object needs a "prompt".')
    return str(row["prompt"])
