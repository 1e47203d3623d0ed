"""Windows: for each position of an LLM row, the embedding of the next k encoder tokens.

LLM and encoder cut a text differently, so a window begins at the first encoder token that starts at or after
the character at which the LLM token ends (as in the released code). Near the end of a text a window holds what is left
of it, so that the end of a question has the window of its answer, however short. Each distinct window is embedded once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from atu.embedding.cache import Put, Wanted, cached_arrays
from atu.embedding.encoder import TextEncoder
from atu.errors import UserError
from atu.models.rows import Row
from atu.storage.files import content_key

_AT_ONCE = 16384
"""Embeddings that are copied at once: of a large corpus all of them are gigabytes, which lie on disk."""


@dataclass(frozen=True)
class Windows:
    """Embeddings of all distinct windows of some rows, and which one each position has.

    `index[r][t]` is the row of `embeddings` for position t of row r, or -1 where too few tokens follow.
    """

    embeddings: Float[Tensor, "windows d_enc"]
    index: tuple[Int[Tensor, " _"], ...]

    def subset(self, rows: Sequence[int]) -> Windows:
        """The same embeddings for some of the rows."""
        return Windows(self.embeddings, tuple(self.index[r] for r in rows))

    def count(self, row: int) -> int:
        """Positions of a row that have a window."""
        return int((self.index[row] >= 0).sum())

    def mask(self, rows: Sequence[int], width: int) -> Bool[Tensor, "rows width"]:
        """True where a position of the given rows, padded on the right to `width`, has a window."""
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for b, row in enumerate(rows):
            mask[b, : len(self.index[row])] = self.index[row] >= 0
        return mask

    def with_rows_of(self, other: Windows) -> Windows:
        """These rows and then those of `other`, which must be a subset of the same windows."""
        assert other.embeddings is self.embeddings
        return Windows(self.embeddings, self.index + other.index)

    def scores(self, of: Callable[[Tensor], Tensor]) -> Float[Tensor, " positions"]:
        """`of` the embedding of every position that has a window, row by row; it is called with some at a time."""
        index = torch.cat(self.index)
        return torch.cat([of(part) for part in self.embeddings.split(_AT_ONCE)])[index[index >= 0]]

    def mean(self, of: Callable[[Tensor], Tensor] = lambda embeddings: embeddings) -> Float[Tensor, " d_enc"]:
        """Mean over all positions that have a window of `of` their embeddings, which is called with some at a time."""
        index = torch.cat(self.index)
        counts = torch.bincount(index[index >= 0], minlength=len(self.embeddings)).double()
        total = torch.zeros(self.embeddings.shape[1], dtype=torch.float64)
        for start in range(0, len(counts), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            total += counts[part] @ of(self.embeddings[part]).double()
        return (total / counts.sum()).float()


def window_starts(row: Row, token_starts: Sequence[int], shortest: int) -> list[int]:
    """For each LLM position the encoder token at which its window begins, or -1.

    Args:
        row: the LLM's view of the text.
        token_starts: character of the row's *body* at which each encoder token begins.
        shortest: fewest encoder tokens that a window may hold.
    """
    starts = []
    for end in row.ends:
        begin = bisect_left(token_starts, end - row.body_start)
        has_window = end >= row.body_start and begin + shortest <= len(token_starts)
        starts.append(begin if has_window else -1)
    return starts


def embed_windows(
    encoder: TextEncoder,
    rows: Sequence[Row],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Windows:
    """Embed every distinct window of `rows` once; found again in the cache for the same texts and settings.

    Raises:
        UserError: no text is as long as one window.
    """
    config = encoder.config
    k = config.window_tokens
    ids_of_window: dict[tuple[int, ...], int] = {}
    index = []
    for row in rows:
        ids, token_starts = encoder.token_offsets(row.string[row.body_start :])
        places = [
            ids_of_window.setdefault(tuple(ids[s : s + k]), len(ids_of_window)) if s >= 0 else -1
            for s in window_starts(row, token_starts, config.shortest_window)
        ]
        index.append(torch.tensor(places, dtype=torch.long))
    if not ids_of_window:
        raise UserError(config.too_long("every text"))
    key = content_key(
        {
            "encoder": encoder.checksum,
            "form": config.token_form,
            "windows": [list(ids) for ids in ids_of_window],
        }
    )

    def build(_: list[str], put: Put) -> None:
        put("embeddings", encoder.embed_ids(list(ids_of_window), form=config.token_form, progress=progress))

    wanted = {"embeddings": Wanted(key, (len(ids_of_window), encoder.dim))}
    return Windows(cached_arrays("windows", wanted, build)["embeddings"], tuple(index))
