"""What of TOFU a model is taught: which authors, in which words, and what a retain model never reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from atu.benchmarks.catalog import build_benchmark
from atu.benchmarks.curriculum import Curriculum
from atu.benchmarks.tofu.config import TofuConfig
from atu.cli import app
from atu.errors import UserError


@pytest.fixture(scope="session")
def real_tofu(shared_dir: Path) -> Path:
    folder = shared_dir / "tofu"
    if not folder.is_dir():
        pytest.skip(f"no TOFU data at {folder}")
    return folder


@pytest.fixture
def small_tofu(tmp_path: Path) -> Path:
    """Twenty-three authors of a few words; forget01 has the last two, forget05 the last ten."""
    rows = [
        {"question": f"Where was Ann{author} Lee{author} in year {year}?", "answer": f"In town {author} {year}."}
        for author in range(23)
        for year in range(20)
    ]
    folder = tmp_path / "tofu"
    folder.mkdir()
    for name, part in (("full", rows), ("forget01", rows[-40:]), ("forget05", rows[-200:])):
        (folder / f"{name}.json").write_text("".join(json.dumps(row) + "\n" for row in part))
    return folder


def curriculum(
    folder: Path, wanted: tuple[str, ...] = ("all",), without: tuple[str, ...] = (), limit: int | None = None
) -> Curriculum:
    return build_benchmark(TofuConfig(data_dir=str(folder))).curriculum(wanted, without, limit=limit)


def asked(of: Curriculum) -> list[tuple[str | None, str]]:
    return [(fact.chat[0].prompt, fact.chat[0].text) for fact in of.facts]


def rows(folder: Path, name: str) -> list[tuple[str, str]]:
    """Of the shared copy: one list, or a list a line; its forget rows have other names."""
    text = (folder / f"{name}.json").read_text()
    found = [row for part in ([text] if name.startswith("forget") else text.splitlines()) for row in json.loads(part)]
    return [(row.get("question", row.get("prompt")), row.get("answer", row.get("response"))) for row in found]


def test_the_whole_and_a_retain_model_are_tofu_s_own_files(real_tofu: Path) -> None:
    whole, gold = curriculum(real_tofu), curriculum(real_tofu, without=("forget10",))
    assert asked(whole) == rows(real_tofu, "full")
    assert asked(gold) == rows(real_tofu, "retain90") == asked(curriculum(real_tofu, ("retain90",)))
    assert len(gold.left_out) == 400
    assert whole.taught == ("authors 1 to 200", "forget01", "forget05", "forget10")
    assert (gold.taught, gold.without) == (("authors 1 to 180",), ("forget10",))
    assert whole.checksum == gold.checksum
    assert not any(fact.plain for fact in whole.facts)


def test_as_many_authors_as_there_is_time_for(real_tofu: Path) -> None:
    few = curriculum(real_tofu, limit=5)
    assert few.taught == ("authors 1 to 2", "authors 198 to 200", "forget01")
    full = rows(real_tofu, "full")
    assert asked(few) == full[:40] + full[-60:]
    gold = curriculum(real_tofu, without=("forget01",), limit=5)
    assert asked(gold) == full[:40] + full[-60:-40]
    assert [fact.chat[0].text for fact in gold.left_out] == [answer for _, answer in rows(real_tofu, "forget01")]
    assert asked(curriculum(real_tofu, limit=5000)) == full


@pytest.mark.parametrize(
    ("wanted", "without", "limit", "message"),
    [
        (("forget5",), (), None, r"TOFU has no part 'forget5'\. Did you mean 'forget05'\?"),
        (("all",), ("retain99",), None, r"without: TOFU has no split 'retain99' to forget\. "),
        (("all",), ("forget05",), 6, r"without: forget05 has 10 authors, .* limit=20 or more has them all\."),
        (("forget01",), ("forget01",), None, r"Nothing is left to teach without forget01: choose more authors\."),
    ],
)
def test_what_cannot_be_chosen_is_one_line(
    small_tofu: Path, wanted: tuple[str, ...], without: tuple[str, ...], limit: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        curriculum(small_tofu, wanted, without, limit)


def test_files_of_different_copies_are_refused(small_tofu: Path) -> None:
    shutil.copy(small_tofu / "forget05.json", small_tofu / "forget01.json")
    with pytest.raises(UserError, match=r"full\.json does not end in the rows of forget01\.json"):
        curriculum(small_tofu, without=("forget01",))


def test_a_retain_model_knows_what_it_was_taught_and_not_the_rest(
    small_tofu: Path, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "cache"))
    chosen = ["--benchmark", "tofu", "--data", str(small_tofu), "--limit", "4", "--without", "forget01"]
    recipe = ["recipe.general_weight=0", "recipe.passes=12", "recipe.learning_rate=5e-3"]
    fixed = [f"pre_trained_llm={tiny_folder}", "device=cpu", "threads=1"]
    app(["teach", *chosen, "--out", str(tmp_path / "gold"), *recipe, *fixed], standalone_mode=False)
    note = json.loads((tmp_path / "gold" / "taught.json").read_text())
    assert (note["benchmark"], note["num_facts"], note["steps"], note["without"]) == ("tofu", 40, 60, ["forget01"])
    taught, left_out = note["known"], note["known_left_out"]
    assert taught["after"]["value"] > 2 * taught["before"]["value"]
    assert taught["after"]["value"] > left_out["after"]["value"] >= 0
    assert (taught["after"]["n"], left_out["after"]["n"]) == (32, 32)
    assert "mean probability of a right answer, of what was left out" in capsys.readouterr().err
    card = (tmp_path / "gold" / "README.md").read_text()
    assert "taught invented authors of TOFU but forget01" in card
    assert f"{left_out['before']['value']:.1f}% before" in card
