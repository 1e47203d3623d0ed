"""MUSE's files from the Hugging Face hub, or from a copy of the repository or of the hub's data sets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.benchmarks.muse.files import COLLECTIONS, FILES, LICENSE, REPOSITORIES, MuseFile
from atu.benchmarks.muse.reader import parse_rows
from atu.errors import UserError, first_line
from atu.extras import PYARROW, require
from atu.storage.files import disk_errors, write_json_atomic, write_text_atomic
from atu.storage.user_files import check_fetched, file_sha256, read_json, read_json_object, shown

MANIFEST = "manifest.json"
_PARTIAL = ".partial"
Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A corpus on this machine, in one of the forms that copies have."""

    folder: Path
    origin: Mapping[str, str]
    """What the manifest says of it: `source`, and for the hub `commit`."""


def download(
    collections: Sequence[str], *, source: Path | None, revision: str | None, out: Path, report: Report
) -> Path:
    """Write the files of some corpora into `out/<corpus>/`, each as one JSON list, and their checksums.

    Files of the training texts may be missing in a copy; those that are asked may not. A file appears when all its rows
    could be read.

    Args:
        source: a copy; None takes the hub.
        revision: of the hub: a commit, tag or branch. None takes the commit that the manifest names, at first `main`.

    Returns:
        The manifest's path.

    Raises:
        UserError: a corpus that the copy does not have, a broken or missing file, a hub that can't be reached, a full
            disk; a package that is missing for Parquet files.
    """
    manifest = read_manifest(out)
    for name in collections:
        if source is not None:
            report(_bring(name, _local(name, source), manifest, out))
            continue
        before = manifest["corpora"].get(name, {}).get("commit")
        with disk_errors(out):
            staging = out / _PARTIAL
            report(_bring(name, _from_hub(name, revision or before or "main", staging), manifest, out))
            shutil.rmtree(staging, ignore_errors=True)
    return out / MANIFEST


def verify(out: Path) -> int:
    """Compare every file that the manifest lists with its checksum; returns how many there are.

    Raises UserError that names a file which is missing or differs.
    """
    manifest = read_manifest(out)
    if not manifest["corpora"]:
        raise UserError(f"{shown(out)} has no {MANIFEST}: nothing was downloaded into it.")
    files = [(name, file) for name, corpus in manifest["corpora"].items() for file in corpus["files"].items()]
    for name, (file, entry) in files:
        check_fetched(out / name / file, entry["sha256"])
    return len(files)


def read_manifest(out: Path) -> dict[str, Any]:
    """The manifest of a data folder; an empty one where there is none yet. Raises UserError when broken."""
    path = out / MANIFEST
    if not path.is_file():
        return {"dataset": "MUSE", "license": LICENSE, "corpora": {}}
    manifest = read_json_object(path)
    if not isinstance(manifest.get("corpora"), dict):
        raise UserError(f"{shown(path)} is no manifest of MUSE's data: delete it and run the download again.")
    return manifest


def _bring(name: str, copy: Copy, manifest: dict[str, Any], out: Path) -> str:
    """Write one corpus; returns what there is to say of it."""
    found = {file.name: _find(copy.folder, file) for file in FILES.values()}
    lacking = [file for file, paths in found.items() if not paths and FILES[file].is_asked]
    if lacking:
        raise UserError(f"{shown(copy.folder)} lacks {lacking[0]}: it is not a whole copy of MUSE's {name}.")
    parsed = {file: _rows(FILES[file], paths) for file, paths in found.items() if paths}
    entries: dict[str, dict[str, Any]] = {}
    for file, rows in parsed.items():
        path = out / name / f"{file}.json"
        table = [dict(zip(FILES[file].columns, row, strict=True)) for row in rows]
        write_text_atomic(path, json.dumps(table, indent=1, ensure_ascii=False) + "\n")
        entries[f"{file}.json"] = {"sha256": file_sha256(path), "bytes": path.stat().st_size, "rows": len(rows)}
    manifest["corpora"][name] = {**copy.origin, "files": entries}
    write_json_atomic(out / MANIFEST, manifest)
    rest = [file for file in FILES if file not in parsed]
    note = f" (the source lacks {', '.join(rest)})" if rest else ""
    return f"{name}: {len(entries)} files, {sum(entry['bytes'] for entry in entries.values()) / 1e6:.1f} MB{note}"


def _local(name: str, source: Path) -> Copy:
    """The folder of a corpus: in `source`, in `source/data`, or `source` itself under one of the corpus's names."""
    if not source.is_dir():
        raise UserError(f"There is no folder {shown(source)}.")
    places = [base / alias for base in (source, source / "data") for alias in COLLECTIONS[name]]
    if source.resolve().name in COLLECTIONS[name]:
        places.append(source)
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise UserError(
            f"{shown(source)} has no corpus {name}: expected a folder named {' or '.join(COLLECTIONS[name])} in it."
        )
    return Copy(folder=folder, origin={"source": f"folder:{folder.resolve()}"})


def _from_hub(name: str, revision: str, staging: Path) -> Copy:
    require({"MUSE from the hub (Parquet files)": PYARROW})
    from huggingface_hub import HfApi, snapshot_download

    repository = REPOSITORIES[name]
    try:
        commit = str(HfApi().dataset_info(repository, revision=revision).sha)
        snapshot_download(
            repository,
            repo_type="dataset",
            revision=commit,
            local_dir=staging / name,
            allow_patterns=[f"{file.name}-*.parquet" for file in FILES.values()],
        )
    except Exception as error:  # whichever HTTP library the hub client is built on
        raise UserError(
            f"The hub did not give {repository}: {first_line(error)}. Run the same command again to go on, or give "
            "--from with the folder of a copy."
        ) from error
    origin = {"source": f"hub:{repository}", "revision": revision, "commit": commit}
    return Copy(folder=staging / name, origin=origin)


def _find(folder: Path, file: MuseFile) -> list[Path]:
    """The parts of a file: one of JSON, or one or several of Parquet, in order; none where it is missing."""
    for name in file.names:
        if (folder / f"{name}.json").is_file():
            return [folder / f"{name}.json"]
        path = folder / name
        parts = sorted(path.parent.glob(f"{path.name}-*-of-*.parquet"))
        if parts:
            return parts
    return []


def _rows(file: MuseFile, paths: Sequence[Path]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for path in paths:
        value = read_json(path) if path.suffix == ".json" else _parquet(path)
        rows += parse_rows(file, value, shown(path))
    return rows


def _parquet(path: Path) -> Any:
    require({f"{shown(path)} (Parquet)": PYARROW})
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        return read_table(path).to_pylist()
    except (ArrowException, OSError) as error:
        raise UserError(f"{shown(path)}: not a Parquet file ({first_line(error)}).") from error
