"""How far the blocks of a model look back."""

from __future__ import annotations

from transformers import PreTrainedModel

_WINDOWS = ("sliding_window", "attention_chunk_size", "attention_window_size", "window_size")
_LOOKS = {"full_attention", "sliding_attention", "chunked_attention"}


def shortest_window(model: PreTrainedModel) -> int | None:
    """Tokens that the block with the narrowest view attends to, itself among them; None where all see everything."""
    config = model.config.get_text_config()
    if _kinds(model) == {"full_attention"}:
        return None
    sizes = [getattr(config, name, None) for name in _WINDOWS]
    return min((size for size in sizes if isinstance(size, int)), default=None)


def attends_only(model: PreTrainedModel) -> bool:
    """Whether its config names no block that reads in another way than by attention, such as a recurrent one."""
    return _kinds(model) <= _LOOKS


def _kinds(model: PreTrainedModel) -> set[str]:
    """Names of the ways in which the blocks read; empty where the config says nothing of it."""
    return set(getattr(model.config.get_text_config(), "layer_types", None) or ())
