"""GGUF files, converted once to an ordinary safetensors folder."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, GgufConfig

from atu.errors import UserError, first_line
from atu.models.config import DtypeName
from atu.models.foreign import reading
from atu.models.language_model import find_end_ids
from atu.storage.user_files import open_regular, shown

logger = logging.getLogger(__name__)


def convert_gguf(gguf: Path, folder: Path, *, storage_dtype: DtypeName) -> None:
    """Write the dequantised weights, config and tokenizer of a GGUF file into `folder`.

    Raises UserError when the file cannot be read, its architecture is unknown or the disk is full.
    """
    logger.info("Converting %s to safetensors (once)", gguf.name)
    with open_regular(gguf) as file:
        if file.read(4) != b"GGUF":
            raise UserError(f"{shown(gguf)} is no GGUF file, or a damaged one: it does not begin with GGUF.")
    said = "The GGUF file {} cannot be read, it may be cut: {}."
    with reading(lambda error: said.format(shown(gguf), first_line(error))), _parsed_once():
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            # float32 even for bfloat16 storage: dequantising in bfloat16 would round every product twice.
            dtype=torch.float32,
            # transformers refuses to save a model whose weights stayed packed.
            quantization_config=GgufConfig(dequantize=True),
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The file's own generation config is thin, and marked as derived from the model config.
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=list(find_end_ids(model, tokenizer)) or None,
        pad_token_id=tokenizer.pad_token_id,
    )
    try:
        model.to(getattr(torch, storage_dtype)).save_pretrained(folder)
    except SafetensorError as error:  # its own class for what is an OSError elsewhere
        raise UserError(f"Cannot write {folder}: {error}. Free some space and run again.") from error
    tokenizer.save_pretrained(folder)


@contextmanager
def _parsed_once() -> Iterator[None]:
    """Inside the context the gguf library keeps what it made of a file, and its table of tensor names.

    transformers asks it for the file three times (config, weights, tokenizer) and for the table at every module, which
    takes two thirds of a conversion. Should it ask in another way one day, it will only be slower.
    """
    import gguf

    plain = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, make in plain.items():
        setattr(gguf, name, functools.cache(make))
    try:
        yield
    finally:
        for name, make in plain.items():
            setattr(gguf, name, make)
