"""Names of others in each format, read back by that format's own reader."""

from __future__ import annotations

import csv
import io
import re

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from atu.runs.opening import name_fault
from atu.text.escaping import csv_text, file_name, latex, markdown, markdown_code, one_line

NASTY = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="\\{}$&#^_%~<>|[]*`!-+=@'\"\n\r\t;:./ a1", max_size=30),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Lu"]), max_size=20),
)


@settings(max_examples=200, deadline=None)
@given(NASTY)
@example("\x1b[2J\x1b]0;owned\x07name")
@example("evil\u202egpj.exe")
@example("\ud800")
def test_a_line_has_nothing_that_a_terminal_obeys(text: str) -> None:
    line = one_line(text)
    assert len(line) == len(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)
    line.encode()


def latex_text(source: str) -> str:
    """What LaTeX prints; raises where an unescaped special is left. A reader of what `latex` may write, and no more."""
    words = {"textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<",
             "textgreater": ">", "textbar": "|"}  # fmt: skip
    tokens = re.compile(r"\\([a-z]+)\{\}|\\([&%$#_{}])|\{([\[*])\}|\$\\([a-z]+)\$|([^\\{}$&#^_%~<>|\[*])", re.DOTALL)
    shown, place = [], 0
    while place < len(source):
        found = tokens.match(source, place)
        assert found, f"unescaped at {source[place:]!r}"
        word, sign, group, symbol, plain = found.groups()
        shown.append(words[word] if word else f"${symbol}$" if symbol else sign or group or plain)
        place = found.end()
    return "".join(shown)


@settings(max_examples=200, deadline=None)
@given(NASTY)
@example("a\n\\input{/etc/passwd}")
@example("[1cm] \\\\ *")
def test_latex_prints_the_text_and_runs_nothing_of_it(text: str) -> None:
    symbols = {"↓": "$downarrow$", "↑": "$uparrow$", "·": "$cdot$", "±": "$pm$", "−": "--", "–": "--", "\ufffd": "?"}
    assert latex_text(latex(text)) == "".join(symbols.get(sign, sign) for sign in one_line(text))
    assert "\n" not in latex(text)


@settings(max_examples=200, deadline=None)
@given(st.lists(NASTY, min_size=1, max_size=3))
@example(['=HYPERLINK("http://x","y")', "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"])
def test_no_cell_of_a_csv_file_is_a_formula(texts: list[str]) -> None:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerow([*map(csv_text, texts), "end"])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert row[-1] == "end"
    for cell, text in zip(row[:-1], texts, strict=True):
        assert not re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", cell)
        assert cell in (one_line(text), f"'{one_line(text)}")


def shown(source: str) -> tuple[str, set[str]]:
    """The text that a Markdown reader shows, and the kinds of markup in it."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(source)
    inner = [child for token in tokens for child in token.children or ()]
    return "".join(child.content for child in inner), {token.type for token in (*tokens, *inner)}


@settings(max_examples=200, deadline=None)
@given(NASTY)
@example("<script>alert(1)</script>")
@example("![x](http://x/y.png) [a](b) | c")
@example("1. one")
@example("# head")
@example("&lt;b&gt; *a* __b__ ~~c~~ `d`")
def test_markdown_shows_the_text_and_nothing_of_it_is_markup(text: str) -> None:
    plain = one_line(text).strip()
    for form in ("x {} x", "# {}", "- {}", "{}"):
        told, kinds = shown(form.format(markdown(text)))
        assert told.split() == form.removeprefix("# ").removeprefix("- ").format(plain).split()
        assert kinds <= {"text", "inline", "paragraph_open", "paragraph_close", "heading_open", "heading_close",
                         "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"}  # fmt: skip
    told, kinds = shown(f"| a | b |\n| --- | --- |\n| {markdown(text)} | c |")
    assert told.split() == f"ab{plain}c".split()


@settings(max_examples=100, deadline=None)
@given(NASTY)
def test_a_span_of_code_ends_where_it_should(text: str) -> None:
    _, kinds = shown(f"by {markdown_code(text)} <end>")
    assert kinds <= {"text", "inline", "paragraph_open", "paragraph_close", "code_inline", "html_inline"}


@settings(max_examples=200, deadline=None)
@given(NASTY)
@example("../../etc/passwd")
@example("CON")
@example("lpt1.txt")
@example("日本" * 200)
def test_a_file_name_is_one_on_every_system(text: str) -> None:
    name = file_name(text)
    assert 0 < len(name.encode()) <= 120
    assert not set(name) & set('/\\:*?"<>|\0\n')
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    assert not re.match(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name)


@settings(max_examples=100, deadline=None)
@given(NASTY)
def test_what_is_made_a_file_name_is_taken_for_the_name_of_a_run(text: str) -> None:
    assert name_fault(file_name(text)) in (None, name_fault("a.lock"), name_fault("a.partial"))


def test_long_names_that_differ_at_their_end_stay_two() -> None:
    assert file_name("a" * 300 + "b") != file_name("a" * 300 + "c")


@pytest.mark.parametrize("text", ["1_Stephen_King", "unlearning_atu", "A_B & 50%", "Duran Duran (band)", "x < y: 3.5%"])
def test_common_names_stay_readable(text: str) -> None:
    assert markdown(text) == text.replace("<", "&lt;")
    assert csv_text(text) == text


@settings(max_examples=100, deadline=None)
@given(NASTY)
@example("a: b\n---\nlicense: mit")
def test_a_line_survives_yaml(text: str) -> None:
    written = yaml.safe_dump({"base_model": one_line(text)}, sort_keys=False, allow_unicode=True)
    assert not re.search(r"^---", written, re.MULTILINE)
    assert yaml.safe_load(written) == {"base_model": one_line(text)}
