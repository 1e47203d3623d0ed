"""Arrays that are computed once and found again by what they were computed from."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from atu.errors import UserError
from atu.results.files import cache_root


def cached_arrays(room: str, key: str, build: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The arrays stored under `room/key`, built and stored first when they are not there.

    The file is written beside and renamed, so that a killed process leaves nothing that looks whole. An
    unreadable file is built anew.

    Raises:
        UserError: the cache folder cannot be written.
    """
    path = cache_root() / room / f"{key}.safetensors"
    with suppress(SafetensorError, OSError):
        return load_file(path)
    arrays = {name: tensor.contiguous() for name, tensor in build().items()}
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(arrays, partial)
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        with suppress(OSError):
            partial.unlink()
        raise UserError(
            f"Cannot write the cache file {path}: {error}. Free some space or set ATU_CACHE to another folder."
        ) from error
    return arrays
