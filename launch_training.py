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
except (ImportError, MemoryError, OSError) as error:  # before there is a guard that could say so
    said = " ".join(f"{type(error).__name__}: {error}".split())[-200:]
    print(
        f"error: this project's packages cannot be loaded ({said}). Is there too little memory, or a low `ulimit`?",
        file=sys.stderr,
    )
    raise SystemExit(2) from None

if __name__ == "__main__":
    launch("python launch_training.py", sys.argv[1:])
