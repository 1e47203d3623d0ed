"""What a prompt asks, without the words around it that all prompts of a benchmark have."""

from __future__ import annotations

import re

_QUESTION = re.compile(r"Question: (.+?)(?:\n|$)")


def plain_question(prompt: str) -> str:
    """The question behind `Question: `, where there is one; else the prompt as it is."""
    match = _QUESTION.search(prompt)
    return match[1].strip() if match else prompt
