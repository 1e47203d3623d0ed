"""`atu data rwku`: RWKU's files from the Hugging Face hub, or from a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atu.benchmarks.rwku.download import download
from atu.benchmarks.rwku.download import verify as verify_files
from atu.benchmarks.rwku.reader import DEFAULT_DATA_DIR


def fetch(
    targets: Annotated[list[str] | None, typer.Argument(help="Folder names, such as 1_Stephen_King.")] = None,
    all_targets: Annotated[bool, typer.Option("--all", help="All 200 targets (2.2 GB).")] = False,
    source: Annotated[Path | None, typer.Option("--from", help="Take them from a copy that you have.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets Target/ and a manifest.")] = DEFAULT_DATA_DIR,
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of the hub; else the manifest's commit, or main.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only compare the files with the manifest.")] = False,
) -> None:
    """Fetch RWKU from the Hugging Face hub or from a copy; the same command again resumes."""
    if verify:
        typer.echo(f"{verify_files(out)} files equal the manifest.")
        return
    manifest = download(
        targets or [], all_targets=all_targets, source=source, revision=revision, out=out, report=typer.echo
    )
    typer.echo(f"checksums: {manifest}")
