"""A run folder to write: made or resumed, locked, and refused where it is not this run's."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import BaseFileLock

from atu.errors import UserError
from atu.processes.notices import notice
from atu.runs.run_folder import RunFolder, flat_keys, is_among
from atu.storage.files import PARTIAL_SUFFIX, disk_errors, lock_folder
from atu.storage.locks import LOCK_NAME
from atu.text.escaping import is_device_name

_LONGEST_NAME = 200
"""In bytes; 255 is what file systems take, and the copy that is being written has a longer name."""
_SHOWN_DIFFERENCES = 5


def open_run(root: Path, config: Mapping[str, Any], config_hash: str, *, may_differ: Sequence[str] = ()) -> RunFolder:
    """Create a run folder, or resume it when it holds the same config.

    A folder whose run failed before it kept anything takes the new config.

    Args:
        root: folder of the run; its parents are made.
        config: plain nested values (mappings, sequences, strings, numbers, None).
        config_hash: kept as a comment at the head of `config.yaml`.
        may_differ: dotted keys, or beginnings of them, that a resumed run may give anew; `config.yaml` keeps
            the first values.

    Raises:
        UserError: the folder belongs to a run of another config (the differing keys are named), to
            something that is no run, or to a process that is still writing; or it can't be written.
            Nothing is changed then.
    """
    config = _plain(config)
    _refuse_foreign(root)
    lock = lock_run(root)
    folder = RunFolder(root=root, lock=lock, replaced=RunFolder(root=root).replaced_stages())
    try:
        holds_work = folder.holds_work
        first = _read_first(folder, config_hash)
        if holds_work and first is not None:
            refuse_other_config(root, first, config, may_differ)
        _remove_leftovers(root)
        if not holds_work or first is None:
            folder.write_config(config, config_hash)
        folder.set_status("running", "", "")
    except UserError:
        lock.release()
        raise
    return folder


def refuse_taken(root: Path, config: Mapping[str, Any], *, may_differ: Sequence[str] = ()) -> None:
    """Refuse, without opening it, a folder that `open_run` would refuse for what it holds.

    Raises:
        UserError: the folder belongs to a run of another config, or to something that is no run.
    """
    _refuse_foreign(root)
    folder = RunFolder(root=root)
    if not folder.holds_work or not folder.config_path.exists():
        return
    try:
        first = folder.read_config()
    except UserError:
        return  # `open_run` says whether it may be written anew
    refuse_other_config(root, first, config, may_differ)


def _read_first(folder: RunFolder, config_hash: str) -> dict[str, Any] | None:
    """The config that a run began with; None where there is none, or a damaged one of the same hash as this one."""
    if not folder.config_path.exists():
        return None
    try:
        return folder.read_config()
    except UserError:
        head = f"# config hash: {config_hash}\n".encode()
        if not config_hash or not folder.config_path.read_bytes().startswith(head):
            raise
    notice(f"{folder.config_path} is damaged, or was edited; it is written anew, as this command has it.")
    return None


def name_fault(name: str) -> str | None:
    """Why a run may not be called so, as the end of a message; None where it may."""
    if not name or name.startswith(".") or set(name) & set("/\\\0\n"):
        return "no slash, and no dot in front"
    if not name.isprintable():
        return "no control characters, and no bytes that are no UTF-8"
    if name != name.strip() or name.endswith("."):
        return "no space at an end, and no dot at the end"
    if name.endswith((PARTIAL_SUFFIX, ".replaced", ".previous", ".lock")):
        return f"what ends in .{name.rpartition('.')[2]} is taken for unfinished, and no report shows it"
    if is_device_name(name):
        return "some systems keep this word for a device"
    if len(name.encode()) > _LONGEST_NAME:
        return f"at most {_LONGEST_NAME} bytes, so that file systems take it"
    return None


def lock_run(root: Path) -> BaseFileLock:
    """Keep other processes from writing a run, until the lock is released or this process ends.

    Raises:
        UserError: another process is writing it.
    """
    return lock_folder(
        root,
        lambda: f"Another process{_holder(root)} is writing the run {root}. Wait for it, or choose another `name=`.",
    )


def _holder(root: Path) -> str:
    try:
        status = RunFolder(root=root).read_status()
    except UserError:
        return ""
    return f" ({status['pid']} on {status['host']})" if {"pid", "host"} <= set(status) else ""


def _refuse_foreign(root: Path) -> None:
    """Refuse a folder with content that isn't ours; nothing in it is touched."""
    if not root.exists() or (root / "config.yaml").exists():
        return
    with disk_errors(root):
        others = sorted(path.name for path in root.iterdir() if not _is_leftover(path) and path.name != LOCK_NAME)
    if others:
        raise UserError(
            f"{root} is not a run folder, but it holds {others[0]}"
            f"{f' and {len(others) - 1} more' if len(others) > 1 else ''}. Choose another `name=`."
        )


def refuse_other_config(
    root: Path, first: Mapping[str, Any], config: Mapping[str, Any], may_differ: Sequence[str]
) -> None:
    """Refuse to resume a run under another config than its first one.

    Raises:
        UserError: names the keys that differ.
    """
    old, new = flat_keys(first), flat_keys(_plain(config))
    keys = [
        key
        for key in {**old, **new}
        if old.get(key, _ABSENT) != new.get(key, _ABSENT) and not is_among(key, may_differ)
    ]
    if not keys:
        return
    shown = [f"{key}: {_word(old, key)} → {_word(new, key)}" for key in keys[:_SHOWN_DIFFERENCES]]
    if len(keys) > len(shown):
        shown.append(f"and {len(keys) - len(shown)} more")
    raise UserError(
        f"{root} holds a run of another config ({'; '.join(shown)}). "
        "Choose another `name=`, or delete the folder to start anew."
    )


_ABSENT = object()


def _word(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key], ensure_ascii=False, default=str) if key in flat else "(not set)"


def _is_leftover(path: Path) -> bool:
    return path.name.endswith(PARTIAL_SUFFIX)


def _remove_leftovers(root: Path) -> None:
    """Remove what a killed process left unfinished."""
    with disk_errors(root):
        for path in [*root.glob(f"*{PARTIAL_SUFFIX}"), *root.glob(f"stages/*{PARTIAL_SUFFIX}")]:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


def _plain(value: Any) -> Any:
    """As yaml and JSON know it: tuples are lists, paths are text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
