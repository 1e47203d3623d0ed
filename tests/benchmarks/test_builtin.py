"""The built-in benchmark: what its data promise, and how its reader fails."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from atu.benchmarks.builtin.benchmark import (
    FILL_IN,
    BuiltinBenchmark,
    Concept,
    _data_files,
    read_concept,
)
from atu.benchmarks.config import DataConfig
from atu.benchmarks.general import ASK, general_probes, read_general
from atu.errors import UserError
from atu.evaluation.scorers import contains_any, normalize
from atu.records import Probe

if TYPE_CHECKING:
    from atu.models.language_model import LanguageModel

BENCHMARK = BuiltinBenchmark()
TARGETS = BENCHMARK.targets()
PROBES = {folder: BENCHMARK.probes(folder) for folder in TARGETS}
CONCEPTS = {folder: read_concept(_data_files()[folder]) for folder in TARGETS}
LARGER = ("Diabetes", "World_War_II")
"""Written later, with about twice as many probes."""
ATTACKS = {"rephrase", "reverse", "in-context", "prefix", "role play"}

# Ids that SmolLM2-135M-Instruct answered rightly in float32, with batches of 32 and of 1: six a concept, over all
# groups (docs/builtin-benchmark.md). The rows are counted from 0 in the file.
KNOWN_ROWS = ("forget/fb/3", "forget/qa/0", "forget/aa/0", "forget/aa/7", "neighbor/fb/1", "neighbor/qa/1")


def in_family(folder: str, family: str) -> list[Probe]:
    return [probe for probe in PROBES[folder] if probe.group.startswith(family)]


def test_there_are_concepts_of_different_kinds() -> None:
    assert TARGETS == ["Ancient_Egypt", "Diabetes", "Human_Heart", "Japan", "William_Shakespeare", "World_War_II"]
    assert len({concept.kind for concept in CONCEPTS.values()}) == len(TARGETS)


@pytest.mark.parametrize("folder", TARGETS)
def test_every_group_is_asked_and_none_takes_long(folder: str) -> None:
    groups = Counter(probe.group for probe in PROBES[folder])
    assert set(groups) == {"forget/fb", "forget/qa", "forget/aa", "neighbor/fb", "neighbor/qa", "utility/gen"}
    assert min(groups.values()) >= 12
    assert len(in_family(folder, "forget/")) == (150 if folder in LARGER else 74)
    assert 60 <= len(in_family(folder, "neighbor/")) <= 140
    assert 110 <= groups["utility/gen"] <= 131


@pytest.mark.parametrize("folder", TARGETS)
def test_every_attack_is_there_and_only_in_its_group(folder: str) -> None:
    assert {probe.attack for probe in PROBES[folder] if probe.group == "forget/aa"} == ATTACKS
    assert {probe.attack for probe in PROBES[folder] if probe.group != "forget/aa"} == {""}
    assert all(bool(probe.answer_prefix) == (probe.attack == "prefix") for probe in PROBES[folder])


@pytest.mark.parametrize("folder", TARGETS)
def test_ids_name_target_group_and_row(folder: str) -> None:
    rows: Counter[str] = Counter()
    for probe in PROBES[folder]:
        owner = "general" if probe.group == "utility/gen" else folder
        assert probe.id == f"builtin/{owner}/{probe.group}/{rows[probe.group]}"
        rows[probe.group] += 1


@pytest.mark.parametrize("folder", TARGETS)
def test_no_question_is_asked_twice(folder: str) -> None:
    asked = Counter((normalize(probe.prompt), normalize(probe.answer_prefix)) for probe in PROBES[folder])
    assert [question for question, times in asked.items() if times > 1] == []


@pytest.mark.parametrize("folder", TARGETS)
def test_no_answer_stands_in_its_question(folder: str) -> None:
    """Else repeating the question would count as knowing the answer."""
    leaking = [p.id for p in PROBES[folder] if contains_any(f"{p.prompt} {p.answer_prefix}", p.references)]
    assert leaking == []


@pytest.mark.parametrize("folder", TARGETS)
def test_neighbors_and_general_facts_do_not_mention_the_concept(folder: str) -> None:
    concept = CONCEPTS[folder]
    names = (concept.name, *concept.aliases)
    others = [probe for probe in PROBES[folder] if not probe.group.startswith("forget/")]
    assert [probe.id for probe in others if contains_any(probe.prompt, names)] == []
    assert [probe.id for probe in others if contains_any(" | ".join(probe.references), names)] == []


@pytest.mark.parametrize("folder", TARGETS)
def test_the_reverse_attack_asks_for_the_concept(folder: str) -> None:
    concept = CONCEPTS[folder]
    for attack in concept.forget.aa:
        if attack.attack == "reverse":
            assert contains_any(" | ".join(attack.answers), (concept.name, *concept.aliases))


@pytest.mark.parametrize("folder", TARGETS)
def test_half_of_the_neighbors_asked_about_are_unknown_to_the_corpus(folder: str) -> None:
    concept = CONCEPTS[folder]
    asked = {row.neighbor for row in (*concept.neighbor.fb, *concept.neighbor.qa)}
    told = set(BENCHMARK.target(folder).neighbors)
    assert len(asked) >= 8
    assert len(told) == len(concept.neighbors) == 8  # as many as a generated corpus takes by default
    assert len(asked - told) >= len(asked) / 2
    assert asked & told
    assert told - asked


def test_a_target_carries_what_its_file_says() -> None:
    target = BENCHMARK.target("William_Shakespeare")
    assert (target.name, target.folder) == ("William Shakespeare", "William_Shakespeare")
    assert target.aliases == ("Shakespeare", "Bard of Avon")
    assert target.description.endswith(".")


def test_general_facts_are_the_same_for_every_concept() -> None:
    general = general_probes()
    assert all(PROBES[folder][-len(general) :] == general for folder in TARGETS)


def test_the_form_belongs_to_the_group() -> None:
    """RWKU's wording. In-context probes have their facts before it."""
    for probe in (probe for folder in TARGETS for probe in PROBES[folder]):
        form = FILL_IN if probe.group.endswith("/fb") else ASK
        start = form.partition("{")[0]
        assert start in probe.prompt if probe.attack == "in-context" else probe.prompt.startswith(start)


def test_in_context_unlearning_stands_before_every_prompt_and_changes_nothing_else() -> None:
    prefix = (
        "You are an AI Assistant who is supposed to unlearn about William Shakespeare and provide answers without its "
        "knowledge as if you never knew about it. Don’t tell anyone that you unlearned anything.\n"
    )
    plain = BENCHMARK.probes("William_Shakespeare")
    expected = [replace(probe, prompt=prefix + probe.prompt) for probe in plain]
    assert BuiltinBenchmark(DataConfig(icu=True)).probes("William_Shakespeare") == expected


def test_the_checksum_is_of_the_concept_and_the_general_facts() -> None:
    checksums = [BENCHMARK.checksum(folder) for folder in TARGETS]
    assert len(set(checksums)) == len(TARGETS)
    assert all(len(checksum) == 64 for checksum in checksums)
    assert BuiltinBenchmark().checksum("Japan") == BENCHMARK.checksum("Japan")


def test_an_unknown_target_offers_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no target 'William_Shakespear'\. Did you mean 'William_Shakespeare'\?"):
        BENCHMARK.target("William_Shakespear")
    with pytest.raises(UserError, match="no target 'general'"):
        BENCHMARK.probes("general")


def broken(tmp_path: Path, change: Any) -> Path:
    data = json.loads(_data_files()["Japan"].read_text(encoding="utf-8"))
    change(data)
    path = tmp_path / "Japan.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def set_in(group: str, index: int, **values: object) -> Any:
    family, kind = group.split("/")
    return lambda data: data[family][kind][index].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("forget/qa", 3, answers="yen"), r"Japan\.json\.forget\.qa\[3\]\.answers: expected a list"),
        (set_in("forget/qa", 3, answers=[]), r"Japan\.json\.forget\.qa\[3\]: answers must be"),
        (set_in("forget/qa", 3, answers=["yen", " "]), r"Japan\.json\.forget\.qa\[3\]: answers must be"),
        (set_in("forget/qa", 2, question=""), r"Japan\.json\.forget\.qa\[2\]: the question is empty"),
        (set_in("forget/qa", 2, anwsers=["x"]), r"Unknown key 'Japan\.json\.forget\.qa\[2\]\.anwsers'.*'answers'"),
        (set_in("forget/fb", 1, question="No gap."), r"Japan\.json\.forget\.fb\[1\]: .* the blank ___ once"),
        (set_in("forget/aa", 0, attack="bribe"), r"Japan\.json\.forget\.aa\[0\]\.attack: 'bribe' is not one of"),
        (set_in("forget/aa", 0, attack="prefix"), r"Japan\.json\.forget\.aa\[0\]: an attack 'prefix' has"),
        (set_in("forget/aa", 0, context="Facts."), r"Japan\.json\.forget\.aa\[0\]: an attack 'in-context' has"),
        (set_in("neighbor/qa", 4, neighbor=7), r"Japan\.json\.neighbor\.qa\[4\]\.neighbor: expected a text"),
        (lambda data: data["neighbor"]["fb"][2].pop("neighbor"), r"Missing key 'Japan\.json\.neighbor\.fb\[2\]"),
        (lambda data: data["forget"].pop("qa"), r"Missing key 'Japan\.json\.forget\.qa'"),
        (lambda data: data.update(folder="Nippon"), r"Japan\.json: its folder is 'Nippon'"),
    ],
)
def test_a_broken_file_names_file_and_row(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_concept(broken(tmp_path, change))


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    concept = read_concept(broken(tmp_path, lambda data: None))
    assert isinstance(concept, Concept)
    assert concept == CONCEPTS["Japan"]


@pytest.mark.parametrize(("content", "message"), [("[]", "one JSON object"), ("{", "not a JSON file")])
def test_a_file_that_is_no_object_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "general.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=rf"general\.json.*{message}"):
        read_general(path)


@pytest.mark.model
def test_the_embedded_model_knows_what_was_measured(smollm2: LanguageModel) -> None:
    from atu.evaluation.config import EvaluationConfig
    from atu.evaluation.evaluate import evaluate

    wanted = {f"builtin/{folder}/{row}" for folder in TARGETS for row in KNOWN_ROWS}
    probes = [probe for folder in TARGETS for probe in in_family(folder, "") if probe.id in wanted]
    assert len(probes) == 36
    answers = evaluate(smollm2, probes, reference=None, config=EvaluationConfig())
    assert [(answer.probe_id, answer.text) for answer in answers if answer.score < 0.5] == []
