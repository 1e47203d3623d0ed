"""A model that a program has loaded already, as a folder that everything else reads."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from atu.models.packaged import build_once
from atu.storage.files import cache_root
from atu.text.escaping import file_name


def kept_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> Path:
    """A folder with the model and its tokenizer, in the cache; the same weights are written once.

    Raises:
        UserError: the cache cannot be written.
    """
    name = Path(str(model.config.name_or_path or model.config.model_type)).name

    def build(folder: Path) -> None:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return build_once(cache_root() / "given" / f"{file_name(name)}-{_digest(model, tokenizer)}", build)


def _digest(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Of all that decides what the model answers."""
    digest = hashlib.sha256(f"{model.config.to_json_string()}{tokenizer.chat_template}".encode())
    digest.update("\n".join(sorted(tokenizer.get_vocab())).encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
