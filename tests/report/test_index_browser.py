"""The page about many runs in a real browser: filters, sorts, two languages, keyboard, no message in the console."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import Page, acting_copy, browse, needs_browser

from atu.records import AttackRow, RunRecord, Score
from atu.report.index_page import write_index

pytestmark = needs_browser

MakeRecord = Callable[..., RunRecord]
OpenPage = Callable[..., Page]


@pytest.fixture
def runs(make_record: MakeRecord) -> list[RunRecord]:
    """Three methods on two concepts; one run has no scores yet, and one lost a score on the way."""
    return [
        make_record("ours-1", path=[(80, 90), (50, 80), (20, 60)]),
        make_record("ours-2", path=[(80, 90), (40, 88)], seed=1),
        make_record("npo-1", path=[(80, 90), (30, 70), (25, None)], method="unlearning_npo"),
        make_record("npo-2", path=[(60, 70), (45, 50)], method="unlearning_npo", target="Japan", config={"lr": 1}),
        make_record("new-1", path=(), method="new", target="Japan", state="running", config={"lr": 2}),
    ]


@pytest.fixture
def index(runs: list[RunRecord], tmp_path: Path) -> Path:
    return write_index(runs, tmp_path / "index.html")


def names(page: Page) -> list[str]:
    """Rows of the comparison table, by name; the fixture's sources end with it."""
    rows = [v for tag, v in page.elements if tag == "span" and v.get("title", "").startswith("entity/project/")]
    return [values["title"].rsplit("/", 1)[-1] for values in rows][:-2]  # the last two head the table of two runs


def test_draws_a_path_and_a_row_for_each_run(index: Path, open_page: OpenPage) -> None:
    page = open_page(index)
    assert page.language == "en"
    # By method, then by concept: Japan goes before William Shakespeare.
    assert names(page) == ["ours-1", "ours-2", "npo-2", "npo-1", "new-1"]
    # The frontier, then one panel each for forget and neighbor: four runs have scores.
    assert page.classes.count("chart") == 3
    assert [v["data-run"] for tag, v in page.elements if tag == "g"] == ["0", "1", "2", "3"] * 3
    assert "5 of 5 runs" in page.text
    assert "No shown point for 2 of the runs, which have no such scores after the start: npo-1, new-1" in page.text


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        ("target=Japan", ["npo-2", "new-1"]),
        ("seed=1", ["ours-2"]),
        ("q=NPO+retain", ["npo-2", "npo-1"]),
        ("off=0.2", ["npo-2", "npo-1"]),
        ("q=no+such", []),
    ],
)
def test_filters(index: Path, open_page: OpenPage, fragment: str, expected: list[str]) -> None:
    page = open_page(index, fragment)
    assert names(page) == expected
    assert f"{len(expected)} of 5 runs" in page.text
    assert ("No run fits" in page.text) == (not expected)


@pytest.mark.parametrize(
    ("fragment", "expected"),
    [
        # Of the last stages: forget 20, 40, 25, 45 and a gap.
        ("sort=forget/all", ["ours-1", "npo-1", "ours-2", "npo-2", "new-1"]),
        ("sort=forget/all&down=1", ["npo-2", "ours-2", "npo-1", "ours-1", "new-1"]),
        # Since before: -60, -40, -55, -15.
        ("sort=forget/all&cells=change&down=1", ["npo-2", "ours-2", "npo-1", "ours-1", "new-1"]),
        ("sort=run", ["new-1", "npo-1", "npo-2", "ours-1", "ours-2"]),
    ],
)
def test_sorts_with_gaps_last(index: Path, open_page: OpenPage, fragment: str, expected: list[str]) -> None:
    assert names(open_page(index, fragment)) == expected


def test_matched_forgetting_is_the_same_rule_for_every_run(index: Path, open_page: OpenPage) -> None:
    page = open_page(index, "rule=matched&level=35&a=0&b=3")
    # ours-1 falls from 50 to 20 and passes 35 half-way: neighbor 70. npo-1 falls from 80 to 30 and passes it at
    # 9/10: neighbor 72. ours-2 and npo-2 stay above.
    assert "01-unlearn → 02-unlearn (50%)" in page.text
    assert "00-before → 01-unlearn (90%)" in page.text
    assert "70.0" in page.text
    assert "72.0" in page.text
    assert page.text.count("where it first falls to Forget · all questions ≤ 35%") == 3
    assert "3 of the runs, which never fall to this level or lack a score beside it: ours-2, npo-2, new-1" in page.text


def test_two_runs_differ_where_their_configs_do(index: Path, open_page: OpenPage) -> None:
    page = open_page(index, "a=2&b=4")
    values = [v for tag, v in page.elements if tag == "tr" and "differs" in v.get("class", "")]
    # Method, source and state, and the one key of both configs.
    assert len(values) == 4
    assert "lr12" in page.text
    assert "The configs are the same" in open_page(index, "a=0&b=3").text
    assert "task.training_module.learning_rate" in open_page(index, "a=0&b=3&keys=all").text


def test_speaks_chinese(index: Path, open_page: OpenPage) -> None:
    page = open_page(index, "lang=zh")
    assert page.language == "zh"
    for words in ("5 次运行中的 5 次", "ATU", "遗忘 · 全部问题, % (越低越好 ←)", "尚无得分"):
        assert words in page.text


def test_pointer_keyboard_and_buttons(index: Path, open_page: OpenPage, tmp_path: Path) -> None:
    def act(actions: str) -> Page:
        return open_page(acting_copy(index, actions, tmp_path))

    key = 'const press = (key) => chart.dispatchEvent(new KeyboardEvent("keydown", {key}));'
    chart = f'const chart = document.querySelector("#frontier-chart svg"); {key} '
    # From the last stage of the first run one back, then to the second run, which has one stage less.
    assert "01-unlearn↓ Forget · all questions 50.0% (42.0% – 58.0%)" in act(f'{chart} press("ArrowLeft");').text
    second = act(f'{chart} press("End"); press("ArrowDown");')
    assert "ours-2ATU · William Shakespeare · seed 1" in second.text
    assert "is-on" in second.classes
    npo = act('document.querySelector("[data-method=\\"1\\"]").click();')
    assert names(npo) == ["ours-1", "ours-2", "new-1"]
    assert names(act('document.querySelector("[data-sort=\\"forget/all\\"]").click();'))[0] == "ours-1"
    assert act("document.querySelector('[data-side=a2]').click();").text.count("A · npo-2") == 1
    assert act('document.querySelector("[data-set-lang=zh]").click();').language == "zh"


def test_names_never_run(make_record: MakeRecord, open_page: OpenPage, tmp_path: Path) -> None:
    bad = "</script><script>document.body.dataset.owned=1</script><img src=x onerror=alert(2)>"
    run = make_record(bad, method=bad, target=bad, model=bad, state=bad, source=bad, config={bad: bad})
    score = Score(value=20.0, n=9, low=10.0, high=30.0)
    attack = AttackRow(
        attack=bad,
        setting=bad,
        model="unlearned",
        seed=None,
        step=None,
        group="forget/all",
        score=score,
        degenerate=None,
        recovered=0.1,
    )
    page = open_page(write_index([run, run], tmp_path / "index.html", [[attack], []]), "keys=all")
    assert page.text.count(bad) > 5
    assert page.tags.count("script") == 2
    assert "img" not in page.tags


def test_a_missing_score_breaks_the_curves(make_record: MakeRecord, open_page: OpenPage, tmp_path: Path) -> None:
    runs = [make_record(path=[(80, 90), (50, None), (20, 60)])]
    page = open_page(write_index(runs, tmp_path / "index.html"))
    lengths = [len(points.split()) for points in page.values("points", "polyline")]
    # Frontier: before, gap, last. Forget: all three. Neighbor: before, gap, last.
    assert lengths == [1, 1, 3, 1, 1]


def test_attacks_are_drawn(runs: list[RunRecord], open_page: OpenPage, tmp_path: Path) -> None:
    def row(attack: str, setting: str, step: float | None, value: float) -> AttackRow:
        score = Score(value=value, n=60, low=value - 8, high=value + 8)
        return AttackRow(
            attack=attack,
            setting=setting,
            model="unlearned",
            seed=0,
            step=step,
            group="forget/all",
            score=score,
            degenerate=0.0,
            recovered=value / 100,
        )

    relearn = [row("relearn", "lora", step, value) for step, value in ((0, 20), (10, 50), (20, math.nan), (40, 40))]
    quantize = [row("quantize", setting, None, 21) for setting in ("int8", "nf4")]
    page = open_page(write_index(runs, tmp_path / "index.html", [[*relearn, *quantize], [], [], [], []]))
    assert "Held-out relearning" in page.text
    assert "Quantisation" in page.text
    # Most came back at step 10, of which 0.5; the curve is broken where there is no number.
    assert "Held-out relearningloraours-1↓ Forget · all questions1050.0% (42.0% – 58.0%)50.0%0.0%" in page.text
    hidden = open_page(tmp_path / "index.html", "off=0")
    assert "No shown run was attacked" in hidden.text


def test_runs_without_any_score_have_a_page(make_record: MakeRecord, open_page: OpenPage, tmp_path: Path) -> None:
    runs = [make_record("a", path=(), state="failed"), make_record("b", path=[(None, None)], state="interrupted")]
    page = open_page(write_index(runs, tmp_path / "index.html"))
    assert names(page) == ["a", "b"]
    assert "failed" in page.text
    assert "interrupted" in page.text


def test_six_hundred_runs_stay_quick(make_record: MakeRecord, tmp_path: Path) -> None:
    runs = [make_record(f"run-{n}", target=f"{n % 200}_Someone", seed=n // 200) for n in range(600)]
    path = write_index(runs, tmp_path / "index.html")
    start = time.monotonic()
    page = Page(browse(path, tmp_path / "profile", "--dump-dom", fragment="sort=forget/all").stdout)
    # A browser's start takes 1 to 3 s.
    assert time.monotonic() - start < 20
    assert len(names(page)) == 150
    assert "Show all 600 runs" in page.text
