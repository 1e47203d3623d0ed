"""Whatever is raised inside of the guard ends as one line and an exit code; whatever is printed cannot fail."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from atu.entry.guard import as_message, exit_codes, explain
from atu.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
NO_MEMORY = (
    "Not enough memory. Close other programs, or take smaller batches, a smaller model or adapters: docs/memory.md "
    "says what needs how much."
)
FULL = "error: Cannot write the output: No space left on device.\n"
BEGIN = "from atu.entry.guard import exit_codes\nwith exit_codes('Again.'):\n    "


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Python code under the guard, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, env=environment)


def too_much() -> None:
    torch.empty(10**15)


def too_deep() -> None:
    too_deep()


def half_a_letter() -> None:
    "\ud800".encode()


def no_file() -> None:
    Path("/no/such/file").read_bytes()


def too_many_files() -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "log.txt")


def no_segment() -> None:
    raise ImportError("libtorch_cpu.so: failed to map segment from shared object")


def wrong() -> None:
    raise UserError("The file\nis\x1b[31m wrong.")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (too_much, NO_MEMORY),
        (no_segment, NO_MEMORY),
        (too_deep, "Something that was given is nested too deeply to be read."),
        (
            half_a_letter,
            "A text or a name that was given is no valid Unicode: 'utf-8' codec can't encode character '\\ud800' in "
            "position 0: surrogates not allowed.",
        ),
        (no_file, "No such file or directory (/no/such/file)."),
        (
            too_many_files,
            "Too many open files (log.txt): raise the limit (`ulimit -n 1024`) and run the same command again.",
        ),
        (wrong, "The file is\\x1b[31m wrong."),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_fault_of_a_file_or_the_machine_is_one_line(
    fault: object, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end, exit_codes("Again."):
        fault()  # type: ignore[operator]
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_a_bug_is_one_line_that_names_the_file_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    with pytest.raises(SystemExit) as end, exit_codes("Again."):
        {}["a line\nand another"]
    assert end.value.code == 1
    err = capsys.readouterr().err
    found = re.fullmatch(
        r"error: This is a bug of the program \(KeyError: 'a line\\nand another'\)\. Please report it with the file "
        r"(\S+), which says where it is\.\n",
        err,
    )
    assert found
    text = Path(found[1]).read_text()
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("KeyError: 'a line\\nand another'\n")


def test_a_bug_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ATU_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    assert explain(KeyError("x")) == (
        "This is a bug of the program, please report it: KeyError: 'x'. HYDRA_FULL_ERROR=1 shows where it is."
    )


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, exit_codes("Again."):
        raise KeyboardInterrupt
    assert (end.value.code, capsys.readouterr().err) == (130, "\ninterrupted. Again.\n")


def test_of_two_guards_the_inner_one_alone_says_how_to_go_on_after_a_signal() -> None:
    inner = 'import os, signal\n    with exit_codes("Resume."):\n        os.kill(os.getpid(), signal.SIGTERM)'
    result = run(inner)
    assert (result.returncode, result.stderr) == (143, "\nended by SIGTERM. Resume.\n")


def test_a_message_is_cut_where_it_would_fill_the_screen() -> None:
    assert as_message("x" * 10_000) == "x" * 1997 + "..."


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_that_the_terminal_lacks_are_replaced(encoding: str) -> None:
    result = run("print('✓ \\ud800')", PYTHONIOENCODING=encoding)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == ("✓ ?\n" if encoding == "utf-8" else "? ?\n")


def test_the_traceback_is_shown_to_whoever_asks() -> None:
    result = run("{}['x']", HYDRA_FULL_ERROR="1")
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback")


def test_a_number_of_processes_that_is_none() -> None:
    result = run("from atu.processes.environment import is_started; is_started()", WORLD_SIZE="abc", RANK="x")
    assert result.returncode == 2
    assert result.stderr == (
        "error: The environment variable WORLD_SIZE is 'abc', which is no number of processes: unset it, or start the "
        "run by torchrun or devices=N.\n"
    )


@pytest.mark.parametrize(
    ("command", "code", "err"),
    [
        ("{python} -c '{code}' > /dev/full", 2, FULL),
        ("{python} launch_training.py --help > /dev/full", 2, FULL),
        ("{python} -m atu --help > /dev/full", 2, FULL),
        ("set -o pipefail; {python} -c '{code}' | true", 141, ""),
        ("{python} -c '{code}' >&-", 0, ""),
        ("{python} -c '{code}' >&- 2>&-", 0, ""),
        ("cd {gone}; rmdir {gone}; {python} -c '{code}'", 2, "error: The working directory does not exist any more: "
         "change to another one.\n"),
    ],
)  # fmt: skip
def test_output_that_nobody_takes(tmp_path: Path, command: str, code: int, err: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs a device that is always full (/dev/full)")
    (tmp_path / "gone").mkdir()
    script = BEGIN.replace("'", '"') + 'for i in range(9): print("x" * 9999)'
    line = command.format(python=sys.executable, code=script, gone=tmp_path / "gone")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert (result.returncode, result.stderr) == (code, err)


@pytest.mark.parametrize("script", ["launch_training.py", "generate_results.py"])
def test_a_machine_on_which_not_even_the_first_import_succeeds(script: str, tmp_path: Path) -> None:
    (tmp_path / "hydra.py").write_text("raise MemoryError")
    (tmp_path / "yaml.py").write_text("raise MemoryError")
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT / 'src'}"}
    result = subprocess.run(
        [sys.executable, ROOT / script, "--help"], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert (result.returncode, result.stderr) == (
        2,
        "error: this project's packages cannot be loaded (MemoryError:). Is there too little memory, or a low "
        "`ulimit`?\n",
    )
