"""The page in a real browser: the script runs, filters, speaks two languages, asks the network nothing."""

from __future__ import annotations

import dataclasses
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from pages import Page, acting_copy, browse, needs_browser

from atu.report.page import write_report
from atu.runs.run_folder import RunFolder

pytestmark = needs_browser

MakeRun = Callable[..., RunFolder]
OpenPage = Callable[..., Page]


def test_draws_charts_and_the_first_page_of_answers(make_run: MakeRun, open_page: OpenPage) -> None:
    dom = open_page(write_report(make_run(num_answers=69)))
    assert len(dom.values("data-id")) == 25
    assert dom.language == "en"
    # One panel each for the five train/* metrics, align/loss, retrieval, and the two cosines together.
    assert dom.classes.count("chart") == 2 + 8
    # Two families in the trade-off and four over the stages, each in its legend too, and four bands.
    assert dom.classes.count("by-family") == 2 * (2 + 4) + 4
    assert "69 of 69 answers" in dom.text
    assert "Page 1 of 3" in dom.text
    assert "NLL 0.40p 0.60" in dom.text  # of the first answer, before
    assert "NLL 1.00p 0.20" in dom.text  # and after


def test_state_in_the_fragment_sets_language_search_and_filters(make_run: MakeRun, open_page: OpenPage) -> None:
    page = write_report(make_run(num_answers=23))
    dom = open_page(page, "lang=zh&q=HAMLET&group=forget&outcome=forgotten")
    # By hand from the fixture: "Hamlet" is in four rows (two of them fill-ins and questions that the
    # model forgot, one by its reference alone); all are about the concept.
    assert dom.language == "zh"
    assert dom.values("data-id") == ["builtin/shakespeare/forget_fb/0", "builtin/shakespeare/forget_aa/10"]
    assert "23 条回答中的 2 条" in dom.text
    assert "mark" in dom.tags


def test_filters_by_attack_and_collapse(make_run: MakeRun, open_page: OpenPage) -> None:
    page = write_report(make_run(num_answers=23))
    assert open_page(page, "attack=reverse").values("data-id") == ["builtin/shakespeare/forget_aa/10"]
    # One answer repeats itself and one is empty.
    assert open_page(page, "outcome=degenerate").values("data-id") == [
        "builtin/shakespeare/forget_aa/10",
        "builtin/shakespeare/forget_aa/11",
    ]
    assert "No answer fits" in open_page(page, "q=nothing+like+this").text


def test_of_ten_thousand_answers_one_page_is_built(make_run: MakeRun, tmp_path: Path) -> None:
    page = write_report(make_run(num_answers=10_000))
    dom = Page(browse(page, tmp_path / "profile", "--dump-dom", fragment="q=shakespeare&page=3").stdout)
    assert len(dom.values("data-id")) == 25  # not 10,000 rows
    assert page.stat().st_size < 8e6


def test_model_output_never_runs(make_run: MakeRun, open_page: OpenPage, hostile: Callable[[RunFolder], None]) -> None:
    run = make_run(num_answers=3)
    hostile(run)
    page = write_report(run)
    dom = open_page(page, "q=" + quote("<script>"))
    assert "<script>alert(1)</script>" in dom.text
    assert "data-owned" not in page.read_text(encoding="utf-8")
    # The two scripts of the page itself, and no image.
    assert dom.tags.count("script") == 2
    assert "img" not in dom.tags


def test_policy_stops_every_request(make_run: MakeRun, tmp_path: Path) -> None:
    """Even markup that someone adds to the page by hand reaches no server."""
    asked: list[tuple[str, int]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                connection.close()
                asked.append(address)

        thread = threading.Thread(target=listen)
        thread.start()
        text = write_report(make_run(num_answers=3)).read_text(encoding="utf-8")
        url = f"http://127.0.0.1:{port}/x"
        added = (
            f'<img src="{url}"><link rel="stylesheet" href="{url}">'
            f'<script>fetch("{url}")</script><script src="{url}"></script>'
        )
        page = tmp_path / "changed.html"
        page.write_text(text.replace("</main>", f"{added}</main>"), encoding="utf-8")
        browse(page, tmp_path / "profile", "--dump-dom")
        (tmp_path / "open.html").write_text(f'<img src="{url}">', encoding="utf-8")
        assert asked == []
        browse(tmp_path / "open.html", tmp_path / "profile", "--dump-dom")
        done.set()
        thread.join()
    # The server does answer to a page without the policy, so the silence above means something.
    assert asked


def test_pointer_keyboard_and_buttons(make_run: MakeRun, open_page: OpenPage, tmp_path: Path) -> None:
    page = write_report(make_run(num_answers=69))

    def act(actions: str) -> Page:
        return open_page(acting_copy(page, actions, tmp_path))

    # The word "before" stands close below the first point.
    hover = (
        'const chart = document.querySelector("#tradeoff svg"); '
        'const at = chart.querySelector(".end").getBoundingClientRect(); '
        'chart.dispatchEvent(new PointerEvent("pointermove", {clientX: at.x + at.width / 2, clientY: at.y}));'
    )
    assert "Forget · all questions 87.0% (79.0% – 95.0%)" in act(hover).text
    last = 'document.querySelector("#overstages svg").dispatchEvent(new KeyboardEvent("keydown", {key: "End"}));'
    assert "Forget · all questions 23.0% (15.0% – 31.0%)" in act(last).text
    arrow = 'document.querySelector("#panels svg").dispatchEvent(new KeyboardEvent("keydown", {key: "Home"}));'
    assert "optimizer step 303" in act(arrow).text
    chinese = act('document.querySelector("[data-set-lang=zh]").click();')
    assert chinese.language == "zh"
    assert "优化步数" in chinese.text
    pages = act('document.querySelector("#pager button:last-child").click();')
    assert "Page 2 of 3" in pages.text
    chip = act('document.querySelector("[data-outcome=degenerate]").click();')
    assert set(chip.values("data-id")) == {f"builtin/shakespeare/forget_aa/{i}" for i in (10, 11, 33, 34, 56, 57)}
    search = 'const q = document.getElementById("query"); q.value = "no such"; '
    assert act(search + 'q.dispatchEvent(new Event("input"));').values("data-id") == []


def test_scored_texts_have_a_row(make_run: MakeRun, open_page: OpenPage) -> None:
    run = make_run(num_answers=3)
    (first, *_), (*_, last) = run.read_answers("00-before"), run.read_stages()
    text = dataclasses.replace(first, probe_id="mia/0", group="mia/fm", text="", values={"loss": 2.25})
    run.write_stage(last, [text])
    run.set_status("done", last.label, "")
    dom = open_page(write_report(run), "group=mia/fm")
    assert dom.values("data-id") == ["mia/0"]
    assert "loss 2.250" in dom.text


@pytest.mark.parametrize(("num_stages", "state"), [(0, "failed"), (1, "running"), (2, "interrupted"), (3, "failed")])
def test_unfinished_run_has_a_page(make_run: MakeRun, open_page: OpenPage, num_stages: int, state: str) -> None:
    page = write_report(make_run(num_answers=5, num_stages=num_stages, state=state, message="The loss is NaN."))
    dom = open_page(page)
    assert state in dom.classes
    assert len(dom.values("data-id")) == (5 if num_stages else 0)
