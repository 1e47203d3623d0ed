"""8-bit and 4-bit weights through bitsandbytes, an optional package."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Literal

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from atu.errors import missing_package


def import_bitsandbytes(key: str) -> ModuleType:
    """The package; UserError naming `key`, the setting that asks for it, where it is not installed."""
    try:
        with bitsandbytes_quiet():
            return importlib.import_module("bitsandbytes")
    except ImportError as error:
        raise missing_package(key, "bitsandbytes", "quantize") from error


@contextmanager
def bitsandbytes_quiet() -> Iterator[None]:
    """Around what imports bitsandbytes, which peft does too where it is installed: its errors alone are shown.

    As it is imported it calls parts of torch that are going away and names a faster kernel that it has not found;
    later it says for each layer and call that int8 products are made from float16.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def quantization_config(name: Literal["int8", "nf4"], *, dtype: torch.dtype) -> BitsAndBytesConfig:
    """What transformers needs to quantise the linear layers of the blocks while it loads them.

    int8: LLM.int8 (arXiv 2208.07339), which quantises the inputs too; nf4: 4-bit NormalFloat in blocks of 64
    (arXiv 2305.14314), products in `dtype`. Embeddings and output head keep `dtype`.
    """
    import_bitsandbytes(f"pre_trained_llm.quantization={name}")
    if name == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def keep_gradients(model: nn.Module) -> None:
    """Keep 4-bit layers from the layout that bitsandbytes has for answers alone.

    On a processor with AVX512-BF16 it lays out a layer's weights anew when that first answers without gradients; from
    then on also training goes through a kernel that has no gradient, and what is below gets a wrong one.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
