"""Terminal: the table says what a reader needs, and pipes get plain lines."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from rich.console import Console

from atu.records import Score
from atu.report.terminal import print_before_after, print_outcome
from atu.runs.progress import RunProgress, duration
from atu.runs.run_folder import RunFolder


def console(*, is_terminal: bool = False, width: int = 80) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, force_terminal=is_terminal, width=width, color_system=None), out


def score(value: float) -> Score:
    return Score(value=value, n=61, low=value - 9, high=value + 9)


def test_table_has_direction_change_share_interval_and_count() -> None:
    out_console, out = console()
    before = {"forget/all": score(87.0), "degenerate/forget": score(9.0), "nll/forget@known": score(10.73)}
    after = {"forget/all": score(23.0), "degenerate/forget": score(10.6), "nll/forget@known": score(11.26)}
    print_before_after(before, after, out_console)
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["↓", "all", "questions", "87.0", "23.0", "14.0–32.0", "−64.0", "26%", "61"] in lines
    assert ["↓", "on", "the", "concept", "9.0", "10.6", "1.6–19.6", "+1.6", "61"] in lines
    assert ["↑", "on", "the", "concept", "10.730", "11.260", "2.260–20.260", "+0.530", "61"] in lines
    assert max(map(len, out.getvalue().splitlines())) <= 80


def test_table_without_after_shows_gaps() -> None:
    out_console, out = console()
    print_before_after({"forget/all": score(87.0)}, {}, out_console)
    assert "No verdict: nothing was asked after unlearning." in out.getvalue()
    assert ["↓", "all", "questions", "87.0", "–", "–", "–", "61"] in [
        line.split() for line in out.getvalue().splitlines()
    ]


def test_pipes_get_a_line_at_start_and_end() -> None:
    out_console, out = console()
    with RunProgress(out_console) as progress, progress.stage("Aligning [1 of 2]", 3) as stage:
        for done in range(4):
            stage(done, 3, "loss 0.1")
    assert out.getvalue().splitlines() == ["Aligning [1 of 2] ...", "✓ Aligning [1 of 2] 0 s"]


def test_a_terminal_gets_no_commands_from_names() -> None:
    """Escape sequences could clear the screen, change the title, or hide a line."""
    out_console, out = console()
    with RunProgress(out_console) as progress, progress.stage("asking \x1b[2J\x1b]0;owned\x07about\nHamlet"):
        progress.line("answer: \x1b[31m\r")
    print_before_after({"forget/\x1b[2J": score(87.0)}, {}, out_console)
    assert not set(out.getvalue()) & {"\x1b", "\x07", "\r"}
    assert "about Hamlet ..." in out.getvalue().splitlines()[0]


def test_steps_end_when_the_next_one_begins() -> None:
    out_console, out = console()
    with RunProgress(out_console) as progress, progress.steps() as report:
        report("Writing the corpus")(1, 2)
        report("Embedding windows")(2, 2)
    assert out.getvalue().splitlines() == [
        "Writing the corpus ...",
        "✓ Writing the corpus 0 s",
        "Embedding windows ...",
        "✓ Embedding windows 0 s",
    ]


def test_pipes_hear_of_a_long_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    out_console, out = console()
    with RunProgress(out_console) as progress, progress.stage("Unlearning") as stage:
        for done in range(1, 9):
            clock[0] += 25.0
            stage(done, 8)
    # 25 s a piece: said at 75 s and 150 s, where 5 and 2 pieces are left.
    assert out.getvalue().splitlines() == [
        "Unlearning ...",
        "Unlearning: 3 of 8, about 2 min 5 s left",
        "Unlearning: 6 of 8, about 50 s left",
        "✓ Unlearning 3 min 20 s",
    ]


def test_failed_stage_is_marked_and_the_error_goes_on() -> None:
    out_console, out = console()
    with pytest.raises(ZeroDivisionError), RunProgress(out_console) as progress, progress.stage("Unlearning"):
        raise ZeroDivisionError
    assert "✗ Unlearning" in out.getvalue()


def test_terminal_shows_bar_and_note_then_cleans_up() -> None:
    out_console, out = console(is_terminal=True, width=120)
    with RunProgress(out_console) as progress, progress.stage("Unlearning", 2) as stage:
        stage(1, 2, "loss 0.25")
        assert progress.bars is not None
        progress.bars.refresh()
        stage(2, 2)
    assert "loss 0.25" in out.getvalue()
    assert "50%" in out.getvalue()
    assert "✓ Unlearning" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_run_ends_with_what_to_do_next(make_run: Callable[..., RunFolder]) -> None:
    out_console, out = console(width=200)
    folder = make_run()
    config = folder.read_config()
    base = {"name": "smollm2", "model_name": "org/smollm2", "packages": ["x"]}
    folder.write_config({**config, "pre_trained_llm": base, "data": {"benchmark": "builtin"}}, "")
    print_outcome(folder, out_console)
    assert f"ask both models: atu chat {folder.root}" in out.getvalue()
    assert f"atu attack {folder.model_dir} --before smollm2 --quick --out {folder.root}" in out.getvalue()
    # Another benchmark's attack needs more options than can be guessed.
    folder.write_config({**config, "pre_trained_llm": base, "data": {"benchmark": "rwku"}}, "")
    out_console, out = console(width=200)
    print_outcome(folder, out_console)
    assert "atu attack" not in out.getvalue()
