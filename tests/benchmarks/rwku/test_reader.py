from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from atu.benchmarks.rwku.files import (
    ALL_FILES,
    FORGET_LEVEL2,
    FORGET_LEVEL3,
    RETAIN_BBH,
    RETAIN_MMLU,
    TRUTHFUL,
    RwkuFile,
)
from atu.benchmarks.rwku.reader import DATA_DIR_VARIABLE, RwkuData, target_name
from atu.errors import UserError

from .conftest import MakeTarget
from .sample_rows import COT, target_rows


def test_all_22_files_of_a_target_are_read(two_targets: Path) -> None:
    counts = RwkuData(two_targets).check("1_Stephen_King")
    assert len(ALL_FILES) == 22
    assert counts == {name: len(rows) for name, rows in target_rows("Stephen King").items()}


@pytest.mark.parametrize("root", ["rwku/Target", "rwku"])
def test_targets_lie_in_the_folder_or_in_its_target_folder(make_target: MakeTarget, root: str) -> None:
    data = RwkuData(make_target("1_Stephen_King", root=root))
    assert data.targets() == ["1_Stephen_King"]


def test_targets_come_by_number_and_other_folders_are_passed_over(make_target: MakeTarget) -> None:
    for folder in ("10_Z", "9_Y", "100_A"):
        root = make_target(folder)
    (root / "Target" / ".partial").mkdir()
    (root / "Target" / "notes").mkdir()
    assert RwkuData(root).targets() == ["9_Y", "10_Z", "100_A"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("87_Robert_Downey_Jr.", "Robert Downey Jr."),
        ("10_Prince_Harry,_Duke_of_Sussex", "Prince Harry, Duke of Sussex"),
        ("24_Beyoncé", "Beyoncé"),
    ],
)
def test_full_stops_commas_and_accents_in_names(make_target: MakeTarget, folder: str, name: str) -> None:
    data = RwkuData(make_target(folder))
    assert target_name(folder) == name
    assert len(data.check(folder)) == 22


def test_an_accent_may_be_stored_as_two_characters(make_target: MakeTarget) -> None:
    root = make_target(unicodedata.normalize("NFD", "24_Beyoncé"), name="Beyoncé")
    data = RwkuData(root)
    composed = unicodedata.normalize("NFC", "24_Beyoncé")
    assert data.targets() == [composed]
    assert len(data.check(composed)) == 22


def test_the_folder_is_named_by_the_environment_or_found_below_the_working_directory(
    make_target: MakeTarget, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    by_default = make_target("1_A", root="data/rwku").parent
    monkeypatch.chdir(by_default)
    monkeypatch.delenv(DATA_DIR_VARIABLE, raising=False)
    assert RwkuData().targets() == ["1_A"]
    monkeypatch.setenv(DATA_DIR_VARIABLE, str(make_target("2_B", root="elsewhere")))
    assert RwkuData().targets() == ["2_B"]


def test_the_cross_lingual_spelling_is_made_one(two_targets: Path) -> None:
    types = [row.type for row in RwkuData(two_targets).read("1_Stephen_King", FORGET_LEVEL3)]
    assert types == ["role play", "affirmative suffix", "incontext learning", "cross lingual (French)"]


def test_repeated_blocks_are_held_once(two_targets: Path) -> None:
    data = RwkuData(two_targets)
    mmlu = data.read("1_Stephen_King", RETAIN_MMLU) + data.read("2_Confucius", RETAIN_MMLU)
    bbh = data.read("1_Stephen_King", RETAIN_BBH) + data.read("2_Confucius", RETAIN_BBH)
    assert len({id(row.examples) for row in mmlu}) == len({id(row.cot) for row in bbh}) == 1


def test_a_block_that_differs_between_targets_is_an_error(make_target: MakeTarget) -> None:
    make_target("1_A")
    changed = target_rows("B")["retain_bbh"]
    changed[1]["cot"] = COT + " "
    data = RwkuData(make_target("2_B", retain_bbh=changed))
    data.read("1_A", RETAIN_BBH)
    with pytest.raises(UserError, match=r"2_B/retain_bbh\.json, row 1: the BBH chains of task 'odd_one_out' differ"):
        data.read("2_B", RETAIN_BBH)


def test_an_unknown_target_offers_the_nearest_name(two_targets: Path) -> None:
    with pytest.raises(UserError, match=r"no target '1_Steven_King' .* Did you mean '1_Stephen_King'\?"):
        RwkuData(two_targets).path("1_Steven_King")


def test_a_missing_file_is_named(make_target: MakeTarget) -> None:
    data = RwkuData(make_target("1_A", forget_level2=None))
    with pytest.raises(UserError, match=r"1_A has no forget_level2\.json\. Fetch it with"):
        data.read("1_A", FORGET_LEVEL2)


def test_a_missing_folder_says_how_to_get_the_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No RWKU data at .*nowhere\. Fetch it with .*download_rwku_data\.sh"):
        RwkuData(tmp_path / "nowhere")
    with pytest.raises(UserError, match="No RWKU target in"):
        RwkuData(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"query": "Who?"', r"forget_level2\.json: not valid JSON"),
        ("[]", r"forget_level2\.json: expected a JSON list of rows"),
        ('{"query": "Who?"}', r"forget_level2\.json: expected a JSON list of rows"),
        ('["Who?"]', r"forget_level2\.json, row 0: expected an object"),
    ],
)
def test_a_broken_file_is_named(make_target: MakeTarget, content: str, message: str) -> None:
    root = make_target("1_A")
    (root / "Target/1_A/forget_level2.json").write_text(content)
    with pytest.raises(UserError, match=message):
        RwkuData(root).read("1_A", FORGET_LEVEL2)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("forget_level1", {"answer": None}, r"row 1: 'answer' must be a text, found null"),
        ("forget_level1", {"answer": "  "}, r"row 1: 'answer' is empty"),
        ("forget_level1", {"answer": "..."}, r"row 1: 'answer' has no word: '\.\.\.'"),
        ("forget_level1", {"query": 7}, r"row 1: 'query' must be a text, found a number"),
        ("forget_level3", {"type": "riddle"}, r"row 1: 'type' is no attack that RWKU has: 'riddle'"),
        ("positive", {"subject": "B"}, r"row 1: is about 'B', but the folder is 1_A's"),
        ("retain_mmlu", {"answer": 4}, r"row 1: 'answer' must be 0, 1, 2 or 3, found 4"),
        ("retain_mmlu", {"answer": True}, r"row 1: 'answer' must be a whole number"),
        ("retain_mmlu", {"choices": ["a", "b"]}, r"row 1: 'choices' must hold 4 texts, found 2"),
        ("retain_mmlu", {"examples": [1] * 5}, r"row 1: 'examples' must hold objects, found a number"),
        ("pair", {"response": ["one"]}, r"row 1: 'response' must hold 2 texts, found 1"),
    ],
)
def test_a_broken_row_is_named(make_target: MakeTarget, file: str, change: dict[str, Any], message: str) -> None:
    rows = target_rows("A")[file]
    rows[1].update(change)
    data = RwkuData(make_target("1_A", **{file: rows}))
    with pytest.raises(UserError, match=rf"{file}\.json, {message}"):
        data.check("1_A")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1]}, r"row 0, mc1_targets: 'labels' must be a 0 or 1 for each choice"),
        ({"labels": [0, 0]}, r"row 0, mc1_targets: 'labels' must name a true and a false choice"),
        ({"choices": ["No.", "Never."]}, r"row 0: 'mc1_targets' has a choice that mc2_targets lacks"),
    ],
)
def test_a_broken_truthfulqa_row_is_named(make_target: MakeTarget, change: dict[str, Any], message: str) -> None:
    rows = target_rows("A")["truthful"]
    rows[0]["mc1_targets"] = {**rows[0]["mc1_targets"], **change}
    with pytest.raises(UserError, match=rf"truthful\.json, {message}"):
        RwkuData(make_target("1_A", truthful=rows)).check("1_A")


def test_a_missing_field_is_named(make_target: MakeTarget) -> None:
    rows = target_rows("A")["triviaqa"]
    del rows[0]["answers"]
    with pytest.raises(UserError, match=r"triviaqa\.json, row 0: 'answers' is missing"):
        RwkuData(make_target("1_A", triviaqa=rows)).check("1_A")


def test_the_real_data_are_read_whole(shared_dir: Path) -> None:
    """The counts that the paper gives for every target (table 5)."""
    data = RwkuData(shared_dir / "rwku")
    assert len(data.targets()) == 13
    always = {"retain_mmlu": 171, "retain_bbh": 81, "truthful": 50, "triviaqa": 100, "fluency": 50}
    for folder in data.targets():
        counts = data.check(folder)
        assert {name: counts[name] for name in always} == always
        assert {counts[name] for name in ("positive", "positive_phi", "negative_phi") if name in counts} == {582}
        assert counts["intro"] == 1
        assert counts["reject"] == counts["reject_phi"] == 300


HOSTILE: tuple[Any, ...] = (None, True, 1.5, -1, 10**18, "", "x\ny", [], {}, [[]], ["a"], [1], {"a": 1})


def replaced(value: Any) -> Iterator[Any]:
    """A JSON value again and again, each time with something else in one place; of lists the first two places."""
    yield from HOSTILE
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ({**value, key: other} for other in replaced(item))
    elif isinstance(value, list):
        for place, item in enumerate(value[:2]):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in replaced(item))


@pytest.mark.parametrize("file", ALL_FILES, ids=lambda file: file.name)
def test_whatever_stands_in_a_row_it_is_read_or_refused_in_one_line(
    make_target: MakeTarget, file: RwkuFile[Any]
) -> None:
    root = make_target("1_Stephen_King")
    path = root / "Target" / "1_Stephen_King" / f"{file.name}.json"
    for rows in replaced(target_rows("Stephen King")[file.name][:1]):
        path.write_text(json.dumps(rows), encoding="utf-8")
        with suppress(UserError):
            RwkuData(root).read("1_Stephen_King", file)


@pytest.mark.parametrize("labels", [[[1], [0]], [{}, 0], [1, None], [True, False], [1.0, 0.0], ["1", "0"], {"a": 1}])
def test_labels_that_are_no_zeros_and_ones(make_target: MakeTarget, labels: Any) -> None:
    (row,) = target_rows("Stephen King")["truthful"][:1]
    row = {**row, "mc1_targets": {"choices": row["mc2_targets"]["choices"][:2], "labels": labels}}
    data = RwkuData(make_target("1_Stephen_King", truthful=[row]))
    with pytest.raises(UserError, match=r"row 0, mc1_targets: 'labels' must be a 0 or 1 for each choice\.$"):
        data.read("1_Stephen_King", TRUTHFUL)
