"""What lies in a model folder, checked before a library opens it: kinds of files, sizes, names. No torch here."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.storage.digests import read_digests
from atu.storage.files import content_key
from atu.storage.user_files import file_sha256, open_regular, read_json_object, shown

_SMALL_BYTES = 1 << 24
"""Most that a config has; an index of weights may be larger."""
_SUFFIXES = (".json", ".safetensors", ".jinja", ".model", ".txt", ".py", ".gguf")
_OBJECTS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
)
_NO_SETTINGS = ("digests.json", "model.safetensors.index.json")
_COUNTS = {
    "num_hidden_layers": 10_000,
    "n_layer": 10_000,
    "n_layers": 10_000,
    "num_layers": 10_000,
    "num_attention_heads": 100_000,
    "n_head": 100_000,
    "num_key_value_heads": 100_000,
    "head_dim": 1_000_000,
    "hidden_size": 1_000_000,
    "n_embd": 1_000_000,
    "d_model": 1_000_000,
    "intermediate_size": 10_000_000,
    "vocab_size": 100_000_000,
    "max_position_embeddings": 1_000_000_000,
    "n_positions": 1_000_000_000,
}
"""Keys of config.json that count something, under the names that architectures have for it, and the most they say."""


def check_contents(folder: Path) -> None:
    """See that the files of a folder with config.json are what their names say.

    Raises:
        UserError: a pipe, device or folder under the name of a file; JSON that is broken or of another kind; sizes that
            no model has.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in _SUFFIXES and not stat.S_ISDIR(_mode(path)):
            with open_regular(path):
                pass
        elif path.name in _OBJECTS or path.suffix == ".safetensors":
            raise UserError(f"{shown(path)} is a folder, not a file. Give a file.")
    for path in (folder / name for name in _OBJECTS):
        if path.exists():
            stats = path.stat()
            _check_object(path, stats.st_mtime_ns, stats.st_size)


@lru_cache
def _check_object(path: Path, time: int, size: int) -> None:
    """Check a JSON file, once as long as it stays as it is: a large tokenizer takes a second, and several ask."""
    value = read_json_object(path, is_foreign=True, limit=1 << 28 if path.name == "tokenizer.json" else _SMALL_BYTES)
    if path.name == "config.json":
        _check_sizes(value, path)


def settings_checksum(folder: Path) -> str:
    """Checksum of the files that decide what the weights mean: configs, tokenizer, chat template, code."""
    files = [path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.name not in _NO_SETTINGS]
    kept = [path for path in files if path.suffix not in (".safetensors", ".gguf") and path.is_file()]
    return content_key({path.name: file_sha256(path) for path in kept})


def weights_checksums(folder: Path, *, is_checked: bool) -> dict[str, str]:
    """sha256 of each weights file by name.

    Args:
        is_checked: the folder has just been compared with its `digests.json`, if it has one, whose word is then taken:
            gigabytes are not read a second time.
    """
    known = (read_digests(folder) or {}) if is_checked else {}
    paths = sorted(folder.glob("*.safetensors"))
    return {path.name: known[path.name]["sha256"] if path.name in known else file_sha256(path) for path in paths}


def shard_names(index: Path) -> set[str]:
    """The weight files that model.safetensors.index.json names, all of them names of files in its folder.

    Raises:
        UserError: it is no index, or it names a file elsewhere.
    """
    weight_map = read_json_object(index, is_foreign=True).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(f"{shown(index)}: 'weight_map' must say which file each tensor lies in. Get the model again.")
    for tensor, name in weight_map.items():
        if not isinstance(name, str) or "/" in name or "\\" in name or name.startswith("."):
            raise UserError(
                f"{shown(index)}: 'weight_map' says that {str(tensor)[:60]} lies in {str(name)[:60]!r}, which is no "
                "name of a file beside it."
            )
    return set(weight_map.values())


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError as error:  # a link that leads nowhere
        raise UserError(f"Cannot read {shown(path)}: {error.strerror}.") from error


def _check_sizes(config: Mapping[str, Any], path: Path) -> None:
    """Of a model of several parts, the sizes of each."""
    for key, value in config.items():
        if isinstance(value, dict) and key.endswith("config"):
            _check_sizes(value, path)
        elif key in _COUNTS and value is not None and not isinstance(value, list):  # a list has one for each layer
            most = _COUNTS[key]
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
                raise UserError(f"{shown(path)}: {key} must be a whole number in 1..{most:,}, not {str(value)[:60]!r}.")
