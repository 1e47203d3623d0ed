"""While a run goes on: its status, its log and its trackers are kept true, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from atu.errors import UserError, reason
from atu.results.page import write_report
from atu.results.run_folder import RunFolder
from atu.results.tracking import Tracker

logger = logging.getLogger("atu")


@contextmanager
def session(folder: RunFolder) -> Iterator[Tracker]:
    """Log to the run's log.txt, and say in status.json, on the page and to the trackers how the block ended.

    A run that failed still gets its page. Whatever the end, the run is free for the next process then.
    """
    # Closed here, since a lock that an exception's frames keep alive goes at some later time.
    with closing(folder), _logged(folder):
        tracker = Tracker(folder)
        try:
            yield tracker
        except (KeyboardInterrupt, SystemExit):  # the latter as a cluster's time limit comes near
            folder.set_status("interrupted", _stage(folder), "the same command goes on from here")
            tracker.finish("interrupted")
            raise
        except Exception as error:
            logger.exception("the run failed")
            # A disk that is full refuses these too; the reason of the run's end is what the user must see.
            with suppress(UserError):
                folder.set_status("failed", _stage(folder), reason(error))
                write_report(folder)
            tracker.finish("failed")
            raise
        folder.set_status("done", _stage(folder), "")
        write_report(folder)
        tracker.finish("done")


def _stage(folder: RunFolder) -> str:
    return str(folder.read_status().get("stage", ""))


@contextmanager
def _logged(folder: RunFolder) -> Iterator[None]:
    """Send the program's log to the run's log.txt."""
    handler = logging.FileHandler(folder.log_path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("atu")
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
