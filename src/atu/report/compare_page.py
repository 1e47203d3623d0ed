"""Pages on which two models stand side by side: a file with their answers, and a page to ask them from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atu.report.page_template import render_page
from atu.storage.files import write_text_atomic

Part = tuple[str, bool]
"""Words in a row, and whether the other model does not say them there."""


@dataclass(frozen=True)
class ComparedPrompt:
    """What each model said to a prompt."""

    prompt: str
    answers: Sequence[Sequence[Part]]


def write_comparison(path: Path, titles: Sequence[str], rows: Sequence[ComparedPrompt]) -> None:
    """Write the page of two models' answers; it opens offline, and text of models is escaped.

    Raises:
        UserError: the disk refuses.
    """
    page = render_page(
        "compare.html.j2",
        title="compare_title",
        sections=("prompts",),
        scripts=("base.js", "start.js"),
        styles=("page.css", "compare.css"),
        data={},
        titles=titles,
        rows=rows,
        num_different=sum(any(is_different for said in row.answers for _, is_different in said) for row in rows),
    )
    write_text_atomic(path, page)


def demo_page(titles: Sequence[str], run: str, examples: Sequence[str]) -> str:
    """The page that `atu demo` serves. It asks nobody but the server that it comes from."""
    return render_page(
        "demo.html.j2",
        title="demo_title",
        sections=(),
        scripts=("base.js", "demo.js", "start.js"),
        styles=("page.css", "compare.css"),
        data={"titles": list(titles)},
        run=run,
        examples=examples,
    )
