"""Two processes take the steps of one, give its answers, and resume from each other's checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from .conftest import Outcomes

ROUNDING = 1e-5
"""What a sum in another order may differ by, in parts of what is summed."""
NATS = 6.0
"""A token costs so many (the log of 400): what a signal is a small difference of."""
MOVED = 1e-2
"""What weights may differ by, in parts of the way that they went: Adam divides a gradient by its own size, so that
rounding shows where it is small."""
OBJECTIVES = ("push", "redirect + masked", "hook alone", "rmu", "ga", "npo", "simnpo", "dpo", "refusal", "subspace")


def rows_of(path: Path) -> list[tuple[int, str, float]]:
    """(step, name, value) of a metrics.jsonl."""
    return [(row["step"], row["name"], row["value"]) for row in map(json.loads, path.read_text().splitlines())]


def assert_same_curves(
    one: list[tuple[int, str, float]], other: list[tuple[int, str, float]], rounding: float = ROUNDING
) -> None:
    assert [row[:2] for row in one] == [row[:2] for row in other]
    largest: dict[str, float] = {}
    for _, name, value in one:
        largest[name] = max(largest.get(name, NATS), abs(value))
    for (step, name, first), (_, _, second) in zip(one, other, strict=True):
        assert second == pytest.approx(first, rel=0, abs=rounding * largest[name]), (step, name)


def distance(one: Path, other: Path) -> float:
    """Length of the difference of all tensors of two files."""
    first, second = load_file(one), load_file(other)
    assert first.keys() == second.keys()
    return float(sum((first[name].double() - second[name].double()).square().sum() for name in first)) ** 0.5


def size(path: Path) -> float:
    """Length of all tensors of a file."""
    return float(sum(tensor.double().square().sum() for tensor in load_file(path).values())) ** 0.5


def assert_same_state(one: Path, other: Path, start: Path) -> None:
    """Of two run folders: the model, against the way from `start` to it, and the optimiser."""
    moved = distance(start / "model.safetensors", one / "model/model.safetensors")
    for name in ("model/model.safetensors", "checkpoint/llm.safetensors"):
        assert distance(one / name, other / name) < MOVED * moved
    optimizer = "checkpoint/optimizer-unlearn.safetensors"
    assert distance(one / optimizer, other / optimizer) < MOVED * size(one / optimizer)


def answers_of(folder: Path, stage: str) -> list[dict[str, Any]]:
    text = (folder / "stages" / stage / "answers.corrected.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("how", ["two", "sharded"])
def test_each_objective_takes_the_same_steps(outcomes: Outcomes, how: str, objective: str) -> None:
    assert outcomes.codes["train one"] == [0]
    assert outcomes.codes[f"train {how}"] == [0, 0]
    one, two = outcomes.trained("one", objective), outcomes.trained(how, objective)
    curves = [[tuple(row) for row in json.loads((folder / "rows.json").read_text())] for folder in (one, two)]
    assert {"train/loss", "train/grad_norm"} <= {row[1] for row in curves[0]}
    assert_same_curves(curves[0], curves[1])
    # Plain gradient descent moves weights in proportion to the gradient.
    moved = distance(one / "start.safetensors", one / "end.safetensors")
    assert moved > 1e-2
    for name in ("end.safetensors", "checkpoint/llm.safetensors"):
        assert distance(one / name, two / name) < 1e-3 * moved
    for name in ("predictor", "optimizer-align"):
        files = [folder / "checkpoint" / f"{name}.safetensors" for folder in (one, two)]
        assert not files[0].exists() or distance(*files) < 1e-3 * size(files[0])


def test_each_process_holds_half_of_a_sharded_model(outcomes: Outcomes) -> None:
    for objective in OBJECTIVES:
        (one,) = json.loads((outcomes.trained("one", objective) / "held.json").read_text())
        halves = json.loads((outcomes.trained("sharded", objective) / "held.json").read_text())
        # All first dimensions of the tiny model are even.
        assert halves == [{name: rows // 2 for name, rows in one.items()}] * 2
        assert json.loads((outcomes.trained("two", objective) / "held.json").read_text()) == [one] * 2


def test_the_objectives_of_both_lists_are_the_same(outcomes: Outcomes) -> None:
    assert sorted(path.name for path in (outcomes.root / "out" / "two").iterdir()) == sorted(OBJECTIVES)


def test_a_whole_run_is_that_of_one_process(outcomes: Outcomes, tiny_folder: Path) -> None:
    assert outcomes.codes["run 1"] == [0]
    assert outcomes.codes["run 2"] == [0, 0]
    one, two = outcomes.run("run-1"), outcomes.run("run-2")
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert_same_curves(rows_of(one / "metrics.jsonl"), rows_of(two / "metrics.jsonl"), rounding=1e-4)
    assert_same_state(one, two, tiny_folder)
    config = [(folder / "config.yaml").read_text().splitlines()[0] for folder in (one, two)]
    assert json.loads((two / "status.json").read_text())["state"] == "done"
    assert config[0].startswith("# config hash: ")
    assert config[0] == config[1]


def test_a_divided_model_ends_in_the_same_subspace(outcomes: Outcomes, tiny_folder: Path) -> None:
    assert outcomes.codes["subspace 1"] == [0]
    assert outcomes.codes["subspace 2"] == [0, 0]
    one, two = outcomes.run("subspace-1"), outcomes.run("subspace-2")
    assert_same_state(one, two, tiny_folder)
    directions = "subspace/directions.safetensors"
    assert distance(one / directions, two / directions) == 0


def test_shared_probes_get_the_answers_of_one_process_in_its_order(outcomes: Outcomes) -> None:
    one, two = (answers_of(outcomes.run(name), "00-before") for name in ("run-1", "run-2"))
    assert len(one) > 100
    kinds = ("probe_id", "text", "score", "degenerate", "known_before")
    assert [[row.get(kind) for kind in kinds] for row in two] == [[row.get(kind) for kind in kinds] for row in one]
    for first, second in zip(one, two, strict=True):
        assert second["values"] == pytest.approx(first["values"], abs=1e-4)


@pytest.mark.parametrize("name", ["two-then-one", "one-then-two"])
def test_a_checkpoint_of_either_is_resumed_by_the_other(outcomes: Outcomes, tiny_folder: Path, name: str) -> None:
    assert outcomes.codes["resumed by one"] == [0]
    assert outcomes.codes["killed alone"] == [-9]
    assert outcomes.codes["resumed by two"] == [0, 0]
    whole, resumed = outcomes.run("run-1"), outcomes.run(name)
    assert "resuming in stage 2" in (resumed / "log.txt").read_text()
    assert_same_curves(rows_of(whole / "metrics.jsonl"), rows_of(resumed / "metrics.jsonl"), rounding=1e-4)
    assert_same_state(whole, resumed, tiny_folder)


def test_a_killed_process_ends_the_others_at_once(outcomes: Outcomes) -> None:
    assert outcomes.codes["killed of two"] == [1, -9]
    assert outcomes.seconds["killed of two"] < 30
    message = "Process 0 of 2 has lost the others: one has ended, or hangs."
    assert outcomes.told("stopped-0").startswith(message)
    assert outcomes.status["state"] == "failed"
    assert outcomes.status["message"] == outcomes.told("stopped-0")


def test_batches_that_cannot_be_shared_are_refused_in_every_process(outcomes: Outcomes) -> None:
    expected = (
        "2 processes cannot share a batch of 1 (task.training_module.forget_batch_size, or all texts of the corpus): "
        "each needs a text of every batch. Raise it, or start 1 or fewer."
    )
    assert outcomes.told("refused-0") == outcomes.told("refused-1") == expected


def test_the_main_process_alone_writes_and_speaks(outcomes: Outcomes) -> None:
    log = (outcomes.run("run-2") / "log.txt").read_text()
    steps = [row[:2] for row in rows_of(outcomes.run("run-2") / "metrics.jsonl")]
    assert len(steps) == len(set(steps))
    assert "Traceback" not in log
    assert torch.equal(
        load_file(outcomes.run("run-2") / "model/model.safetensors")["model.norm.weight"],
        load_file(outcomes.run("run-2") / "checkpoint/llm.safetensors")["model.norm.weight"],
    )
