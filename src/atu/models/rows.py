"""Texts as token rows: what an LLM reads, and which of its tokens count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import Text

_CHARACTERS_A_TOKEN = 32
"""Twice as many as the tokens of any text have on average, and more."""


@dataclass(frozen=True)
class Row:
    """One text as the LLM reads it."""

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    """For each token, the character of `string` at which it ends."""
    string: str
    body_start: int
    """Character at which the text itself begins; a chat prompt lies before it."""
    subject: str

    @property
    def first_scored(self) -> int:
        """Index of the first token that belongs to the text; a first token of all has no context to score it."""
        return max(1, next(i for i, end in enumerate(self.ends) if end > self.body_start))


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right.

    `is_scored[b, t]` is True where token t is to be predicted (from the hidden state at t - 1).
    """

    indices: tuple[int, ...]
    ids: Int[Tensor, "batch pos"]
    is_token: Bool[Tensor, "batch pos"]
    is_scored: Bool[Tensor, "batch pos"]


def build_row(llm: LanguageModel, text: Text, *, max_tokens: int) -> Row:
    """Render and tokenise one text; longer ones are cut at `max_tokens`.

    Of a text that is far longer only the beginning is looked at, as long as that fills the row.

    An answer stands in its turn as it is scored and as the model is to write it, up to the token that ends the turn.

    Raises:
        UserError: no token of the text is predicted from another: its prompt alone fills the row, or it has a
            single token and nothing before it.
    """
    limit = _CHARACTERS_A_TOKEN * max_tokens
    if len(text.text) > limit:
        row = _whole_row(llm, replace(text, text=text.text[:limit]), max_tokens)
        # What comes behind cannot change tokens that lie so far before it.
        if len(row.ids) == max_tokens and row.ends[-1] <= row.body_start + limit // 2:
            return row
    return _whole_row(llm, text, max_tokens)


def _whole_row(llm: LanguageModel, text: Text, max_tokens: int) -> Row:
    if text.prompt is None:
        string, body_start = text.text, 0
        joined = llm.encode_behind("", string)
        ids, ends = [*joined.prompt, *joined.ids], list(llm.ends_behind("", string, joined))
    else:
        turn = llm.turn(text.prompt, text.text)
        body = turn.body + turn.closing
        string, body_start = turn.head + body, len(turn.head)
        joined = llm.encode_behind(turn.head, body)
        border, found = len(joined.prompt), llm.ends_behind(turn.head, body, joined)
        # A token may hold blanks of both sides, or none at all: here the border is that of the tokens.
        ends = [min(end, body_start) for end in found[:border]] + [max(end, body_start + 1) for end in found[border:]]
        # An assistant's turn ends; the model must keep saying so.
        ids, ends = [*joined.prompt, *joined.ids, llm.turn_end], [*ends, len(string) + 1]
    row = Row(tuple(ids[:max_tokens]), tuple(ends[:max_tokens]), string, body_start, text.subject)
    if not any(end > row.body_start for end in row.ends[1:]):
        raise UserError(
            f"A text about '{text.subject}' has no token to predict within data.corpus.max_input_length={max_tokens}: "
            f"'{' '.join(text.text.split())[:60]}'."
        )
    return row


def build_rows(llm: LanguageModel, texts: Sequence[Text], *, max_tokens: int) -> list[Row]:
    """Rows of several texts, in their order; see `build_row`."""
    return [build_row(llm, text, max_tokens=max_tokens) for text in texts]


def filled_up(row: Row, length: int, token_id: int) -> Row:
    """The row with `token_id` behind its end up to `length` tokens, which are read as part of the text."""
    extra = max(0, length - len(row.ids))
    return replace(row, ids=row.ids + (token_id,) * extra, ends=row.ends + row.ends[-1:] * extra)


def collate(rows: Sequence[Row], indices: Sequence[int], *, pad_id: int, device: torch.device | str) -> Batch:
    """Pad the chosen rows on the right to one batch."""
    chosen = [rows[i] for i in indices]
    width = max(len(row.ids) for row in chosen)
    ids = torch.full((len(chosen), width), pad_id, dtype=torch.long)
    is_token = torch.zeros(len(chosen), width, dtype=torch.bool)
    is_scored = torch.zeros(len(chosen), width, dtype=torch.bool)
    for b, row in enumerate(chosen):
        ids[b, : len(row.ids)] = torch.tensor(row.ids)
        is_token[b, : len(row.ids)] = True
        is_scored[b, row.first_scored : len(row.ids)] = True
    return Batch(tuple(indices), ids.to(device), is_token.to(device), is_scored.to(device))


def batch_indices(num_rows: int, batch_size: int, step: int, seed: int) -> list[int]:
    """Row indices of the batch at `step`: epochs of seeded permutations, a pure function of its arguments.

    Being pure, it lets a resumed run draw exactly what the killed one would have drawn.
    """
    batch_size = min(batch_size, num_rows)
    chosen: list[int] = []
    position = step * batch_size
    while len(chosen) < batch_size:
        epoch, offset = divmod(position + len(chosen), num_rows)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(num_rows, generator=generator).tolist()
        chosen += order[offset : offset + batch_size - len(chosen)]
    return chosen
