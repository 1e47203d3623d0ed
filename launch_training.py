"""Unlearn a concept: `python launch_training.py --help` shows every key; `atu train` is the same."""

from __future__ import annotations

import sys

from atu.launch import launch

if __name__ == "__main__":
    launch("python launch_training.py", sys.argv[1:])
