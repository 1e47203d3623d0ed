"""`atu data tofu`: TOFU's files from the Hugging Face hub, or from a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from atu.benchmarks.tofu.download import download
from atu.benchmarks.tofu.download import verify as verify_files
from atu.benchmarks.tofu.reader import DEFAULT_DATA_DIR


def fetch(
    source: Annotated[Path | None, typer.Option("--from", help="Take them from a copy that you have.")] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets full.json and the like.")] = DEFAULT_DATA_DIR,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only compare what is there with what was published.")
    ] = False,
) -> None:
    """Fetch TOFU from the Hugging Face hub at one commit, or from a copy, and check its rows (6 MB)."""
    if verify:
        typer.echo(f"{verify_files(out)} files are as published.")
        return
    download(source=source, out=out, report=typer.echo)
    typer.echo(f"files: {out}")
