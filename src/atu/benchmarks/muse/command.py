"""`atu data muse`: MUSE's files from the Hugging Face hub, or from a copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from atu.benchmarks.muse.download import download
from atu.benchmarks.muse.download import verify as verify_files
from atu.benchmarks.muse.files import COLLECTIONS
from atu.benchmarks.muse.reader import DEFAULT_DATA_DIR


def fetch(
    corpus: Annotated[Literal["news", "books", "all"], typer.Option(help="Which of MUSE's corpora.")] = "all",
    source: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Take them from a copy: of the repository muse_bench, or of the hub's MUSE-News, MUSE-Books."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that gets news/, books/ and a manifest.")] = DEFAULT_DATA_DIR,
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of the hub; else the manifest's commit, or main.")
    ] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Only compare the files with the manifest.")] = False,
) -> None:
    """Fetch MUSE from the Hugging Face hub or from a copy; the same command again resumes."""
    if verify:
        typer.echo(f"{verify_files(out)} files equal the manifest.")
        return
    collections = list(COLLECTIONS) if corpus == "all" else [corpus]
    manifest = download(collections, source=source, revision=revision, out=out, report=typer.echo)
    typer.echo(f"checksums: {manifest}")
