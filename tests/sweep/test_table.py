"""What a user sees of a sweep."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from rich.console import Console
from scored_runs import points, save_run

from atu.report.sweep_scores import print_scores
from atu.sweep.job import JobEnd
from atu.sweep.plan import PlannedJob
from atu.sweep.table import SweepTable, draw, line, print_end
from atu.sweep.watch import Row

WAITING = Row(name="Japan", job_id="7_0", state="pending (Resources)", place="", problem="")
RUNNING = Row(name="Japan", job_id="7_0", state="running", place="02-unlearn, step 7 of 12", problem="")
FAILED = Row(name="Human_Heart", job_id="7_1", state="failed", place="", problem="There is no file [x].")


def console(*, is_terminal: bool = False, width: int = 100) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=is_terminal, width=width, color_system=None), out


def job(number: int, root: Path) -> PlannedJob:
    cfg = OmegaConf.create()
    return PlannedJob(number=number, overrides=(), name=root.name, root=root, cfg=cfg, config=None, end=None)


def test_the_table_has_a_row_a_job() -> None:
    own, out = console()
    own.print(draw([RUNNING, FAILED]))
    lines = [[cell.strip() for cell in text.split("   ") if cell.strip()] for text in out.getvalue().splitlines()]
    assert ["run", "job", "state", "stage and step", "what is wrong"] in lines
    assert ["Japan", "7_0", "running", "02-unlearn, step 7 of 12"] in lines
    assert ["Human_Heart", "7_1", "failed", "There is no file [x]."] in lines


def test_a_pipe_gets_a_line_when_there_is_news() -> None:
    own, out = console()
    later = Row(name="Japan", job_id="7_0", state="running", place="02-unlearn, step 8 of 12", problem="")
    with SweepTable(own) as table:
        table.show({0: WAITING, 1: FAILED})
        table.show({0: WAITING, 1: FAILED})
        table.show({0: RUNNING, 1: FAILED})
        table.show({0: later, 1: FAILED})
    assert out.getvalue().splitlines() == [
        "Japan (job 7_0): pending (Resources)",
        "Human_Heart (job 7_1): failed, There is no file [x].",
        "Japan (job 7_0): running, 02-unlearn, step 7 of 12",
    ]


def test_a_terminal_keeps_the_last_table() -> None:
    own, out = console(is_terminal=True)
    with SweepTable(own) as table:
        table.show({0: WAITING})
        table.show({0: RUNNING})
    assert "02-unlearn, step 7 of 12" in out.getvalue()


def test_a_job_that_was_not_launched_has_no_id() -> None:
    assert line(Row(name="Japan", job_id="", state="done earlier", place="", problem="")) == "Japan: done earlier"


def test_the_end_has_the_means_of_what_is_done_and_a_line_for_what_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        job(0, save_run(tmp_path, points((80, 90), (20, 60)), target="Japan")),
        job(1, save_run(tmp_path, points((80, 90), (40, 80)), target="Human_Heart")),
        job(2, tmp_path / "lost"),
    ]
    ends = {0: JobEnd(state="done"), 1: JobEnd(state="done"), 2: JobEnd(state="failed", message="No [GPU].")}
    own, out = console()
    print_end(runs, ends, own, print_scores)
    assert out.getvalue().startswith("2 of 3 runs are done\n")
    rows = [text.split() for text in out.getvalue().splitlines()]
    # Forgetting 20 and 40, neighbors 60 and 80. Half of t's interval of two: 12.706 * sqrt(200) / sqrt(2) = 127.1.
    assert ["METHOD", "before", "ATU"] in rows
    assert ["n", "2", "2"] in rows
    assert ["FORGET_ALL", "↓", "80.0", "±", "0.0", "30.0", "±", "127.1"] in rows
    assert ["NEIGHBOR_ALL", "↑", "90.0", "±", "0.0", "70.0", "±", "127.1"] in rows
    assert "FORGET_FB" not in out.getvalue()  # which no run has
    assert capsys.readouterr().err == f"failed: lost: No [GPU]. ({tmp_path / 'lost'})\n"


def test_runs_that_are_no_repeats_of_one_method_are_shown_one_by_one(tmp_path: Path) -> None:
    runs = [job(i, save_run(tmp_path / str(i), points((80, 90), (20, 60)))) for i in range(2)]
    own, out = console(width=140)
    print_end(runs, {0: JobEnd(state="done"), 1: JobEnd(state="done")}, own, print_scores)
    assert "±" not in out.getvalue()
    assert out.getvalue().count("20.0") == 2


def test_without_a_finished_run_there_is_no_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own, out = console()
    print_end([job(0, tmp_path / "a")], {0: JobEnd(state="failed", message="x")}, own, print_scores)
    assert out.getvalue() == "0 of 1 runs are done\n"
    assert capsys.readouterr().err == f"failed: a: x ({tmp_path / 'a'})\n"
