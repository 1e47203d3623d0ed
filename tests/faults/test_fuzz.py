"""Hostile values in every key and every file: each ends in one line and an exit code that is not 0.

Values that turn out to be right are taken; what is asserted is that nothing but a `UserError` of one line is raised.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from workplace import Workplace

from atu.benchmarks.corpus import read_texts
from atu.benchmarks.own.benchmark import OwnConcept, OwnConfig
from atu.config import RunConfig, field_keys, to_mapping
from atu.errors import UserError
from atu.models.resolve import check_model_folder
from atu.report.collect import read_local
from atu.report.exchange import read_runs
from atu.storage.files import write_text_atomic
from atu.typed import from_mapping

from .conftest import Command

HOSTILE: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, -0.0, 2**32, 10**18, 10**400, 10**5000, float("inf"), float("-inf"), float("nan"), 1e308,
    "", "x", "..", "a/b", "\0", "\ud800", "a\nb", "\x1b[31m", "é" * 300, "1", [], [None], [[]], [{}], {}, {"a": 1},
    {1: 2}, [1.5, "x"], ["x"] * 50,
)  # fmt: skip
texts = st.text(st.characters(), max_size=20)  # half characters too
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.sampled_from(HOSTILE[:4]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
hardly_any = settings(
    deadline=None, derandomize=True, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
many = settings(hardly_any, max_examples=80)


def read_or_refused(read: Callable[[], object]) -> None:
    """Nothing but a UserError of one line is raised."""
    try:
        read()
    except UserError as error:
        fault = error
    else:
        return
    assert "\n" not in str(fault)
    assert len(str(fault)) < 3000


def test_every_key_with_hostile_values(workplace: Workplace) -> None:
    mapping = to_mapping(workplace.config())

    def with_value(key: str, value: Any) -> None:
        config = json.loads(json.dumps(mapping))
        *parents, leaf = key.split(".")
        node = config
        for parent in parents:
            node = node[parent]
        node[leaf] = value
        with suppress(UserError):
            from_mapping(RunConfig, config, "")

    for number, key in enumerate(field_keys()):
        for value in HOSTILE[number % 3 :: 3]:  # of which another third each
            with_value(key, value)


@hardly_any
@given(st.sampled_from(field_keys()), st.sampled_from(HOSTILE[:9]) | texts)
def test_the_command_with_a_hostile_value(command: Command, key: str, value: Any) -> None:
    text = str(value) if value != 10**5000 else "9" * 5000
    outcome = command(f"{key}={text}", "data.probes_path=/no/such/file")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert "bug of the program" not in outcome.err
    outcome.assert_nothing_written()


rows = st.dictionaries(
    st.sampled_from(["text", "subject", "prompt", "group", "references", "max_new_tokens", "attack"]) | texts, values
)


@many
@given(st.lists(rows.map(json.dumps) | texts.filter(lambda text: "\n" not in text), min_size=1, max_size=3), st.data())
def test_rows_of_a_corpus_and_of_probes(tmp_path: Path, lines: list[str], data: st.DataObject) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    read_or_refused(lambda: read_texts(path))
    own = OwnConcept(OwnConfig(probes_path=str(path)))
    read_or_refused(lambda: own.probes("x"))


@pytest.mark.parametrize(
    "row",
    [
        '{"text": "\\ud800"}',
        '{"text": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"text": ' + "9" * 5000 + "}",
        '{"text": "' + "x" * 10_000_000 + '"}',
        '{"text": NaN}',
        '{"text": "a", "text": "b"}',
    ],
    ids=["half a character", "deep", "long number", "10 MB", "NaN", "twice"],
)
@pytest.mark.parametrize("file", ["probes", "forget", "retain"])
def test_the_command_with_a_hostile_row(command: Command, tmp_path: Path, file: str, row: str) -> None:
    with (tmp_path / f"{file}.jsonl").open("a") as handle:
        handle.write(f"{row}\n")
    outcome = command()
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {tmp_path}/{file}.jsonl, line ")
    assert outcome.err.count("\n") == 1
    outcome.assert_nothing_written()


@many
@given(st.sampled_from(["config.json", "generation_config.json", "model.safetensors.index.json"]), values)
def test_files_of_a_model_folder(tmp_path: Path, tiny_folder: Path, name: str, value: Any) -> None:
    folder = tmp_path / "model"
    if not folder.exists():
        shutil.copytree(tiny_folder, folder)
    kept = (folder / name).read_bytes() if (folder / name).exists() else None
    (folder / name).write_text(json.dumps(value), encoding="utf-8")
    read_or_refused(lambda: check_model_folder(folder))
    (folder / name).unlink()
    if kept is not None:
        (folder / name).write_bytes(kept)


@many
@given(values, st.sampled_from([(), ("a",), ("a", "config"), ("a", "metrics"), ("a", "run_config"), ("a", "stages")]))
def test_a_file_of_runs(tmp_path: Path, value: Any, place: tuple[str, ...]) -> None:
    runs: Any = {"a": {"metrics": {"forget/fb": 1.0}, "config": {"method": "x"}}}
    if not place:
        runs = value
    elif place == ("a",):
        runs["a"] = value
    else:
        runs["a"][place[1]] = value
    write_text_atomic(tmp_path / "runs.json", json.dumps(runs))
    read_or_refused(lambda: read_runs(tmp_path / "runs.json"))


@many
@given(st.sampled_from(["status.json", "manifest.json", "stages/00-before/stage.json", "stages/00-before/scores.json"]),
       values)  # fmt: skip
def test_files_of_a_run_folder(tmp_path: Path, name: str, value: Any) -> None:
    root = tmp_path / "runs" / "one"
    (root / "stages" / "00-before").mkdir(parents=True, exist_ok=True)
    (root / "config.yaml").write_text("task: {name: x}\nunlearning_target: y\npre_trained_llm: {name: z}\n")
    stage = {"index": 0, "kind": "before", "label": "00-before", "seconds": 0.0, "signals": {}}
    whole = {"status.json": {"state": "done"}, "manifest.json": {}, "stages/00-before/stage.json": stage,
             "stages/00-before/scores.json": {"corrected": {}}}  # fmt: skip
    for other, content in {**whole, name: value}.items():
        (root / other).write_text(json.dumps(content), encoding="utf-8")
    read_or_refused(lambda: read_local(tmp_path / "runs"))
