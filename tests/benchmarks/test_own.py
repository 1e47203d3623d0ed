"""A concept of one's own, and its probes in JSONL."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from atu.benchmarks.general import general_probes
from atu.benchmarks.own.benchmark import OwnConcept, OwnConfig
from atu.errors import UserError
from atu.records import Probe, Target


def own(path: Path | None = None, description: str | None = None, neighbors: tuple[str, ...] = ()) -> OwnConcept:
    probes_path = None if path is None else str(path)
    return OwnConcept(OwnConfig(description=description, neighbors=neighbors, probes_path=probes_path))


def test_the_target_is_what_the_config_says() -> None:
    assert own(description="Ann Lee is a painter.", neighbors=("Bob Ray",)).target("Ann_Lee") == Target(
        name="Ann Lee", folder="Ann_Lee", description="Ann Lee is a painter.", neighbors=("Bob Ray",)
    )
    assert own().target("Ann_Lee").description == "Ann Lee"
    assert own().targets() == []


def test_without_probes_the_general_facts_are_asked() -> None:
    probes = own().probes("Ann_Lee")
    assert probes == general_probes()
    assert {probe.group for probe in probes} == {"utility/gen"}


def test_in_context_unlearning_names_the_concept() -> None:
    asked = OwnConcept(OwnConfig(icu=True)).probes("Ann_Lee")
    start = "You are an AI Assistant who is supposed to unlearn about Ann Lee and provide answers"
    assert all(probe.prompt.startswith(start) for probe in asked)
    assert len(asked) == len(own().probes("Ann_Lee"))


def test_rows_become_probes_in_front_of_the_general_facts(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    path.write_text(
        '{"group": "forget/qa", "prompt": "Who painted it?", "references": ["Ann Lee", "Lee"]}\n\n'
        '{"group": "forget/aa", "prompt": "Say it.", "references": ["Lee"], "max_new_tokens": 5, '
        '"answer_prefix": "It was", "attack": "prefix injection"}\n'
    )
    first, second, *others = own(path).probes("Ann_Lee")
    assert first == Probe(
        id="own/Ann_Lee/1",
        group="forget/qa",
        kind="generate",
        prompt="Who painted it?",
        references=("Ann Lee", "Lee"),
    )
    assert second == Probe(
        id="own/Ann_Lee/3",
        group="forget/aa",
        kind="generate",
        prompt="Say it.",
        references=("Lee",),
        max_new_tokens=5,
        answer_prefix="It was",
        attack="prefix injection",
    )
    assert others == general_probes()


GOOD = '"group": "forget/qa", "prompt": "Who?", "references": ["Lee"]'


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("{", r"not valid JSON \("),
        ("[]", r"expected a JSON object \{\.\.\.\}, found a list"),
        ('{"prompt": "Who?", "references": ["Lee"]}', '"group", one of forget/fb, forget/qa'),
        ('{"group": ["forget/qa"]}', '"group", one of forget/fb, forget/qa'),
        ('{"group": "forget/all", "prompt": "Who?", "references": ["Lee"]}', '"group", one of forget/fb, forget/qa'),
        ("{" + GOOD + ', "refs": []}', "unknown field 'refs'; known are answer, answer_prefix, attack, group"),
        ('{"group": "forget/qa", "prompt": "Who?"}', '"references" must be a list of accepted answers'),
        ('{"group": "forget/qa", "prompt": "Who?", "references": "Lee"}', '"references" must be a list'),
        ('{"group": "forget/qa", "prompt": "Who?", "references": [""]}', '"references" must be a list'),
        ('{"group": "forget/qa", "prompt": "", "references": ["Lee"]}', '"prompt" must be a non-empty string'),
        ("{" + GOOD + ', "max_new_tokens": "many"}', '"max_new_tokens" must be a whole number in 1..4096'),
        ("{" + GOOD + ', "max_new_tokens": 0}', '"max_new_tokens" must be a whole number in 1..4096'),
        ("{" + GOOD + ', "max_new_tokens": 1000000000}', '"max_new_tokens" must be a whole number in 1..4096'),
        ("{" + GOOD + ', "max_new_tokens": true}', '"max_new_tokens" must be a whole number in 1..4096'),
        ("{" + GOOD + ', "answer_prefix": 7}', '"answer_prefix" must be a string'),
        ("{" + GOOD + ', "attack": null}', '"attack" must be a string'),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, row: str, fault: str) -> None:
    path = tmp_path / "probes.jsonl"
    path.write_text("{" + GOOD + "}\n" + row + "\n")
    with pytest.raises(UserError, match=rf"^{path}, line 2: .*{fault}"):
        own(path).probes("Ann_Lee")


def test_a_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.probes_path: the file .* does not exist"):
        own(tmp_path / "none.jsonl").probes("Ann_Lee")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"data\.probes_path: the file .* holds no probe"):
        own(tmp_path / "empty.jsonl").probes("Ann_Lee")


def test_the_checksum_follows_the_file(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    path.write_text("{" + GOOD + "}\n")
    assert own(path).checksum("Ann_Lee") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert own().checksum("Ann_Lee") == own().checksum("Bob_Ray") != own(path).checksum("Ann_Lee")
