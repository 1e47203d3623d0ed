"""The `wandb` package as this project uses it: imported on demand, quiet, and never asking for an account."""

from __future__ import annotations

import os
from types import ModuleType

from atu.errors import UserError, in_one_line


def import_wandb() -> ModuleType:
    """The package, with its own error reporting to its vendor off.

    Raises:
        UserError: it is not installed.
    """
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    try:
        import wandb
    except ImportError as error:
        raise UserError("wandb is not installed: run pip install '.[wandb]' in the project's folder.") from error
    wandb.setup(settings=wandb.Settings(show_info=False))
    return wandb


def log_in(wandb: ModuleType, otherwise: str = "") -> None:
    """Use the login that is there; nobody is asked for one.

    Args:
        wandb: what `import_wandb` gave.
        otherwise: what the user can do without a login, at the end of the message.

    Raises:
        UserError: no login, a wrong one, or a server that is not reached.
    """
    host = wandb.setup().settings.base_url
    try:
        is_logged_in = wandb.login(prompt=False, verify=True)
    except Exception as error:
        raise UserError(f"wandb does not take the login for {host}: {in_one_line(error)}.{otherwise}") from error
    if not is_logged_in:
        raise UserError(f"wandb has no login for {host}: run `wandb login`, or set WANDB_API_KEY.{otherwise}")
