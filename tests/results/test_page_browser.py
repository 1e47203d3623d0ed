"""The page in a real browser: the script runs, filters, speaks two languages, asks the network nothing."""

from __future__ import annotations

import dataclasses
import html.parser
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from atu.results.page import write_report
from atu.results.run_folder import RunFolder

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="needs a browser: apt-get install --no-install-recommends chromium"
)

MakeRun = Callable[..., RunFolder]


def browse(page: Path, profile: Path, *arguments: str, fragment: str = "") -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            "--window-size=1280,900",
            "--virtual-time-budget=5000",
            "--lang=en-US",
            "--enable-logging=stderr",
            "--v=0",
            *arguments,
            f"file://{page}{f'#{fragment}' if fragment else ''}",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


class Dom(html.parser.HTMLParser):
    """What the tests ask of the finished page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[str] = []
        self.classes: list[str] = []
        self.tags: list[str] = []
        self.language = ""
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.tags.append(tag)
        self.classes.extend((values.get("class") or "").split())
        if tag == "html":
            self.language = values.get("lang") or ""
        if "data-id" in values:
            self.rows.append(values["data-id"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def open_page(tmp_path: Path) -> Callable[..., Dom]:
    """Opens a page; fails on any message of the browser's console."""

    def open_it(page: Path, fragment: str = "") -> Dom:
        done = browse(page, tmp_path / "profile", "--dump-dom", fragment=fragment)
        console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert console == []
        return Dom(done.stdout)

    return open_it


def test_draws_charts_and_the_first_page_of_answers(make_run: MakeRun, open_page: Callable[..., Dom]) -> None:
    dom = open_page(write_report(make_run(num_answers=69)))
    assert len(dom.rows) == 25
    assert dom.language == "en"
    # One panel each for the five train/* metrics, align/loss, retrieval, and the two cosines together.
    assert dom.classes.count("chart") == 2 + 8
    assert dom.classes.count("hit") > 10
    assert "69 of 69 answers" in dom.text
    assert "Page 1 of 3" in dom.text


def test_state_in_the_fragment_sets_language_search_and_filters(
    make_run: MakeRun, open_page: Callable[..., Dom]
) -> None:
    page = write_report(make_run(num_answers=23))
    dom = open_page(page, "lang=zh&q=HAMLET&group=forget&outcome=forgotten")
    # By hand from the fixture: "Hamlet" is in four rows (two of them fill-ins and questions that the
    # model forgot, one by its reference alone); all are about the concept.
    assert dom.language == "zh"
    assert dom.rows == ["builtin/shakespeare/forget_fb/0", "builtin/shakespeare/forget_aa/10"]
    assert "23 条回答中的 2 条" in dom.text
    assert "mark" in dom.tags


def test_filters_by_attack_and_collapse(make_run: MakeRun, open_page: Callable[..., Dom]) -> None:
    page = write_report(make_run(num_answers=23))
    assert open_page(page, "attack=reverse").rows == ["builtin/shakespeare/forget_aa/10"]
    # One answer repeats itself and one is empty.
    assert open_page(page, "outcome=degenerate").rows == [
        "builtin/shakespeare/forget_aa/10",
        "builtin/shakespeare/forget_aa/11",
    ]
    assert "No answer fits" in open_page(page, "q=nothing+like+this").text


def test_ten_thousand_answers_stay_quick(make_run: MakeRun, tmp_path: Path) -> None:
    page = write_report(make_run(num_answers=10_000))
    start = time.monotonic()
    dom = Dom(browse(page, tmp_path / "profile", "--dump-dom", fragment="q=shakespeare&page=3").stdout)
    seconds = time.monotonic() - start
    assert len(dom.rows) == 25
    # A browser's start takes 1 to 3 s; building 10,000 rows would take far more.
    assert seconds < 20
    assert page.stat().st_size < 8e6


def test_model_output_never_runs(
    make_run: MakeRun, open_page: Callable[..., Dom], hostile: Callable[[RunFolder], None]
) -> None:
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
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        done = threading.Event()

        def listen() -> None:
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    asked.append(connection.recv(1000))

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


def test_pointer_keyboard_and_buttons(make_run: MakeRun, open_page: Callable[..., Dom], tmp_path: Path) -> None:
    """A copy without the policy, in which a script does what a reader would do."""
    text = write_report(make_run(num_answers=69)).read_text(encoding="utf-8")
    copy = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)

    def act(actions: str) -> Dom:
        page = tmp_path / "acted.html"
        page.write_text(copy.replace("</body>", f"<script>{actions}</script></body>"), encoding="utf-8")
        return open_page(page)

    hover = 'document.querySelector("#tradeoff .hit").dispatchEvent(new Event("pointerenter"));'
    assert "Forget · all questions 87.0% (79.0% – 95.0%)" in act(hover).text
    arrow = 'document.querySelector("#panels svg").dispatchEvent(new KeyboardEvent("keydown", {key: "Home"}));'
    assert "optimizer step 303" in act(arrow).text
    chinese = act('document.querySelector("[data-set-lang=zh]").click();')
    assert chinese.language == "zh"
    assert "优化步数" in chinese.text
    pages = act('document.querySelector("#pager button:last-child").click();')
    assert "Page 2 of 3" in pages.text
    chip = act('document.querySelector("[data-outcome=degenerate]").click();')
    assert set(chip.rows) == {f"builtin/shakespeare/forget_aa/{i}" for i in (10, 11, 33, 34, 56, 57)}
    search = 'const q = document.getElementById("query"); q.value = "no such"; '
    assert act(search + 'q.dispatchEvent(new Event("input"));').rows == []


def test_scored_texts_have_a_row(make_run: MakeRun, open_page: Callable[..., Dom]) -> None:
    run = make_run(num_answers=3)
    (first, *_), (*_, last) = run.read_answers("00-before"), run.read_stages()
    text = dataclasses.replace(first, probe_id="mia/0", group="mia/fm", text="", values={"loss": 2.25})
    run.write_stage(last, [text])
    dom = open_page(write_report(run), "group=mia/fm")
    assert dom.rows == ["mia/0"]
    assert "loss 2.250" in dom.text


@pytest.mark.parametrize(("num_stages", "state"), [(0, "failed"), (1, "running"), (2, "interrupted"), (3, "failed")])
def test_unfinished_run_has_a_page(
    make_run: MakeRun, open_page: Callable[..., Dom], num_stages: int, state: str
) -> None:
    page = write_report(make_run(num_answers=5, num_stages=num_stages, state=state, message="The loss is NaN."))
    dom = open_page(page)
    assert state in dom.classes
    assert len(dom.rows) == (5 if num_stages else 0)
