"""Requests one after another: what each model along the way knows of every concept that was ever to be forgotten."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from atu.benchmarks.base import Benchmark
from atu.benchmarks.comparison import GAP, number
from atu.benchmarks.metrics import sort_key
from atu.benchmarks.several import member_of_probe
from atu.errors import UserError
from atu.records import Answer, Judgement, Score
from atu.runs.run_folder import RunFolder
from atu.storage.files import write_json_atomic, write_text_atomic
from atu.text.escaping import markdown

JSON_FILE, TABLE_FILE = "sequence.json", "sequence.md"
_EVERYTHING = "everything else"
_PARTS = (
    ("forget", "What is known of each concept", "low is forgotten; before its request a concept should stay"),
    ("neighbor", "What is known of each concept's neighbors", "high is kept"),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A model of the sequence: the one before all requests, or what a request left."""

    run: str | None
    """Folder of the run; None before the first request."""
    targets: tuple[str, ...]
    """Folder names of the concepts that this request named."""
    judgement: Judgement
    """Of all concepts of the sequence together."""


def check_sequence(folders: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """The configs of runs of which each began with the model that the one before it left.

    Raises:
        UserError: fewer than two runs, or one that is not finished or began with another model.
    """
    if len(folders) < 2:
        raise UserError("Name at least two runs, in the order in which they were made.")
    configs = [folder.read_config() for folder in folders]
    for folder in folders:
        if not (folder.model_dir / "config.json").is_file():
            raise UserError(f"The run {folder.root} has no model: it is not finished.")
    for (earlier, _), (folder, config) in pairwise(zip(folders, configs, strict=True)):
        began = str(config.get("pre_trained_llm", {}).get("model_name", ""))
        if Path(began).expanduser().resolve() != earlier.model_dir.resolve():
            raise UserError(
                f"The run {folder.root} began with {began or 'no model'}, not with the model of {earlier.root}: name "
                f"the runs in their order; each begins with pre_trained_llm={earlier.model_dir}."
            )
    return configs


def write_sequence(out: Path, benchmark: Benchmark, steps: Sequence[Step], *, samples: int) -> str:
    """Write `sequence.json`, every score by concept and step, and `sequence.md`, the tables, which are returned.

    Args:
        steps: the model before all requests first.
        samples: resamplings behind each interval.
    """
    targets = [target for step in steps for target in step.targets]
    scores = [_by_target(benchmark, step.judgement, targets, samples) for step in steps]
    rows = [
        {
            "step": place,
            "run": step.run,
            "requested": list(step.targets),
            "target": target,
            "scores": {name: asdict(score) for name, score in found.items()},
        }
        for place, step in enumerate(steps)
        for target, found in scores[place].items()
    ]
    text = _render(steps, targets, scores)
    write_json_atomic(out / JSON_FILE, rows)
    write_text_atomic(out / TABLE_FILE, text)
    return text


def _by_target(
    benchmark: Benchmark, judgement: Judgement, targets: Sequence[str], samples: int
) -> dict[str, Mapping[str, Score]]:
    """The scores of each concept from the answers to its own probes, and those of all the rest."""
    groups: dict[str, list[Answer]] = {target: [] for target in [*targets, _EVERYTHING]}
    for answer in judgement.answers:
        member = member_of_probe(answer.probe_id)
        is_own = member in groups and answer.group.startswith(tuple(f"{family}/" for family, _, _ in _PARTS))
        groups[member if is_own else _EVERYTHING].append(answer)
    return {
        target: benchmark.judge({"corrected": answers}, samples=samples)["corrected"].scores
        for target, answers in groups.items()
        if answers
    }


def _render(steps: Sequence[Step], targets: Sequence[str], scores: Sequence[Mapping[str, Mapping[str, Score]]]) -> str:
    heads = ["before", *(f"after {', '.join(step.targets)}" for step in steps[1:])]
    lines = ["# Requests one after another", ""]
    for family, title, pitfall in _PARTS:
        rows = [(target, _line(family, [found.get(target, {}) for found in scores])) for target in targets]
        lines += _table(f"{title} ({pitfall})", heads, rows)
    rest = [found.get(_EVERYTHING, {}) for found in scores]
    lines += _table("Everything else (high is kept)", heads, [("general knowledge", _line("utility", rest))])
    lines.append("In brackets the 95% bootstrap interval over rows.")
    return "\n".join(lines) + "\n"


def _line(family: str, steps: Sequence[Mapping[str, Score]]) -> list[str]:
    """The headline score of a family at each step."""
    names = sorted({name for scores in steps for name in scores if name.startswith(f"{family}/")}, key=sort_key)
    if not names:
        return []
    name = f"{family}/all" if f"{family}/all" in names else names[0]
    return [_cell(scores.get(name)) for scores in steps]


def _cell(score: Score | None) -> str:
    if score is None:
        return GAP
    return f"{number(score.value)} ({number(score.low)}–{number(score.high)}), n {score.n}"


def _table(title: str, heads: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
    """A table in Markdown; nothing where no row has a cell."""
    shown = [[markdown(name), *cells] for name, cells in rows if cells]
    if not shown:
        return []
    head = ["concept", *map(markdown, heads)]
    lines = [head, ["---"] * len(head), *shown]
    return [f"{title}:", "", *(f"| {' | '.join(cells)} |" for cells in lines), ""]
