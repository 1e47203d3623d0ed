"""Runs commands one after another in a process in which torch cannot be imported, and says how each ended.

`python without_torch.py COMMANDS.json`: a list of command lines, each a list of words, the first of them `train` or
another command of `atu`. On stdout: a list of [exit code, what was written to stderr].
"""

from __future__ import annotations

import contextlib
import importlib.abc
import io
import json
import sys
from pathlib import Path

FORBIDDEN = {"torch", "transformers", "accelerate", "safetensors"}


class _Guard(importlib.abc.MetaPathFinder):
    """Finds nothing, and ends the process where a forbidden package is looked for."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in FORBIDDEN:
            raise SystemExit(f"{name} was imported")


def main(commands: list[list[str]]) -> list[list[object]]:
    """How each command ended."""
    sys.meta_path.insert(0, _Guard())
    for name in ("bitsandbytes", "nltk", "rouge", "sklearn"):
        sys.modules[name] = None  # type: ignore[assignment]  # what Python itself takes for "not installed"
    from atu.cli import main as atu
    from atu.launch import launch

    ends: list[list[object]] = []
    for command, *arguments in commands:
        err = io.StringIO()
        code: object = 0
        sys.argv = ["atu", command, *arguments]
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            try:
                if command == "train":
                    launch("python launch_training.py", arguments)
                else:
                    atu()
            except SystemExit as end:
                code = end.code
        ends.append([code, err.getvalue()])
    return ends


if __name__ == "__main__":
    print(json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
