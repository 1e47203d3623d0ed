"""What a prompt asks, without the words around it that all prompts of a benchmark have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

_FEWEST = 3
"""Prompts of which something in common is their wording, and no accident."""
_QUESTION = re.compile(r"Question: (.+?)(?:\n|$)")


def plain_question(prompt: str) -> str:
    """The question behind `Question: `, where there is one; else the prompt as it is."""
    match = _QUESTION.search(prompt)
    return match[1].strip() if match else prompt


def common_wording(prompts: Sequence[str]) -> tuple[str, str]:
    """What all of the prompts begin and end with, whole lines of it, or up to a colon; nothing for a few prompts.

    `Please answer.\\nQuestion: Who wrote it?\\nAnswer:` and others like it have `Please answer.\\nQuestion: ` and
    `\\nAnswer:` in common, whatever the questions begin with.
    """
    if len(set(prompts)) < _FEWEST:
        return "", ""
    shared = _shared(prompts)
    before = shared[: max(shared.rfind("\n") + 1, shared.rfind(": ") + 2 if ": " in shared else 0)]
    after = _shared([prompt[len(before) :][::-1] for prompt in prompts])[::-1]
    return before, after[after.find("\n") :] if "\n" in after else ""


def _shared(texts: Sequence[str]) -> str:
    """The longest beginning of all."""
    first, last = min(texts), max(texts)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False)))
