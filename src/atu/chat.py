"""A run's model before and after, asked the same things: what each says, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atu.evaluation.evaluate import decode_answer
from atu.evaluation.generate import Prompt, generate
from atu.models.config import ModelConfig
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.text.escaping import one_line
from atu.training.device import choose_compute, set_threads

_DIFFERENT = "bold underline"
"""How words are shown that the other model did not say: seen without colors, too."""


@dataclass(frozen=True)
class Side:
    """A model, and what it is called above its answers."""

    title: str
    llm: LanguageModel


def load_sides(
    models: Sequence[tuple[str, ModelConfig]], *, device: Literal["auto", "cpu", "cuda"], threads: int | None
) -> list[Side]:
    """Load the models, each under its title.

    Raises:
        UserError: one cannot be loaded.
    """
    set_threads(threads)
    where = str(choose_compute(device, "fp32").device)
    return [Side(title, load_language_model(config, device=where)) for title, config in models]


def talk(sides: Sequence[Side], prompts: Iterable[str], console: Console, *, max_new_tokens: int) -> None:
    """Ask every model each prompt, and print the answers side by side.

    Each prompt is asked by itself: neither model sees what was said before.

    Raises:
        UserError: a prompt is longer than a model reads.
    """
    for prompt in prompts:
        answers = [answer(side.llm, prompt, max_new_tokens=max_new_tokens) for side in sides]
        table = Table(box=box.SIMPLE_HEAD, expand=True)
        for side in sides:
            table.add_column(side.title, ratio=1, overflow="fold")
        table.add_row(*marked(answers))
        console.print(table)


def answer(llm: LanguageModel, prompt: str, *, max_new_tokens: int) -> str:
    """The model's greedy answer to a user's message, on one line.

    Raises:
        UserError: the prompt is longer than the model reads.
    """
    ids = tuple(llm.encode(llm.render(prompt, "")))
    (found,) = generate(llm, [Prompt(ids=ids, max_new_tokens=max_new_tokens)], batch_size=1)
    end = "" if found.stop_id is not None else " …"
    return one_line(decode_answer(llm, ids, found.ids)).strip() + end


def marked(answers: Sequence[str]) -> list[Text]:
    """The answers, with those words of each marked that the first does not have there, and of the first those that the
    last does not have."""
    words = [text.split() for text in answers]
    shown = []
    for number, own in enumerate(words):
        other = words[-1] if number == 0 else words[0]
        same = SequenceMatcher(a=own, b=other, autojunk=False).get_matching_blocks()
        kept = {place for block in same for place in range(block.a, block.a + block.size)}
        text = Text()
        for place, word in enumerate(own):
            text.append(" " if place else "")
            text.append(word, style="" if place in kept else _DIFFERENT)
        shown.append(text)
    return shown
