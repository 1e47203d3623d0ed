"""TOFU's files from the Hugging Face hub at one commit, or from a copy, each checked against the published rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from atu.benchmarks.tofu.files import FILES, REPOSITORY, REVISION, Row, TofuFile, rows_sha256
from atu.benchmarks.tofu.reader import TofuData
from atu.errors import UserError, first_line
from atu.storage.files import disk_errors, write_text_atomic
from atu.storage.user_files import shown

_PARTIAL = ".partial"
Report = Callable[[str], None]


def download(*, source: Path | None, out: Path, report: Report) -> None:
    """Write TOFU's files into `out` as JSON Lines, each when its rows are those that were published.

    A copy may lack files; they are named. Files that are there already are written anew.

    Args:
        source: a copy; None takes the hub.

    Raises:
        UserError: a copy without any file or with other rows, a hub that can't be reached, a full disk.
    """
    staging = out / _PARTIAL
    folder = _from_hub(staging) if source is None else source
    data = TofuData(folder)
    lacking = [name for name in FILES if not (folder / f"{name}.json").is_file()]
    for file in FILES.values():
        if file.name not in lacking:
            rows = _published(data, file)
            write_text_atomic(out / f"{file.name}.json", "".join(_line(row, file) for row in rows))
            report(f"{file.name}: {len(rows)} rows")
    with disk_errors(out):
        shutil.rmtree(staging, ignore_errors=True)
    if lacking:
        report(f"the copy lacks {', '.join(lacking)}")


def verify(out: Path) -> int:
    """Compare the rows of every file in a folder with the published ones; returns how many files there are.

    Raises UserError that names a file which differs.
    """
    data = TofuData(out)
    found = [file for file in FILES.values() if (out / f"{file.name}.json").is_file()]
    for file in found:
        _published(data, file)
    return len(found)


def _published(data: TofuData, file: TofuFile) -> tuple[Row, ...]:
    rows = data.rows(file.name)
    if rows_sha256(rows) != file.sha256:
        count = f"{len(rows)} rows instead of {file.rows}" if len(rows) != file.rows else "other texts in them"
        raise UserError(
            f"{shown(data.path(file.name))} is not as TOFU's authors published it ({count}): take another copy, or the "
            "hub."
        )
    return rows


def _line(row: Row, file: TofuFile) -> str:
    value = {key: text for key, text in asdict(row).items() if text}
    if file.num_perturbed:
        value["perturbed_answer"] = list(value.pop("perturbed_answers"))
    return json.dumps(value, ensure_ascii=False) + "\n"


def _from_hub(staging: Path) -> Path:
    from huggingface_hub import snapshot_download

    try:
        with disk_errors(staging):
            snapshot_download(
                REPOSITORY,
                repo_type="dataset",
                revision=REVISION,
                local_dir=staging,
                allow_patterns=[f"{name}.json" for name in FILES],
            )
    except UserError:
        raise
    except Exception as error:  # whichever HTTP library the hub client is built on
        raise UserError(
            f"The hub did not give {REPOSITORY}: {first_line(error)}. Run the same command again to go on, or give "
            "--from with the folder of a copy."
        ) from error
    return staging
