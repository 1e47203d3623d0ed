"""During a run: its status, its log and its trackers are kept true, whatever happens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

from atu.errors import SignalEnd, UserError, reason
from atu.runs.run_folder import RunFolder
from atu.runs.tracking import Tracker

logger = logging.getLogger("atu")


@contextmanager
def session(folder: RunFolder, write_report: Callable[[RunFolder], object]) -> Iterator[Tracker]:
    """Log to the run's log.txt, and say in status.json, on the page and to the trackers how the block ended.

    A run that failed still gets its page. Whatever the end, the run is free for the next process then.

    Args:
        write_report: writes the page of the run, before the trackers are told that it ended.
    """
    # Closed here, since a lock that an exception's frames keep alive goes at some later time.
    with closing(folder), _logged(folder):
        tracker = Tracker(folder)
        try:
            yield tracker
        except (KeyboardInterrupt, SystemExit) as end:  # the latter as a cluster's time limit comes near
            _interrupted(folder, tracker, end)
            raise
        except Exception as error:
            ended = _ending(error)
            if ended is not None:  # whose terminal is gone, so that the last word to it failed
                _interrupted(folder, tracker, ended)
                raise ended from None
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


def _interrupted(folder: RunFolder, tracker: Tracker, end: BaseException) -> None:
    what = f"ended by {end.signal}; " if isinstance(end, SignalEnd) else ""
    folder.set_status("interrupted", _stage(folder), f"{what}the same command resumes from here")
    tracker.finish("interrupted")


def _ending(error: BaseException | None) -> SignalEnd | None:
    """The signal on whose way out an error came up."""
    while error is not None and not isinstance(error, SignalEnd):
        error = error.__context__
    return error


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
