"""One line to the user about what was mended on the way: on stderr, and in the log of the run."""

from __future__ import annotations

import logging
import sys

from atu.processes.environment import is_speaker
from atu.text.escaping import one_line

logger = logging.getLogger("atu")


def notice(message: str) -> None:
    """Say it once: among several processes of a run, the first one speaks."""
    if is_speaker():
        logger.info(message)  # a warning would come to stderr a second time where nothing is logged
        print(one_line(f"warning: {message}"), file=sys.stderr, flush=True)
