"""How a run ended is in its folder, whatever ended it."""

from __future__ import annotations

from pathlib import Path

import pytest

from atu.errors import SignalEnd, UserError
from atu.report.page import write_report
from atu.runs.opening import open_run
from atu.runs.run_folder import RunFolder
from atu.runs.session import session

CONFIG = {"seed": 0}


@pytest.mark.parametrize(
    ("end", "state", "message"),
    [
        (UserError("There is no file x."), "failed", "There is no file x."),
        (KeyError("x"), "failed", "KeyError: 'x'"),
        (ValueError(), "failed", "ValueError"),
        (KeyboardInterrupt(), "interrupted", "the same command resumes from here"),
        (SignalEnd(15), "interrupted", "ended by SIGTERM; the same command resumes from here"),
        # As submitit ends a job that SLURM has put back into its queue.
        (SystemExit(-1), "interrupted", "the same command resumes from here"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_the_status_says_how_a_run_ended(end: BaseException, state: str, message: str, tmp_path: Path) -> None:
    folder = open_run(tmp_path / "a", CONFIG, "abc")
    folder.set_status("running", "02-unlearn", "training")
    with pytest.raises(type(end)), session(folder, write_report):
        raise end
    status = RunFolder(root=tmp_path / "a").read_status()
    assert (status["state"], status["stage"], status["message"]) == (state, "02-unlearn", message)
    # Free at once, though the folder and the exception are still held here.
    open_run(tmp_path / "a", CONFIG, "abc").close()


def test_a_terminal_that_is_gone_does_not_hide_the_signal(tmp_path: Path) -> None:
    folder = open_run(tmp_path / "a", CONFIG, "abc")

    def closed() -> None:
        try:
            raise SignalEnd(1)
        finally:
            raise OSError(5, "Input/output error")  # as the progress bar writes its last line

    with pytest.raises(SignalEnd), session(folder, write_report):
        closed()
    status = RunFolder(root=tmp_path / "a").read_status()
    assert (status["state"], status["message"]) == (
        "interrupted",
        "ended by SIGHUP; the same command resumes from here",
    )
