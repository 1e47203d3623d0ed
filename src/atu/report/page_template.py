"""What every page shares: one file that opens offline, in two languages, with all text of models escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from atu.benchmarks.comparison import number, signed
from atu.records import KNOWN_VALUES, Words
from atu.report.metrics import describe, family_label
from atu.report.words import TEMPLATES, page_words
from atu.runs.progress import duration
from atu.text.metric_words import DIRECTIONS, KNOWN_SUFFIX


def render_page(
    template: str,
    *,
    title: str,
    sections: Sequence[str],
    scripts: Sequence[str],
    styles: Sequence[str],
    data: Mapping[str, Any],
    **values: Any,
) -> str:
    """A self-contained page: style, script and data are inside it, and its policy forbids every request.

    Args:
        template: a file of `templates/` that extends `layout.html.j2`.
        title: key of the page's title in `words.json`.
        sections: ids of the sections that the page's navigation leads to; their titles are `section_<id>`.
        scripts: files of `templates/`, in the order in which they run.
        styles: files of `templates/`.
        data: what the scripts draw, as JSON values.
        **values: what the template itself shows.
    """
    body = "\n".join(_read(name) for name in scripts)
    script = f'(() => {{\n"use strict";\n{body}}})();\n'
    page = (
        _environment()
        .get_template(template)
        .render(
            title=title,
            sections=sections,
            data=Markup(script_json({**data, "title": title, "words": page_words()})),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=Markup("\n".join(_read(name) for name in styles)),
            **values,
        )
    )
    return page.encode("utf-8", "replace").decode()  # without halves of surrogate pairs, which no file can hold


def script_json(value: Any) -> str:
    """JSON that is safe inside a `<script>` element, whatever a model said.

    `<`, `>` and `&` can't end the element or start a comment, and the two line separators that
    older JavaScript takes for line ends are escaped as well.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "duration": duration}
    environment.globals |= {
        "t": _both_languages,
        "w": _interface_words,
        "words": page_words(),
        "directions": DIRECTIONS,
        "describe": describe,
        "family_label": family_label,
        "known_suffix": KNOWN_SUFFIX,
        "known_values": KNOWN_VALUES,
    }
    return environment


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _both_languages(words: Words) -> Markup:
    """Both languages side by side; the style sheet shows the one that is chosen."""
    if words.en == words.zh:
        return Markup("{}").format(words.en)
    return Markup('<span class="en" lang="en">{}</span><span class="zh" lang="zh">{}</span>').format(*words)


def _interface_words(key: str, **values: object) -> Markup:
    """Words of the page itself, from `words.json`."""
    return _both_languages(Words(*(text.format(**values) for text in page_words()[key])))
