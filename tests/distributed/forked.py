"""Processes of one run as torchrun would start them, but forked, so that torch need not be loaded again in each."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from child_process import start
from torch.distributed import TCPStore


def start_processes(count: int, work: Callable[[], object]) -> list[int]:
    """Fork `count` processes that find each other, and return their ids by rank."""
    # As torchrun's agent does, this process keeps the store by which they meet; the system chooses its port.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def join(rank: int) -> None:
        os.environ |= {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(count),
            "LOCAL_WORLD_SIZE": str(count),
        }
        work()

    children = [start(lambda rank=rank: join(rank)) for rank in range(count)] if count > 1 else [start(work)]
    _stores.append(store)
    return children


def wait_all(children: list[int], seconds: float = 60.0) -> list[int]:
    """Exit codes by rank, minus the signal's number for those that were killed.

    Raises:
        TimeoutError: one is still there after `seconds`.
    """
    codes: dict[int, int] = {}
    end = time.monotonic() + seconds
    while len(codes) < len(children):
        if time.monotonic() > end:
            hanging = [child for child in children if child not in codes]
            for child in hanging:
                os.kill(child, signal.SIGKILL)
            raise TimeoutError(f"still running: {hanging}")
        for child in children:
            if child not in codes and (found := os.waitpid(child, os.WNOHANG))[0]:
                codes[child] = os.waitstatus_to_exitcode(found[1])
        time.sleep(0.005)
    return [codes[child] for child in children]


_stores: list[TCPStore] = []
"""Kept until the end, since processes meet at them."""
