"""Arrays that are computed once and found again by what they were computed from.

An array may be larger than the memory: it is written in pieces as it is computed, and what is given back lies on disk
and is read where it is looked at.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from atu.storage.cache import find_file, new_file, write_errors
from atu.storage.files import cache_root

IN_MEMORY_BYTES = 1 << 30
"""Up to this size an array that is only used for a while is kept in memory."""
_NAME = "array"
_SUFFIX = ".safetensors"

Put = Callable[[str, Tensor], None]
"""Called with the name of an array and its next rows."""
Build = Callable[[list[str], Put], None]
"""Called with the names of the arrays that are missing; it must put all rows of each, in order."""


@dataclass(frozen=True)
class Wanted:
    """A float32 array."""

    key: str
    """What tells it from all others."""
    shape: tuple[int, ...]


def cached_arrays(room: str, wanted: Mapping[str, Wanted], build: Build) -> dict[str, Tensor]:
    """The arrays by name, memory-mapped from `room/key`; those that are not there are built and stored first.

    Files are written under another name and renamed, so that a killed process leaves nothing that looks whole. A
    damaged file, or one of another shape, is built anew.

    Raises:
        UserError: the cache folder cannot be written.
    """
    found = {name: _find(room, array) for name, array in wanted.items()}
    missing = [name for name, array in found.items() if array is None]
    with ExitStack() as files:
        new = {name: files.enter_context(new_file(room, wanted[name].key, _SUFFIX)) for name in missing}
        writers = {name: files.enter_context(_writer(new[name].partial, wanted[name].shape)) for name in missing}
        if missing:
            build(missing, lambda name, rows: writers[name].put(rows))
    arrays = {name: array for name, array in found.items() if array is not None}
    arrays |= {name: load_file(file.path)[_NAME] for name, file in new.items() if file.path is not None}
    return {name: arrays[name] for name in wanted}


def built_arrays(shapes: Mapping[str, tuple[int, ...]], build: Build) -> dict[str, Tensor]:
    """The arrays by name, kept by nobody: in memory, or where they are large in a file that has no name.

    Raises:
        UserError: the cache folder, where such a file lies, cannot be written.
    """
    total = sum(4 * math.prod(shape) for shape in shapes.values())
    with ExitStack() as files:
        if total <= IN_MEMORY_BYTES:
            arrays = {name: torch.empty(shape) for name, shape in shapes.items()}
            places = dict.fromkeys(shapes, 0)

            def put(name: str, rows: Tensor) -> None:
                arrays[name][places[name] : places[name] + len(rows)] = rows
                places[name] += len(rows)

            build(list(shapes), put)
            return arrays
        writers = {name: files.enter_context(_unnamed_writer(shape)) for name, shape in shapes.items()}
        build(list(shapes), lambda name, rows: writers[name].put(rows))
        return {name: writer.mapped() for name, writer in writers.items()}


@dataclass
class _Writer:
    """Writes the rows of one array behind each other."""

    file: BinaryIO
    path: Path
    shape: tuple[int, ...]
    rows: int = 0

    def put(self, rows: Tensor) -> None:
        assert rows.shape[1:] == self.shape[1:]
        with write_errors(self.path):
            self.file.write(rows.contiguous().float().numpy().tobytes())
        self.rows += len(rows)

    def mapped(self) -> Tensor:
        """The array of a file that holds nothing else."""
        assert self.rows == self.shape[0]
        with write_errors(self.path):
            self.file.flush()
        return torch.from_numpy(np.memmap(self.file, dtype=np.float32, mode="c", shape=self.shape))


def _find(room: str, wanted: Wanted) -> Tensor | None:
    path = find_file(room, wanted.key, _SUFFIX)
    with suppress(SafetensorError, OSError):
        array = None if path is None else load_file(path).get(_NAME)
        if array is not None and array.shape == wanted.shape and array.dtype == torch.float32:
            return array
    return None


@contextmanager
def _writer(path: Path, shape: tuple[int, ...]) -> Iterator[_Writer]:
    """Writes a file of the safetensors format, which has no writer of its own for what comes in pieces."""
    with path.open("wb") as file:
        writer = _Writer(file, path, shape)
        file.write(_header(shape))
        yield writer
        assert writer.rows == shape[0], f"{writer.rows} rows of {shape[0]}"


@contextmanager
def _unnamed_writer(shape: tuple[int, ...]) -> Iterator[_Writer]:
    """Writes a file that is gone when nobody reads it any more, even where the process is killed."""
    root = cache_root()
    with write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
        file = TemporaryFile(dir=root)  # noqa: SIM115
    with file:
        yield _Writer(file, root, shape)


def _header(shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers: the length of a JSON text in 8 bytes, and that text, filled up to 8 bytes."""
    entry = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 4 * math.prod(shape)]}
    text = json.dumps({_NAME: entry}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text
