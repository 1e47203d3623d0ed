"""A run's model before and after, asked the same things: what each says, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atu.evaluation.batching import Progress
from atu.evaluation.evaluate import decode_answer
from atu.evaluation.generate import Prompt, generate
from atu.models.config import ModelConfig
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.text.escaping import one_line
from atu.training.device import choose_compute

_BATCH_SIZE = 32
_DIFFERENT = "bold underline"
"""How words are shown that the other model did not say: seen without colors, too."""


@dataclass(frozen=True)
class Side:
    """A model, and what it is called above its answers."""

    title: str
    llm: LanguageModel


def load_sides(models: Sequence[tuple[str, ModelConfig]], *, device: Literal["auto", "cpu", "cuda"]) -> list[Side]:
    """Load the models, each under its title.

    Raises:
        UserError: one cannot be loaded.
    """
    where = str(choose_compute(device, "fp32").device)
    return [Side(title, load_language_model(config, device=where)) for title, config in models]


def talk(sides: Sequence[Side], prompts: Iterable[str], console: Console, *, max_new_tokens: int) -> None:
    """Ask every model each prompt, and print the answers side by side.

    Each prompt is asked by itself: neither model sees what was said before.

    Raises:
        UserError: a prompt is longer than a model reads.
    """
    for prompt in prompts:
        answers = [one_line(answer_all(side.llm, [prompt], max_new_tokens=max_new_tokens)[0]) for side in sides]
        table = Table(box=box.SIMPLE_HEAD, expand=True)
        for side in sides:
            table.add_column(side.title, ratio=1, overflow="fold")
        table.add_row(*marked(answers))
        console.print(table)


def answer_all(
    llm: LanguageModel, prompts: Sequence[str], *, max_new_tokens: int, progress: Progress | None = None
) -> list[str]:
    """The model's greedy answer to each message of a user; one that was cut off ends in an ellipsis.

    Raises:
        UserError: a prompt is longer than the model reads.
    """
    asked = [Prompt(ids=tuple(llm.encode(llm.render(text, ""))), max_new_tokens=max_new_tokens) for text in prompts]
    found = generate(llm, asked, batch_size=_BATCH_SIZE, progress=progress)
    return [
        decode_answer(llm, prompt.ids, one.ids).strip() + ("" if one.stop_id is not None else " …")
        for prompt, one in zip(asked, found, strict=True)
    ]


Part = tuple[str, bool]
"""Words in a row, and whether they differ from what the other model says."""


def marked(answers: Sequence[str]) -> list[Text]:
    """The answers with their `different_parts` marked."""
    shown = []
    for parts in different_parts(answers):
        text = Text()
        for number, (words, is_different) in enumerate(parts):
            text.append(" " if number else "")
            text.append(words, style=_DIFFERENT if is_different else "")
        shown.append(text)
    return shown


def different_parts(answers: Sequence[str]) -> list[list[Part]]:
    """Each answer in parts: words that the first answer does not have there are different; of the first those that the
    last does not have."""
    words = [text.split() for text in answers]
    found = []
    for number, own in enumerate(words):
        other = words[-1] if number == 0 else words[0]
        same = SequenceMatcher(a=own, b=other, autojunk=False).get_matching_blocks()
        kept = {place for block in same for place in range(block.a, block.a + block.size)}
        runs = groupby(enumerate(own), key=lambda pair: pair[0] not in kept)
        found.append([(" ".join(word for _, word in run), is_different) for is_different, run in runs])
    return found
