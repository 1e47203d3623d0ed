"""RWKU's data: from the Hugging Face hub, or from a local copy, into one checked folder with a manifest."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from atu.benchmarks.rwku.files import ALL_FILES, EVALUATION_FILES, INTRO
from atu.benchmarks.rwku.reader import RwkuData, target_order
from atu.errors import UserError, did_you_mean, first_line
from atu.storage.files import disk_errors, publish_folder, write_json_atomic
from atu.storage.user_files import read_json

REPOSITORY = "jinzhuoran/RWKU"
LICENCE = "CC-BY-4.0, Jin et al. 2024 (arXiv 2406.10890)"
MANIFEST = "manifest.json"
_STAGING = ".partial"
_FILE_NAMES = tuple(f"{file.name}.json" for file in ALL_FILES)
_NEEDED = {f"{file.name}.json" for file in (INTRO, *EVALUATION_FILES)}

Report = Callable[[str], None]
Manifest = dict[str, Any]


class Source(Protocol):
    """Where targets come from."""

    origin: dict[str, str]
    """What the manifest says of it: `source`, and for the hub `revision` and `commit`."""

    def targets(self) -> list[str]: ...

    def files(self, folder: str) -> list[str]:
        """Names of RWKU's files that the source has of a target."""

    def fetch(self, folder: str, staging: Path) -> None:
        """Put these files into `staging/Target/<folder>/`, each whole."""


class HubSource:
    """The data set on the Hugging Face hub, at one commit."""

    def __init__(self, revision: str) -> None:
        from huggingface_hub import HfApi

        try:
            info = HfApi().dataset_info(REPOSITORY, revision=revision)
        except Exception as error:  # whichever HTTP library the hub client is built on
            raise _hub_error(error) from error
        self._commit = str(info.sha)
        self.origin = {"source": f"hub:{REPOSITORY}", "revision": revision, "commit": self._commit}
        self._files: dict[str, list[str]] = {}
        for sibling in info.siblings or ():
            parts = sibling.rfilename.split("/")
            if len(parts) == 3 and parts[0] == "Target" and parts[2] in _FILE_NAMES:
                self._files.setdefault(parts[1], []).append(parts[2])

    def targets(self) -> list[str]:
        return sorted(self._files, key=target_order)

    def files(self, folder: str) -> list[str]:
        return self._files[folder]

    def fetch(self, folder: str, staging: Path) -> None:
        from huggingface_hub import snapshot_download

        names = [f"Target/{folder}/{name}" for name in self.files(folder)]
        try:
            snapshot_download(
                REPOSITORY,
                repo_type="dataset",
                revision=self._commit,
                local_dir=staging,
                allow_patterns=names,
            )
        except Exception as error:
            raise _hub_error(error) from error


class FolderSource:
    """A copy of the data on this machine."""

    def __init__(self, data_dir: Path) -> None:
        self._data = RwkuData(data_dir)
        self.origin = {"source": f"folder:{data_dir.resolve()}"}

    def targets(self) -> list[str]:
        return self._data.targets()

    def files(self, folder: str) -> list[str]:
        return [name for name in _FILE_NAMES if (self._data.path(folder) / name).is_file()]

    def fetch(self, folder: str, staging: Path) -> None:
        into = staging / "Target" / folder
        into.mkdir(parents=True, exist_ok=True)
        for name in self.files(folder):
            shutil.copyfile(self._data.path(folder) / name, into / name)


def download(
    targets: Sequence[str],
    *,
    all_targets: bool,
    source: Path | None,
    revision: str | None,
    out: Path,
    report: Report,
) -> Path:
    """Fetch targets into `out/Target/` and list their files, with checksums, in `out/manifest.json`.

    A target's folder appears when all its files are there and every row of them could be read; until then
    it lies in a hidden folder, where the next call continues. What is there and equals the manifest is kept.

    `source`: a local copy; None = the hub, at `revision` (a commit, tag or branch). Without one, the commit
    that the manifest names, so that later calls add equal data; at first `main`.
    Returns the manifest's path. Raises UserError for an unknown target, a file that differs from the
    manifest (named), a broken or missing file, a hub that can't be reached, a full disk.
    """
    copy = None if source is None else FolderSource(source)
    if copy is not None:
        _choose(copy.targets(), targets, all_targets=all_targets)  # a wrong name leaves no folder behind
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        try:
            only_one = FileLock(out / ".download.lock").acquire(timeout=0)
        except Timeout as error:
            raise UserError(f"Another download is writing to {out}: wait until it is done.") from error
        with only_one:
            manifest = read_manifest(out)
            origin = copy or _open_hub(manifest, revision)
            chosen = _choose(origin.targets(), targets, all_targets=all_targets)
            for number, folder in enumerate(chosen, start=1):
                note = _bring(folder, origin, manifest, out)
                report(f"[{number}/{len(chosen)}] {folder}: {note}")
            shutil.rmtree(out / _STAGING, ignore_errors=True)
    return out / MANIFEST


def verify(out: Path) -> int:
    """Compare every file that the manifest lists with its checksum; returns how many there are.

    Raises UserError that names the files which are missing or differ.
    """
    manifest = read_manifest(out)
    if not manifest["targets"]:
        raise UserError(f"{out} has no {MANIFEST}: nothing was downloaded into it.")
    missing, differing = [], []
    for folder in manifest["targets"]:
        lost, changed = _compare(folder, manifest, out)
        missing += lost
        differing += changed
    faults = [f"{path} differs from the manifest" for path in differing]
    faults += [f"{path} is missing" for path in missing]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise UserError(f"{'; '.join(faults[:3])}{more}. Delete what differs and run the download again.")
    return sum(len(entry["files"]) for entry in manifest["targets"].values())


def read_manifest(out: Path) -> Manifest:
    """The manifest of a data folder; an empty one where there is none yet. Raises UserError when broken."""
    path = out / MANIFEST
    if not path.is_file():
        return {"dataset": REPOSITORY, "licence": LICENCE, "targets": {}}
    manifest = read_json(path)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("targets"), dict):
        raise UserError(f"{path} is no manifest of RWKU data: delete it and run the download again.")
    return manifest


def _open_hub(manifest: Manifest, revision: str | None) -> HubSource:
    commits = {entry["commit"] for entry in manifest["targets"].values() if "commit" in entry}
    hub = HubSource(revision or next(iter(commits), "main"))
    if commits and hub.origin["commit"] not in commits:
        raise UserError(
            f"This folder holds RWKU at commit {next(iter(commits))}, but '{revision}' is commit "
            f"{hub.origin['commit']}: choose another --out, two versions must not mix."
        )
    return hub


def _choose(known: Sequence[str], wanted: Sequence[str], *, all_targets: bool) -> list[str]:
    if all_targets == bool(wanted):
        raise UserError("Name the targets to fetch, such as 1_Stephen_King, or give --all.")
    for folder in wanted:
        if folder not in known:
            raise UserError(f"RWKU has no target '{folder}' there.{did_you_mean(folder, known)}")
    return list(known) if all_targets else list(dict.fromkeys(wanted))


def _bring(folder: str, source: Source, manifest: Manifest, out: Path) -> str:
    """Make one target whole; returns what there is to say of it."""
    offered = set(source.files(folder))
    lacking = sorted(_NEEDED - offered)
    if lacking:
        raise UserError(f"{source.origin['source']} lacks {folder}/{lacking[0]}: it is not a whole copy of RWKU.")
    if folder in manifest["targets"]:
        missing, differing = _compare(folder, manifest, out)
        if differing:
            raise UserError(
                f"{differing[0]} differs from the manifest, so it was changed or damaged: "
                "delete it and run the download again."
            )
        if not missing and offered <= manifest["targets"][folder]["files"].keys():
            return "already there"
    staging = out / _STAGING
    source.fetch(folder, staging)
    staged = staging / "Target" / folder
    for leftover in staged.iterdir():
        if leftover.name not in offered:  # of an earlier call from another source
            leftover.unlink()
    RwkuData(staging).check(folder)
    files = {name: _describe(staged / name) for name in sorted(offered)}
    _publish(staged, out / "Target" / folder)
    manifest["targets"][folder] = {**source.origin, "files": files}
    write_json_atomic(out / MANIFEST, manifest)
    size = sum(entry["bytes"] for entry in files.values()) / 1e6
    rest = len(_FILE_NAMES) - len(files)
    return f"{len(files)} files, {size:.1f} MB" + (f" (the source lacks {rest} training files)" if rest else "")


def _publish(staged: Path, final: Path) -> None:
    """Give a whole target its name, or complete a folder of which some files are there already."""
    if not final.exists():
        final.parent.mkdir(exist_ok=True)
        publish_folder(staged, final)
        return
    for path in staged.iterdir():
        there = final / path.name
        if there.exists() and _describe(there) != _describe(path):
            raise UserError(f"{there} differs from the source's: delete it and run the download again.")
    for path in staged.iterdir():
        path.replace(final / path.name)


def _compare(folder: str, manifest: Manifest, out: Path) -> tuple[list[Path], list[Path]]:
    """Files of a target that the manifest lists: those missing, and those that differ from it."""
    missing, differing = [], []
    for name, entry in manifest["targets"][folder]["files"].items():
        path = out / "Target" / folder / name
        if not path.is_file():
            missing.append(path)
        elif _describe(path) != entry:
            differing.append(path)
    return missing, differing


def _describe(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}


def _hub_error(error: Exception) -> UserError:
    return UserError(
        f"The hub did not give {REPOSITORY}: {first_line(error)}. Run the same command again to go on, "
        "or give --from with the folder of a copy."
    )
