"""Runs a tiny run again and again, each time killed with SIGKILL, until it is through; prints what it saw.

A process of its own, because it forks: each child is a real process that runs and dies, without paying the
imports anew. Usage: killed_runs.py SEED KILLS OVERRIDE...
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from functools import partial
from pathlib import Path

import torch
from child_process import start, wait

from atu.entry.compose import compose_run
from atu.run import run


def num_rows(metrics: Path) -> int:
    """Rows logged so far."""
    return metrics.read_bytes().count(b"\n") if metrics.exists() else 0


def main() -> None:
    """Run once undisturbed, then kill until the same config is through."""
    torch.set_num_threads(1)  # OpenMP's threads would not survive a fork
    chance, wanted = random.Random(int(sys.argv[1])), int(sys.argv[2])
    whole = compose_run([*sys.argv[3:], "name=whole"])
    killed = compose_run([*sys.argv[3:], "name=killed"])
    folder = Path(killed.runs_dir) / killed.name
    metrics, status_path = folder / "metrics.jsonl", folder / "status.json"
    assert wait(start(partial(run, whole)), 300.0) == 0
    kills: list[str] = []
    status: int | None = None
    while status is None:
        child = start(partial(run, killed))
        if len(kills) >= wanted:
            status = wait(child, 300.0)
        elif chance.random() < 0.3:
            status = wait(child, chance.uniform(0.0, 2.0))  # any moment, start-up included
        else:
            enough = num_rows(metrics) + chance.randrange(20)
            status = wait(child, 300.0, until=lambda enough=enough: num_rows(metrics) >= enough)
            time.sleep(chance.uniform(0.0, 0.05))  # anywhere between two rows, checkpoints included
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills.append(json.loads(status_path.read_text())["stage"] if status_path.exists() else "")
    print(json.dumps({"kills": kills, "status": status}))


if __name__ == "__main__":
    main()
