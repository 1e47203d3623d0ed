"""A tiny random model that attends to a window of its text only."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM

from atu.models.language_model import LanguageModel, wrap


def window_llm(tokenizer_folder: Path, window: int) -> LanguageModel:
    """The same weights each time; `window` is the number of tokens that it sees."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        sliding_window=window,
        initializer_range=0.2,
        eos_token_id=2,
    )
    return wrap(MistralForCausalLM(config), AutoTokenizer.from_pretrained(tokenizer_folder), label="window")
