"""`atu compare` and `atu demo`: both models side by side, on a page that opens offline and on one that asks them."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from pages import Page, acting, assert_self_contained, browse, needs_browser, read_page
from typer.testing import CliRunner
from workplace import Workplace

from atu.cli import app
from atu.entry.compare import example_prompts, read_prompts
from atu.errors import UserError
from atu.report.compare_page import ComparedPrompt, demo_page, write_comparison
from atu.report.demo import HOST, demo_server
from atu.run import run
from atu.text.prompts import plain_question

HOSTILE = "<script>alert(1)</script>"
ANSWERS = [[("It was", False), ("1564", True)], [("It was", False), ("long ago", True)]]


def test_the_page_shows_what_differs_and_escapes_what_models_say(tmp_path: Path) -> None:
    path = tmp_path / "compared.html"
    rows = [ComparedPrompt("When?", ANSWERS), ComparedPrompt(HOSTILE, [[("same", False)], [("same", False)]])]
    write_comparison(path, ["before", HOSTILE], rows)
    assert_self_contained(path)
    page = read_page(path)
    assert "1 of 2 answers differ" in page.text
    assert "2 个回答中有 1 个不同" in page.text
    assert page.classes.count("other") == 2
    assert page.tags.count("script") == 2  # the page's own
    assert HOSTILE in page.text


def test_two_models_are_asked_the_prompts_of_a_file(workplace: Workplace, tmp_path: Path) -> None:
    folder = run(workplace.config("task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 4}]")).root
    prompts, out = tmp_path / "prompts.txt", tmp_path / "compared.html"
    prompts.write_text('What is a river?\n\n{"prompt": "What is a castle?", "group": "forget/qa"}\n', encoding="utf-8")
    command = ["compare", str(workplace.model), str(folder), "--prompts", str(prompts), "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--max-new-tokens", "4"])
    assert done.exit_code == 0, done.output
    text = read_page(out).text
    assert "What is a river?" in text
    assert "What is a castle?" in text
    assert str(folder) in text
    for broken, said in (
        ("", "has 0 prompts"),
        ('{"question": "?"}\n', 'line 1: an object needs a "prompt"'),
        ("{\n", "line 1: not valid JSON"),
    ):
        prompts.write_text(broken, encoding="utf-8")
        with pytest.raises(UserError, match=said):
            read_prompts(prompts)
    with pytest.raises(UserError, match="does not exist"):
        read_prompts(tmp_path / "none")


def test_examples_are_questions_of_the_run_as_a_reader_would_ask_them(workplace: Workplace) -> None:
    assert (
        plain_question("Please briefly answer the following question.\nQuestion: Who wrote it?\nAnswer:")
        == "Who wrote it?"
    )
    assert plain_question("Who wrote it?") == "Who wrote it?"
    assert example_prompts(workplace.root / "nothing") == []


def slow_no_more(prompt: str) -> Sequence[Sequence[tuple[str, bool]]]:
    if prompt == "too long":
        raise UserError("The prompt is longer than the model reads.")
    return [*ANSWERS[:1], [("It was", False), (f"<b>{prompt}</b>", True)]]


@contextmanager
def served(page: str) -> Iterator[str]:
    with demo_server(page, slow_no_more, 0) as (server, address):
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield address
        finally:
            server.shutdown()
            thread.join()


def request(address: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(HOST, int(address.rstrip("/").rpartition(":")[2]), timeout=10)
    connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_server_answers_its_own_page_alone() -> None:
    with served(demo_page(["before", "after"], "run", [])) as address:
        assert request(address, "GET", "/")[0] == 200
        assert request(address, "GET", "/etc/passwd")[0] == 404
        asked = json.dumps({"prompt": "When?"}).encode()
        status, body = request(address, "POST", "/ask", asked)
        assert (status, json.loads(body)["answers"][0]) == (200, [["It was", False], ["1564", True]])
        # A page of another host, also one whose name was made to lead here.
        assert request(address, "POST", "/ask", asked, Origin="http://evil.example")[0] == 403
        assert request(address, "POST", "/ask", asked, Host="evil.example")[0] == 403
        assert request(address, "GET", "/", Host="evil.example")[0] == 404
        for wrong in (b"", b"[]", b"{}", json.dumps({"prompt": "too long"}).encode()):
            assert request(address, "POST", "/ask", wrong)[0] == 400
        assert request(address, "POST", "/ask", b"x" * 70_000)[0] == 403
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(UserError, match=f"Port {port} is taken"), demo_server("", slow_no_more, port):
            pass


@needs_browser
def test_a_reader_asks_by_the_keyboard(tmp_path: Path) -> None:
    actions = """
    addEventListener("load", () => {
      const prompt = document.getElementById("prompt");
      prompt.focus();
      prompt.value = "When <i>then</i>?";
      prompt.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true }));
    });
    """
    page = acting(demo_page(["before", "after"], "run", ["Who wrote it?"]), actions)
    with served(page) as address:
        dom = Page(browse(address, tmp_path / "profile", "--dump-dom").stdout)
    assert "When <i>then</i>?" in dom.text
    assert "<b>When <i>then</i>?</b>" in dom.text
    assert dom.classes.count("other") == 2
    assert "Who wrote it?" in dom.values("data-example")


@needs_browser
def test_the_pages_fit_a_phone(tmp_path: Path) -> None:
    path = tmp_path / "compared.html"
    long = "Donaudampfschifffahrtsgesellschaft" * 4
    write_comparison(path, [f"runs/{long}", "after"], [ComparedPrompt(long, [[(long, True)], [("x", True)]])])
    measure = "document.title = `${document.documentElement.scrollWidth} of ${innerWidth}`"
    for name, text in (("a", path.read_text(encoding="utf-8")), ("b", demo_page(["before", "after"], long, [long]))):
        copy = tmp_path / f"{name}.html"
        copy.write_text(acting(text, f'addEventListener("load", () => {{ {measure} }})'), encoding="utf-8")
        dom = browse(copy, tmp_path / "profile", "--dump-dom", "--window-size=500,900").stdout
        title = dom.partition("<title>")[2].partition("</title>")[0]
        wide, _, room = title.partition(" of ")
        assert int(wide) <= int(room), title
