"""A child of this process for tests that kill: forked, so that torch need not be loaded again."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable


def start(work: Callable[[], object]) -> int:
    """Fork a child that does the work, and return its process id; its exit status is 1 when the work fails."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            print(f"child failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return child


def wait(child: int, seconds: float, until: Callable[[], bool] = lambda: False) -> int | None:
    """Exit status of the child, or None when its time is up or `until` is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not until():
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status
        time.sleep(0.002)
    return None
