"""What a model thinks before it answers: a `<think>...</think>` that opens a text, cut off before anyone scores it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from atu.models.language_model import LanguageModel

_OPENS = re.compile(r"\s*<think(?:ing)?>", re.I)
_BEGUN = re.compile(r"<think(?:ing)?>\s*\Z", re.I)
_CLOSES = re.compile(r"</think(?:ing)?>\s*", re.I)


@dataclass(frozen=True)
class Thought:
    """Where the thinking part of a text ends."""

    length: int
    """Tokens that it takes from the opening of the text; all of them where it never ends, 0 where there is none."""
    is_finished: bool = True


def find_thought(llm: LanguageModel, prompt: Sequence[int], new: Sequence[int]) -> Thought:
    """The thinking part with which `new` opens, or continues the one that `prompt` has begun."""
    text = _decode(llm, new)
    if not _OPENS.match(text) and not _BEGUN.search(_decode(llm, prompt[-8:])):
        return Thought(0)
    if _CLOSES.search(text) is None:
        return Thought(len(new), is_finished=False)
    # Found anew token by token: what a token adds to a text can hang on the others.
    length = next(count for count in range(1, len(new) + 1) if _CLOSES.search(_decode(llm, new[:count])))
    while length < len(new) and not _decode(llm, new[length : length + 1]).strip():
        length += 1
    return Thought(length)


def without_thought(llm: LanguageModel, prompt: Sequence[int], new: Sequence[int]) -> Sequence[int]:
    """The tokens of the answer alone; none where the model never came to one."""
    return new[find_thought(llm, prompt, new).length :]


def _decode(llm: LanguageModel, ids: Sequence[int]) -> str:
    """With special tokens: in some tokenizers the marks are such."""
    return str(llm.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
