"""`atu data lume`: LUME's files from its public repository, or from a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atu.benchmarks.lume.download import download
from atu.benchmarks.lume.download import verify as verify_files
from atu.benchmarks.lume.reader import DEFAULT_DATA_DIR


def fetch(
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Take them from a copy: a folder with forget.jsonl and retain.jsonl."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets the files and a manifest.")] = DEFAULT_DATA_DIR,
    verify: Annotated[bool, typer.Option("--verify", help="Only compare the files with the manifest.")] = False,
) -> None:
    """Fetch LUME (2 MB) from its public repository at a fixed commit, or from a copy."""
    if verify:
        typer.echo(f"{verify_files(out)} files equal the manifest.")
        return
    typer.echo(f"checksums: {download(source=source, out=out, report=typer.echo)}")
