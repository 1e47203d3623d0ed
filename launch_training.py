"""Unlearn a concept: `python launch_training.py --help` shows every key; `atu train` is the same."""

from __future__ import annotations

import sys

try:
    import hydra  # noqa: F401  # what launch imports later; a Python without it has none of the packages

    from atu.launch import launch
except ModuleNotFoundError as error:
    print(
        f"error: {sys.executable} lacks '{error.name}', which this project needs: run `make setup` once, then "
        "`. .venv/bin/activate` in each new shell.",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

if __name__ == "__main__":
    launch("python launch_training.py", sys.argv[1:])
