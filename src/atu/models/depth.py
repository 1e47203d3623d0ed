"""How many blocks a model has, before it is loaded. No torch here."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from atu.errors import UserError
from atu.models.config import ModelConfig
from atu.models.packaged import converted_folder
from atu.storage.user_files import read_json_object

_KEYS = ("num_hidden_layers", "n_layer", "num_layers")
"""What families call it in their config.json."""


def known_depth(config: ModelConfig) -> int | None:
    """Number of transformer blocks, where a config.json on this machine says so; None elsewhere.

    What is wrong with that file is said when the model is loaded.
    """
    path = _config_file(config)
    if path is None or not path.is_file():
        return None
    with suppress(UserError):
        values = read_json_object(path, is_foreign=True)
        inner = values.get("text_config")
        for place in (inner if isinstance(inner, dict) else {}, values):
            for key in _KEYS:
                depth = place.get(key)
                if isinstance(depth, int) and not isinstance(depth, bool) and depth > 0:
                    return depth
    return None


def check_adapted_blocks(config: ModelConfig, depth: int) -> None:
    """Raise UserError where `pre_trained_llm.lora.layers` names a block that a model of this depth does not have."""
    if strange := [layer for layer in config.lora.layers or () if not 1 <= layer <= depth]:
        raise UserError(f"pre_trained_llm.lora.layers: '{config.name}' has no block {strange[0]}; it has 1 to {depth}.")


def _config_file(config: ModelConfig) -> Path | None:
    """Where it lies: in the model's folder, in the one that its GGUF file was converted to, or in the hub's cache."""
    if config.gguf_file:
        return converted_folder(config, config.sha256) / "config.json" if config.sha256 else None
    folder = Path(config.model_name).expanduser()
    if folder.is_dir():
        return folder / "config.json"
    from huggingface_hub import try_to_load_from_cache  # takes a third of a second

    with suppress(ValueError):  # no hub id
        found = try_to_load_from_cache(config.model_name, "config.json", revision=config.revision)
        return Path(found) if isinstance(found, str) else None
    return None
