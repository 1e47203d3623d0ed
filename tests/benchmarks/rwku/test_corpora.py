from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from atu.benchmarks.build import build_corpus
from atu.benchmarks.corpus import Corpus
from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.config import RwkuConfig, RwkuCorpusConfig
from atu.benchmarks.rwku.corpora import (
    choose_others,
    corpus_file,
    expand_batch,
    find_writer,
    foreign_writer,
    forget_and_retain,
    read_texts,
)
from atu.benchmarks.rwku.reader import RwkuData
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import Text

from .conftest import MakeTarget

KING = "1_Stephen_King"
PROSE = RwkuCorpusConfig(
    source="rwku", rwku_file="positive", num_neighbors=1, num_texts_per_neighbor=6, num_question_rows=0,
    num_neighbor_question_rows=0, num_quiz_rows=0, num_neighbor_quiz_rows=0,
)  # fmt: skip
"""Texts without questions."""


def build(data: Path, llm: LanguageModel, corpus: RwkuCorpusConfig) -> Corpus:
    """King's corpus from the files of `data`."""
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(data), corpus=corpus))
    return build_corpus(benchmark, llm, benchmark.target(KING), seed=0, progress=lambda what: None)


def test_biographies_are_plain_prose(two_targets: Path) -> None:
    texts = read_texts(RwkuData(two_targets), KING, "positive_phi")
    assert len(texts) == 4
    assert texts[1] == Text(
        text="Stephen King, positive_phi 1.",
        subject="Stephen King",
        source="rwku/1_Stephen_King/positive_phi/1",
    )


@pytest.mark.parametrize(
    ("model_name", "file"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "positive"),
        ("/models/Meta-Llama-3-8B-Instruct/", "positive"),
        ("microsoft/Phi-3-mini-4k-instruct", "positive_phi"),
        ("phi_3_mini_4k_instruct", "positive_phi"),
    ],
)
def test_own_means_the_biographies_that_the_model_wrote(model_name: str, file: str) -> None:
    assert corpus_file("own", model_name) == file
    assert foreign_writer(file, model_name) is None


@pytest.mark.parametrize(
    "model_name",
    ["meta-llama/Llama-3.1-8B-Instruct", "microsoft/Phi-3-mini-128k-instruct", "smollm2-135m-instruct"],
)
def test_no_other_model_gets_their_texts_for_its_own(model_name: str) -> None:
    with pytest.raises(UserError, match=f"no texts written by '{model_name}', only by Meta-Llama-3-8B"):
        find_writer(model_name)


def test_a_file_chosen_by_name_is_taken_and_its_writer_told() -> None:
    assert corpus_file("positive_phi", "smollm2") == "positive_phi"
    assert foreign_writer("positive_phi", "smollm2") == "Phi-3-mini-4k-instruct"
    assert foreign_writer("passage", "smollm2") is None
    with pytest.raises(UserError, match=r"no corpus 'positiv_phi'\. Did you mean 'positive_phi'\?"):
        corpus_file("positiv_phi", "smollm2")


def test_other_targets_are_chosen_by_the_seed(make_target: MakeTarget) -> None:
    folders = [f"{number}_Name_{number}" for number in range(1, 21)]
    for folder in reversed(folders):
        make_target(folder, root="one/Target")
    for folder in folders:
        root = make_target(folder, root="two/Target")
    one, two = RwkuData(root.parent / "one"), RwkuData(root)
    chosen = choose_others(two, "7_Name_7", 5, seed=0)
    assert choose_others(one, "7_Name_7", 5, seed=0) == chosen
    assert len(set(chosen) - {"7_Name_7"}) == 5
    assert choose_others(two, "7_Name_7", 3, seed=0) == chosen[:3]
    assert choose_others(two, "7_Name_7", 5, seed=1) != chosen


def test_more_others_than_there_are_is_an_error(two_targets: Path) -> None:
    with pytest.raises(UserError, match=r"3 other targets are asked for, but .* holds 1"):
        choose_others(RwkuData(two_targets), KING, 3, seed=0)


def test_forget_and_retain(two_targets: Path) -> None:
    forget, retain = forget_and_retain(
        RwkuData(two_targets),
        KING,
        "positive",
        num_forget_texts=582,
        num_others=1,
        num_texts_per_other=2,
        seed=3,
    )
    assert [text.source for text in forget] == [f"rwku/{KING}/positive/{n}" for n in range(4)]
    assert {text.subject for text in retain} == {"Confucius"}
    rows = [int(text.source.rpartition("/")[2]) for text in retain]
    assert len(rows) == 2
    assert rows == sorted(rows)


def test_a_batch_is_the_first_targets_together(two_targets: Path) -> None:
    data = RwkuData(two_targets)
    assert expand_batch(data, "1-2") == (KING, "2_Confucius")
    assert expand_batch(data, KING) == (KING,)
    with pytest.raises(UserError, match=r"Batch 1-4 needs target 3, which .* lacks"):
        expand_batch(data, "1-4")
    with pytest.raises(UserError, match="Batch 1-0 needs target 1"):
        expand_batch(data, "1-0")


def test_the_model_is_asked_about_rwkus_texts_where_the_config_wants_it(
    two_targets: Path, tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.benchmarks.generated._ANSWER_TOKENS", 2)
    asking = replace(PROSE, num_question_rows=12, num_neighbor_question_rows=12)

    def rows(corpus: RwkuCorpusConfig) -> list[tuple[str, str, str | None]]:
        built = build(two_targets, tiny_llm, corpus)
        texts = (*built.forget, *built.held_out_forget, *built.retain, *built.held_out_retain)
        return [(text.subject, text.source.split("/")[0], text.prompt) for text in texts]

    prose, both = rows(PROSE), rows(asking)
    assert {source for _, source, _ in prose} == {"rwku"}
    assert sorted(row[0] for row in both if row[1] == "rwku") == sorted(row[0] for row in prose)
    asked = {subject: prompt for subject, source, prompt in both if source == "generated"}
    assert set(asked) == {"Stephen King", "Confucius"}
    for subject, prompt in asked.items():
        assert prompt is not None
        assert subject in prompt


def test_general_texts_are_known_from_those_about_people(
    two_targets: Path, tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atu.benchmarks.generated._ANSWER_TOKENS", 2)
    asking = replace(PROSE, num_neighbor_question_rows=12, num_general_texts=0, num_general_question_rows=24)
    built = build(two_targets, tiny_llm, asking)
    assert {text.subject for text in built.retain} - built.general_subjects == {"Confucius"}
    assert len({text.subject for text in built.retain} & built.general_subjects) > 3
