"""What a reader needs to make a run again."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from atu import __version__

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "hydra-core",
)
"""Libraries whose versions the manifest keeps."""


def manifest(
    *,
    target: str,
    model: str,
    method: str,
    seed: int,
    device: str,
    precision: str,
    threads: int,
    config_hash: str,
    checksums: Mapping[str, str],
) -> dict[str, Any]:
    """What a reader needs to make the run again: versions, source, machine and checksums.

    Args:
        target: name of the concept to forget.
        model: label of the language model.
        method: what the method is made of, in a few words.
        seed: of the run.
        device: such as `cpu` or `cuda:0`.
        precision: of the matrix products in training, `fp32` or `bf16`.
        threads: CPU threads of the tensor library.
        config_hash: of the whole config.
        checksums: file or data set → sha256.
    """
    return {
        "target": target,
        "model": model,
        "method": method,
        "created": now(),
        "seed": seed,
        "device": device,
        "precision": precision,
        "threads": threads,
        "cpu_count": os.cpu_count(),
        "platform": platform.platform(),
        "config_hash": config_hash,
        "git_commit": _git_commit(),
        "versions": versions(),
        "checksums": dict(checksums),
    }


def versions() -> dict[str, str]:
    """Versions of Python, of this project and of the libraries that are installed."""
    found = {"python": platform.python_version(), "align-then-unlearn": _version("align-then-unlearn") or __version__}
    found |= {name: version for name in LIBRARIES if (version := _version(name))}
    return found


def now() -> str:
    """The present time in UTC, as ISO 8601 to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of this source, with `+` when a tracked file was changed; None outside a checkout."""
    source = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()

    try:
        # An installed copy inside somebody else's repository is not tracked there.
        git("ls-files", "--error-unmatch", source.name)
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
