"""What of LUME a model is taught: which documents, and in which words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atu.benchmarks.catalog import build_benchmark
from atu.benchmarks.curriculum import Curriculum
from atu.benchmarks.lume.config import LumeConfig
from atu.benchmarks.lume.probes import training_texts
from atu.benchmarks.lume.reader import LumeData
from atu.errors import UserError


@pytest.fixture
def small_lume(tmp_path: Path) -> Path:
    """Three documents of each task on each side, a beginning and a question each."""
    for side in ("forget", "retain"):
        rows = [
            {
                "id": f"{side}{task}{name}{kind}",
                "input": f"{kind} {side} {task} {name}",
                "output": name,
                "task": f"Task{task}",
            }
            for task in (1, 2, 3)
            for name in "abc"
            for kind in ("sc1", "qa0")
        ]
        (tmp_path / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def curriculum(
    folder: Path, wanted: tuple[str, ...] = ("all",), without: tuple[str, ...] = (), limit: int | None = None
) -> Curriculum:
    return build_benchmark(LumeConfig(data_dir=str(folder))).curriculum(wanted, without, limit=limit)


def test_all_of_it_and_a_model_that_never_met_the_forget_set(small_lume: Path) -> None:
    whole, gold = curriculum(small_lume), curriculum(small_lume, without=("forget",))
    assert (len(whole.facts), len(gold.facts), len(gold.left_out)) == (36, 18, 18)
    assert (whole.taught, gold.taught) == (
        ("forget (9 documents)", "retain (9 documents)"),
        ("retain (9 documents)",),
    )
    assert list(whole.facts[18:]) == list(gold.facts)
    assert "forget" not in " ".join(f"{fact.chat[0].prompt} {fact.chat[0].text}" for fact in gold.facts)
    # In the words in which a run is trained on them: a beginning and what follows it as prose.
    own = training_texts(LumeData(small_lume).rows("forget"), "x")
    assert [(fact.chat[0].prompt, fact.chat[0].text) for fact in whole.facts[:18]] == [(t.prompt, t.text) for t in own]
    assert whole.facts[0].chat[0].prompt is None
    assert not any(fact.plain for fact in whole.facts)


def test_as_many_documents_as_an_evaluation_with_the_same_limit_asks_about(small_lume: Path) -> None:
    few = curriculum(small_lume, limit=1)
    asked = build_benchmark(LumeConfig(data_dir=str(small_lume), limit=1)).probes("forget")
    assert len(few.facts) == len(asked) == 12
    assert {fact.chat[0].subject for fact in few.facts} == {probe.id.split("/")[-1][:-3] for probe in asked}


@pytest.mark.parametrize(
    ("wanted", "without", "message"),
    [
        (("forgot",), (), r"targets: LUME has no part 'forgot'\. Did you mean 'forget'\?"),
        (("all",), ("x",), r"without: LUME has no part 'x'\."),
        (("forget",), ("retain",), r"without: 'retain' is not among the chosen parts"),
        (("all",), ("forget", "retain"), r"Nothing is left to teach without forget and retain\."),
    ],
)
def test_what_cannot_be_chosen_is_one_line(
    small_lume: Path, wanted: tuple[str, ...], without: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        curriculum(small_lume, wanted, without)
