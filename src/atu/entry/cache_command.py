"""`atu cache`: what the cache holds, and how to be rid of it. No torch here."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import typer

from atu.entry.guard import exit_codes
from atu.errors import UserError, did_you_mean
from atu.storage.cache import LIMIT_VARIABLE, ROOMS, Entry, cache_limit, delete, entries
from atu.storage.files import cache_root
from atu.text.escaping import one_line

_DAY_SECONDS = 86400.0

app = typer.Typer(help="Show what the cache holds, or clear it.", rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """Show what the cache holds: `atu cache`."""
    if context.invoked_subcommand is not None:
        return
    with exit_codes("The same command starts anew."):
        limit, kept = cache_limit(), entries()
        most = "without a limit" if limit is None else f"of at most {size(limit)}"
        typer.echo(f"{one_line(str(cache_root()))}: {size(_total(kept))} {most} ({LIMIT_VARIABLE})")
        for room, words in ROOMS.items():
            here = [entry for entry in kept if entry.room == room]
            if here:
                used = datetime.fromtimestamp(max(entry.last_used for entry in here)).date()
                typer.echo(f"{room:13}{len(here):6}  {size(_total(here)):>9}  last used {used}  {words}")


@app.command()
def clear(
    room: Annotated[
        str | None, typer.Argument(help="What to delete, by its name in `atu cache`; all by default.")
    ] = None,
    older_than: Annotated[
        float, typer.Option("--older-than", min=0, metavar="DAYS", help="Only what was not used for so many days.")
    ] = 0.0,
) -> None:
    """Delete what the cache holds; what another process uses stays. All of it is made again where it is needed."""
    with exit_codes("The same command resumes."):
        if room is not None and room not in ROOMS:
            raise UserError(f"The cache has no '{room}'.{did_you_mean(room, ROOMS)}")
        last = time.time() - older_than * _DAY_SECONDS
        chosen = [entry for entry in entries() if room in (None, entry.room) and entry.last_used <= last]
        deleted = [entry for entry in chosen if delete(entry)]
        rest = len(chosen) - len(deleted)
        stays = f"; {rest} in use, or not to be deleted by you, stay" if rest else ""
        typer.echo(f"{len(deleted)} deleted, {size(_total(deleted))}{stays}: {one_line(str(cache_root()))}")


def size(num_bytes: float) -> str:
    """Bytes as people read them: `1.2 GB`."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.3g} {unit}"
    return f"{num_bytes:.0f} bytes"


def _total(kept: Sequence[Entry]) -> int:
    return sum(entry.num_bytes for entry in kept)
