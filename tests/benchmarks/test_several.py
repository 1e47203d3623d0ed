"""Several concepts under one name: their target, probes, texts and checksum, in any benchmark."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from rivers import Rivers, RiversConfig
from workplace import Workplace

from atu.attacks.target import target_of_card
from atu.benchmarks.base import GivenTexts
from atu.benchmarks.builtin.benchmark import BuiltinBenchmark
from atu.benchmarks.config import CorpusConfig, DataConfig
from atu.benchmarks.generated import cached_corpus, write_corpus
from atu.benchmarks.own.benchmark import OwnConcept, OwnConfig
from atu.benchmarks.several import (
    find_checksum,
    find_probes,
    find_target,
    find_texts,
    member_of_probe,
    members_of,
    split_names,
)
from atu.entry.compose import compose_run
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import Probe, Target, Text
from atu.run import run

BUILTIN = BuiltinBenchmark()


class Waters(Rivers):
    """Three rivers; the Rhine is a neighbor of the Nile, and both are of the Po."""

    name = "waters"
    _near: ClassVar = {"Nile": ("Rhine", "Thames"), "Rhine": ("Thames",), "Po": ("Nile", "Rhine")}

    def targets(self) -> list[str]:
        return list(self._near)

    def target(self, folder: str) -> Target:
        if folder not in self._near:
            raise UserError(f"There is no river '{folder}'.")
        return Target(name=folder, folder=folder, description="a river", neighbors=self._near[folder])

    def probes(self, folder: str) -> list[Probe]:
        asked = [("forget/qa", folder), *(("neighbor/qa", other) for other in self._near[folder])]
        rivers = [self._probe(folder, group, number, river) for number, (group, river) in enumerate(asked)]
        return [*rivers, dataclasses.replace(rivers[0], id="waters/all/0", group="utility/gen", prompt="What is wet?")]

    def _probe(self, folder: str, group: str, number: int, river: str) -> Probe:
        prompt = f"Where is the mouth of the {river}?"
        return Probe(id=f"waters/{folder}/{number}", group=group, kind="generate", prompt=prompt, references=("sea",))

    def checksum(self, folder: str) -> str:
        return hashlib.sha256(folder.encode()).hexdigest()

    def texts(self, target: Target, *, writer: str, seed: int) -> GivenTexts:
        def about(names: Sequence[str]) -> list[Text]:
            return [Text(text=f"The {name} is long.", subject=name, source="waters") for name in names]

        return GivenTexts(
            forget=about([target.name]), retain=about(target.neighbors), questionnaire=("Where is {name}?",)
        )


WATERS = Waters(RiversConfig())


def test_names_between_commas_and_a_batch_of_a_benchmark() -> None:
    harry = "10_Prince_Harry,_Duke_of_Sussex"
    assert split_names(f"{harry},24_Beyoncé") == [harry, "24_Beyoncé"]
    assert members_of(WATERS, "Nile, Po") == ("Nile", "Po")
    for name, message in (
        ("Nile,Nile", r"The target 'Nile' is named twice"),
        (",", r"The target ',' names no concept"),
    ):
        with pytest.raises(UserError, match=message):
            members_of(WATERS, name)
    with pytest.raises(UserError, match=r"There is no river 'Elbe'"):
        find_target(WATERS, "Nile,Elbe")


def test_one_concept_is_as_the_benchmark_has_it() -> None:
    assert find_target(BUILTIN, "Japan") == BUILTIN.target("Japan")
    assert find_probes(BUILTIN, "Japan") == BUILTIN.probes("Japan")
    assert find_checksum(BUILTIN, "Japan") == BUILTIN.checksum("Japan")


def test_what_is_forgotten_is_nobody_s_neighbor() -> None:
    both = find_target(WATERS, "Nile,Rhine")
    assert both == Target(
        name="Nile, Rhine", folder="Nile,Rhine", description="a river", neighbors=("Thames",),
        aliases=("Nile", "Rhine"), members=("Nile", "Rhine"),
    )  # fmt: skip
    assert both.concepts == ("Nile", "Rhine")
    asked = [(probe.id, probe.group, probe.prompt[26:-1]) for probe in find_probes(WATERS, "Nile,Rhine")]
    assert asked == [
        ("waters/Nile/0", "forget/qa", "Nile"),
        ("waters/Nile/2", "neighbor/qa", "Thames"),  # not the Rhine; and the Thames, which both ask about, once
        ("waters/all/0", "utility/gen", ""),
        ("waters/Rhine/0", "forget/qa", "Rhine"),
    ]
    assert find_checksum(WATERS, "Nile,Rhine") != find_checksum(WATERS, "Rhine,Nile")
    texts = find_texts(WATERS, both, writer="x", seed=0)
    assert [text.subject for text in texts.forget] == ["Nile", "Rhine"]
    assert [text.subject for text in texts.retain] == ["Thames"]
    assert list(texts.questionnaire) == ["Where is {name}?"]


def test_the_shipped_concepts_keep_their_ids_and_the_general_facts_are_asked_once() -> None:
    alone = {probe.id: probe for name in ("Japan", "Diabetes") for probe in BUILTIN.probes(name)}
    assert find_probes(BUILTIN, "Japan,Diabetes") == list(alone.values())
    asked = [probe.id for probe in find_probes(BuiltinBenchmark(DataConfig(icu=True)), "Japan,Diabetes")]
    assert asked == list(alone)


def test_rows_of_own_questions_may_be_for_one_concept(tmp_path: Path) -> None:
    path = tmp_path / "probes.jsonl"
    rows = [
        {"group": "forget/qa", "prompt": "Who painted it?", "references": ["Lee"], "target": "Ann_Lee"},
        {"group": "forget/qa", "prompt": "Who wrote it?", "references": ["Ray"], "target": "Bob_Ray"},
        {"group": "neighbor/qa", "prompt": "Who sang it?", "references": ["Coe"]},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    own = OwnConcept(OwnConfig(probes_path=str(path)))
    ids = [probe.id for probe in find_probes(own, "Ann_Lee,Bob_Ray") if probe.group != "utility/gen"]
    assert ids == ["own/Ann_Lee/1", "own/Ann_Lee/3", "own/Bob_Ray/2"]


def test_each_concept_has_its_share_of_the_texts_that_a_model_writes(
    tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CorpusConfig(
        num_forget_texts=6, num_neighbors=1, num_texts_per_neighbor=2, num_general_texts=0, num_question_rows=0,
        num_neighbor_question_rows=0, num_quiz_rows=0, num_neighbor_quiz_rows=0, max_new_tokens=8,
    )  # fmt: skip
    both = Target(name="Ann Lee, Bob Ray", folder="x", description="", members=("Ann Lee", "Bob Ray"))
    monkeypatch.setattr("atu.benchmarks.generated.is_degenerate", lambda text: False, raising=False)
    forget, retain = write_corpus(tiny_llm, both, config, seed=0, progress=lambda _: None)
    prompts = [text.prompt or "" for text in forget]
    assert {text.subject for text in forget} <= {"Ann Lee", "Bob Ray"}
    assert not [prompt for prompt in prompts if "Ann Lee, Bob Ray" in prompt]
    assert not {text.subject for text in retain} & {"Ann Lee", "Bob Ray"}


def test_the_corpus_of_one_concept_is_found_under_its_earlier_key(
    tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[dict[str, Any]] = []
    monkeypatch.setattr("atu.benchmarks.generated.content_key", lambda parts: keys.append(parts) or "key")
    monkeypatch.setattr("atu.benchmarks.generated.cached_json", lambda *_: {"forget": [], "retain": []})
    llm = dataclasses.replace(tiny_llm, provenance={"sha256": "of these weights"})
    cached_corpus(llm, BUILTIN.target("Japan"), CorpusConfig(), seed=0, progress=lambda _: None)
    assert keys[0]["target"].keys() == {"name", "folder", "description", "neighbors", "aliases"}


def test_a_list_on_the_command_line_is_one_name(workplace: Workplace) -> None:
    given = [word for word in workplace.overrides() if not word.startswith(("unlearning_target", "name="))]
    config = compose_run([*given, "unlearning_target=[Ann_Lee, Zoë_Äß]"])
    assert config.unlearning_target == "Ann_Lee,Zoë_Äß"
    assert config.name.endswith("-Ann_Lee,Zoë_Äß-seed0")


def test_a_run_forgets_several_together(workplace: Workplace) -> None:
    rows = [json.loads(line) for line in (workplace.root / "probes.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        if row["group"].startswith("forget/"):
            row["target"] = ("Zorblatt", "Yolk")[number % 2]
    (workplace.root / "probes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    overrides = [word for word in workplace.overrides() if not word.startswith(("unlearning_target", "task.stages"))]
    stages = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 1}]"
    folder = run(compose_run([*overrides, "unlearning_target=[Zorblatt,Yolk]", stages]))
    folder.close()
    answers = folder.read_answers(folder.read_stages()[-1].label)
    forgotten = {member_of_probe(answer.probe_id) for answer in answers if answer.group.startswith("forget/")}
    assert forgotten == {"Zorblatt", "Yolk"}
    assert folder.read_manifest()["target"] == "Zorblatt, Yolk"


def test_the_card_of_a_model_that_forgot_several_names_them(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("This model was made to forget **World War II, Japan**.")
    assert target_of_card(str(tmp_path), BUILTIN) == "World_War_II,Japan"
    (tmp_path / "README.md").write_text("This model was made to forget **Japan, Rome**.")
    with pytest.raises(UserError, match=r"forgot 'Japan, Rome', which is no target of builtin"):
        target_of_card(str(tmp_path), BUILTIN)
