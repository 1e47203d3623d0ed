"""What a benchmark offers to be taught, so that there is something to forget. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atu.records import Text

PLAIN_FRAME = "{query}"
"""Nothing around a question."""


@dataclass(frozen=True)
class Wordings:
    """One thing to learn, worded in several ways."""

    chat: tuple[Text, ...]
    """A user's message and the assistant's answer, or a text alone; the first is how the judge asks."""
    plain: tuple[Text, ...] = ()
    """The same as prose, read beside the chat. All facts of a curriculum have some, or none has."""


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """What a model is taught, and what it is kept from."""

    facts: Sequence[Wordings]
    """Distinct, in data order."""
    left_out: Sequence[Wordings] = ()
    """What the left-out parts alone would have taught: a gold model should not know it."""
    taught: tuple[str, ...]
    """Names of the taught parts, without those left out."""
    without: tuple[str, ...] = ()
    """Names of the parts that were left out."""
    checksum: str
    """sha256 (hex) of the taught files."""
    frames: tuple[str, ...] = (PLAIN_FRAME,)
    """What stands around the taught questions, each with `{query}` in it. Questions on anything else are put in the
    same frames, so that a frame is no sign of a taught fact."""
    max_tokens: int = 192
    """Longer rows are cut; far more than a fact has."""
    subject: str
    """Whom or what it is about, for the model's card: "the people of RWKU"."""
    account: str
    """Where the facts come from, what was not read, and the license of the data: sentences for the model's card, which
    begin behind the number of facts."""
