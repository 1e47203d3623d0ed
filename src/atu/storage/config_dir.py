"""Where the yaml defaults lie: packed into the wheel, or next to `src/` in a source checkout."""

from __future__ import annotations

from pathlib import Path

from atu.errors import UserError


def config_dir() -> Path:
    """The folder that holds train.yaml and its groups.

    Raises UserError when the installation has lost it.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_config", package.parents[1] / "config"):
        if folder.is_dir():
            return folder
    raise UserError(f"The configuration folder is missing beside {package}. Install the package again.")
