"""One of the processes of a run: `python -m atu.worker FOLDER`, as `atu.entry.workers` starts it."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

from atu.config import RunConfig
from atu.entry.guard import explain
from atu.entry.workers import CONFIG_FILE, ERROR_FILE
from atu.errors import EXIT_INTERRUPTED, EXIT_USER_ERROR
from atu.processes.environment import is_speaker
from atu.typed import from_mapping


def main() -> None:
    """Run the config that the folder holds."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that the run says that it was ended
    folder = Path(sys.argv[1])
    config = from_mapping(RunConfig, json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")), "")
    # Several processes with a thread for each core are slower than one. Before torch is there, which reads it.
    cores = (os.cpu_count() or 1) // int(os.environ["LOCAL_WORLD_SIZE"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores)))
    from atu.launch import run_and_report

    try:
        run_and_report(config)
    except Exception as error:
        if is_speaker():
            (folder / ERROR_FILE).write_text(explain(error), encoding="utf-8")
        raise SystemExit(EXIT_USER_ERROR) from None
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None


if __name__ == "__main__":
    main()
