"""The folder of one evaluation of a finished model: whose answers it holds, and that no other's replace them."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.records import Judgement, Scoring
from atu.runs.manifest import now, versions
from atu.runs.run_folder import flat_keys, write_evaluation
from atu.storage.files import PARTIAL_SUFFIX, disk_errors, held_folder, sync_folder, write_json_atomic
from atu.storage.locks import LOCK_NAME
from atu.storage.user_files import read_json

IDENTITY_FILE = "evaluation.json"
_HEAD = "scores.json"
_NOT_DEFINING = ("label", "source", "revision", "run", "device")
"""Last parts of keys that say where something was found or computed, and not what it is."""
_SHOWN_DIFFERENCES = 3


@dataclass(frozen=True)
class EvaluationFolder:
    """Folder of `scores.json`, the answers, and `evaluation.json`, which says whose they are."""

    root: Path

    def refuse_other(self, identity: Mapping[str, Any]) -> None:
        """Refuse the folder when it holds the scores of another evaluation.

        Args:
            identity: nested plain values. May be a part of the whole: what it leaves out is not compared.

        Raises:
            UserError: names what differs. Nothing is changed.
        """
        if not self._holds_answers():
            return
        path = self.root / IDENTITY_FILE
        if not path.is_file():
            raise UserError(
                f"{self.root} holds scores or answers, but no {IDENTITY_FILE} that says of which model. Choose another "
                "--out, or delete them."
            )
        stored = read_json(path)
        kept, wanted = _defining(stored), _defining(identity)
        groups = {key.partition(".")[0] for key in wanted}
        keys = [
            key
            for key in dict.fromkeys([*kept, *wanted])
            if key.partition(".")[0] in groups and kept.get(key) != wanted.get(key)
        ]
        if keys:
            shown = [f"{key}: {_word(stored, key)} → {_word(identity, key)}" for key in keys[:_SHOWN_DIFFERENCES]]
            more = f"; and {len(keys) - len(shown)} more" if len(keys) > len(shown) else ""
            raise UserError(
                f"{self.root} holds another evaluation ({'; '.join(shown)}{more}). Choose another --out, or delete "
                "that folder."
            )

    def write(
        self,
        identity: Mapping[str, Any],
        judgements: Mapping[Scoring, Judgement],
        files: Mapping[str, Any] | None = None,
    ) -> None:
        """Keep an evaluation. All is written to a copy first, so that a full disk leaves the earlier one.

        `scores.json` goes first and comes last: while it is there, all files belong together.

        Args:
            files: further files, name → JSON value.

        Raises:
            UserError: the folder holds another evaluation, or the disk refuses.
        """
        self.refuse_other(identity)
        partial = self.root / f".evaluation{PARTIAL_SUFFIX}"
        try:
            with disk_errors(self.root):
                shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
                partial.mkdir()
            write_json_atomic(partial / IDENTITY_FILE, {**identity, "created": now(), "versions": versions()})
            write_evaluation(partial, judgements)
            for name, value in (files or {}).items():
                write_json_atomic(partial / name, value)
            answers = sorted(path.name for path in partial.glob("answers.*.jsonl"))
            with disk_errors(self.root):
                (self.root / _HEAD).unlink(missing_ok=True)
                for path in self.root.glob("answers.*.jsonl"):
                    path.unlink()
                for name in (IDENTITY_FILE, *answers, *(files or ()), _HEAD):
                    (partial / name).replace(self.root / name)
                sync_folder(self.root)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _holds_answers(self) -> bool:
        return (self.root / _HEAD).exists() or any(self.root.glob("answers.*.jsonl"))


@contextmanager
def open_evaluation(root: Path) -> Iterator[EvaluationFolder]:
    """Make the folder and hold it while the block runs; what cannot be written shows here, before anything is asked.

    Raises:
        UserError: the folder cannot be written, or another process holds it.
    """
    is_new = not root.exists()
    try:
        with held_folder(root, f"Another process is writing {root}. Wait for it, or choose another --out."):
            trial = root / f".{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
            with disk_errors(root):
                trial.write_bytes(b"x")
                trial.unlink()
            yield EvaluationFolder(root)
    finally:
        if is_new and root.is_dir() and {path.name for path in root.iterdir()} <= {LOCK_NAME}:
            (root / LOCK_NAME).unlink(missing_ok=True)
            root.rmdir()


def _defining(identity: Any) -> dict[str, Any]:
    """The keys by which two evaluations are the same, dotted; `before: null` is a value of its own."""
    if not isinstance(identity, Mapping):
        return {}
    parts = {key: value for key, value in identity.items() if key not in ("created", "versions")}
    flat = {key: value for key, value in flat_keys(parts).items() if key.rpartition(".")[2] not in _NOT_DEFINING}
    return json.loads(json.dumps(flat))  # type: ignore[no-any-return]  # tuples are lists, as in the file


def _word(identity: Any, key: str) -> str:
    """The value of a key; a model's checksum with the model's label, since nobody knows checksums by heart."""
    flat = flat_keys(identity) if isinstance(identity, Mapping) else {}
    value = flat.get(key)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = text if len(text) <= 40 else f"{text[:12]}..."
    label = flat.get(f"{key.rpartition('.')[0]}.label") if key.endswith(".sha256") else None
    return f"{label} ({text})" if label else text
