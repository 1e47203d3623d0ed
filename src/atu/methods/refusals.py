"""Answers that profess ignorance, in place of the forget texts: what DPO prefers and refusal tuning teaches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from atu.records import Text

REFUSALS = (
    "I don't know.",
    "I don't know anything about that.",
    "I'm sorry, I can't help you there.",
    "I'm not familiar with this.",
    "That is something I have no information about.",
    "I have never heard of it.",
    "Sorry, I don't have an answer to that.",
    "I'm afraid I don't know.",
    "I can't tell you anything about this.",
    "I have no knowledge of this subject.",
    "This is not something that I know about.",
    "I'm unable to say; I don't know it.",
    "Nothing that I know answers this.",
    "I would have to guess, so I'd rather not answer.",
    "I couldn't say. You may have to ask someone else.",
    "Unfortunately I don't know this.",
)
REQUEST = "Tell me about {subject}."
"""What a text without a prompt is taken to answer."""


def refusal_texts(texts: Sequence[Text], seed: int) -> list[Text]:
    """For each text a refusal of the same prompt; the hash of seed, prompt and text chooses its wording."""
    return [
        replace(
            text,
            text=REFUSALS[_number(text, seed) % len(REFUSALS)],
            source="refusal",
            prompt=REQUEST.format(subject=text.subject) if text.prompt is None else text.prompt,
        )
        for text in texts
    ]


def _number(text: Text, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}\0{text.prompt}\0{text.text}".encode()).digest()
    return int.from_bytes(digest[:8], "big")
