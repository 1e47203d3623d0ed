"""LUME's files from its public repository, at one commit, or from a copy."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from atu.benchmarks.lume.reader import MEMBERSHIP_FILES, SIDES, read_documents, read_rows
from atu.errors import UserError, first_line
from atu.storage.files import disk_errors, write_json_atomic
from atu.storage.user_files import check_fetched, file_sha256, read_json_object, shown

REPOSITORY = "amazon-science/lume-llm-unlearning"
COMMIT = "b2fa8f9c567715f1e2c6d442213f33b2e9a28fe6"
SHA256 = {
    "forget.jsonl": "3a74f30223c35b173664dfea5b1c5939587f1eac868a9764891f30c2c317c381",
    "retain.jsonl": "ec8826a91d9fb9e5a50ba732549e8eff75fc99c2f67d6873d1ea36fd403a003d",
}
"""Of the files of that commit."""
LICENSE = "Apache-2.0, Ramakrishna et al. 2025 (arXiv 2502.15097)"
MANIFEST = "manifest.json"
_PARTIAL = ".partial"
_SECONDS = 60
Report = Callable[[str], None]


def download(*, source: Path | None, out: Path, report: Report) -> Path:
    """Write forget.jsonl and retain.jsonl, and the membership texts where a copy has them, into `out`, with checksums.

    A file appears when all its rows could be read.

    Args:
        source: a copy: a folder with the two files, or with data/ that has them. None takes the repository.

    Returns:
        The manifest's path.

    Raises:
        UserError: a file is missing or broken, or another one than the commit's; no network; a full disk.
    """
    staging = out / _PARTIAL
    with disk_errors(out):
        staging.mkdir(parents=True, exist_ok=True)
    try:
        if source is None:
            names = [Path(f"{side}.jsonl") for side in SIDES]
            for name in names:
                _from_repository(name.name, staging / name)
            origin = {"source": f"github:{REPOSITORY}", "commit": COMMIT}
        else:
            folder = _copy_of(source)
            names = [Path(f"{side}.jsonl") for side in SIDES]
            names += [file for file in MEMBERSHIP_FILES.values() if (folder / file).is_file()]
            for name in names:
                with disk_errors(out):
                    (staging / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(folder / name, staging / name)
            origin = {"source": f"folder:{folder.resolve()}"}
        entries: dict[str, Any] = {}
        for name in names:
            found = len(read_rows(staging / name) if len(name.parts) == 1 else read_documents(staging / name))
            entries[name.as_posix()] = {"sha256": file_sha256(staging / name), "rows": found}
            report(f"{name.as_posix()}: {found:,} rows")
        with disk_errors(out):
            for name in names:
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).replace(out / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    write_json_atomic(out / MANIFEST, {"dataset": "LUME", "license": LICENSE, **origin, "files": entries})
    return out / MANIFEST


def verify(out: Path) -> int:
    """Compare every file that the manifest lists with its checksum; returns how many there are.

    Raises UserError that names a file which is missing or differs.
    """
    path = out / MANIFEST
    if not path.is_file():
        raise UserError(f"{shown(out)} has no {MANIFEST}: nothing was downloaded into it.")
    files = read_json_object(path).get("files")
    if not isinstance(files, dict) or not all(isinstance(entry, dict) for entry in files.values()):
        raise UserError(f"{shown(path)} is no manifest of LUME's data: delete it and run the download again.")
    for name, entry in files.items():
        check_fetched(out / name, entry.get("sha256"))
    return len(files)


def _from_repository(name: str, path: Path) -> None:
    address = f"https://raw.githubusercontent.com/{REPOSITORY}/{COMMIT}/data/{name}"
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:
            data = answer.read()
    except OSError as error:  # what urllib raises is one
        raise UserError(
            f"{address} could not be fetched: {first_line(error)}. Run the same command again, or give --from with the "
            "folder of a copy."
        ) from error
    with disk_errors(path):
        path.write_bytes(data)
    if file_sha256(path) != SHA256[name]:
        raise UserError(f"{address} gave another file than that of the commit: run the same command again.")


def _copy_of(source: Path) -> Path:
    for folder in (source, source / "data"):
        if all((folder / f"{side}.jsonl").is_file() for side in SIDES):
            return folder
    raise UserError(f"{shown(source)} has no forget.jsonl and retain.jsonl, and no data/ with them.")
