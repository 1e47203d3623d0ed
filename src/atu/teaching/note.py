"""The note that a taught model folder bears for the program. No torch here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from atu.errors import UserError
from atu.storage.files import disk_errors
from atu.storage.user_files import read_json

NOTE_FILE = "taught.json"


def read_note(out: Path) -> dict[str, Any] | None:
    """The note of the taught model that lies at `out`; None where there is nothing yet.

    Raises UserError where there is something else, which is left alone.
    """
    if (out / NOTE_FILE).is_file():
        note = read_json(out / NOTE_FILE)
        return note if isinstance(note, dict) else {}
    with disk_errors(out):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise UserError(f"{out} exists and is no taught model; it was left alone. Choose another --out.")
    return None
