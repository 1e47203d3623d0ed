"""From what a user types to a ModelConfig, without opening a weight."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from atu.errors import UserError, did_you_mean
from atu.models.config import CHAT_NOTE, ModelConfig
from atu.models.contents import check_contents, shard_names
from atu.storage.config_dir import config_dir
from atu.storage.user_files import read_json_object
from atu.typed import from_mapping

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def resolve_model(text: str) -> ModelConfig:
    """The config of a model given as folder, `*.gguf` file, name in config/pre_trained_llm, or hub id.

    Raises UserError when it is none of these, and for a folder without whole weights.
    """
    path = Path(text).expanduser()
    if path.is_dir():
        return _from_folder(path)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise UserError(f"There is no GGUF file {path}.")
        return ModelConfig(name=path.stem, model_name=str(path.parent), gguf_file=path.name)
    group = config_dir() / "pre_trained_llm"
    named = group / f"{text}.yaml"
    if named.parent == group and named.is_file():
        return from_mapping(ModelConfig, yaml.safe_load(named.read_text(encoding="utf-8")), "pre_trained_llm")
    if _HUB_ID.fullmatch(text) and not text.startswith("."):
        return ModelConfig(name=text.split("/")[1], model_name=text)
    if "/" in text:
        raise UserError(f"There is no model folder {path}.")
    names = [file.stem for file in group.glob("*.yaml")]
    raise UserError(f"Unknown model '{text}': no folder, GGUF file or hub id.{did_you_mean(text, names)}")


def chat_settings(config: ModelConfig) -> dict[str, Any]:
    """The chat settings that a model came with, for another that is to be asked alike; none where it has no own."""
    names = ("chat_template_kwargs", "chat_template_date")
    plain = ModelConfig(name="", model_name="")
    own = {name: getattr(config, name) for name in names}
    return own if any(own[name] != getattr(plain, name) for name in names) else {}


def check_model_folder(folder: Path) -> None:
    """Raise UserError, naming what is missing, unless the folder holds config.json and whole safetensors."""
    if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
        raise UserError(f"{folder} is a LoRA adapter, not a model. Merge it into its base model first.")
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} is no model folder: config.json is missing.")
    check_contents(folder)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = shard_names(index)
        missing = sorted(shard for shard in shards if not (folder / shard).is_file())
        if missing:
            raise UserError(f"{folder} lacks {len(missing)} of {len(shards)} weight files: {missing[0]}.")
    elif not any(folder.glob("*.safetensors")):
        pickled = [*folder.glob("pytorch_model*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
        reason = (
            f"only pickled weights ({pickled[0].name}), which can run code and are never loaded; "
            "convert them to safetensors"
            if pickled
            else "no weights (model.safetensors)"
        )
        raise UserError(f"{folder} holds {reason}.")


def _from_folder(folder: Path) -> ModelConfig:
    # Every run's export is called `model`; its run's name says more.
    name = folder.resolve().parent.name if folder.resolve().name == "model" else folder.resolve().name
    gguf_files = sorted(folder.glob("*.gguf"))
    if gguf_files and not (folder / "config.json").is_file():
        if len(gguf_files) > 1:
            listed = ", ".join(file.name for file in gguf_files)
            raise UserError(f"{folder} holds several GGUF files; name one of them: {listed}.")
        return ModelConfig(name=gguf_files[0].stem, model_name=str(folder), gguf_file=gguf_files[0].name)
    check_model_folder(folder)
    note = folder / CHAT_NOTE
    asked = read_json_object(note) if note.is_file() else {}
    return from_mapping(ModelConfig, {**asked, "name": name, "model_name": str(folder)}, str(note) if asked else "")
