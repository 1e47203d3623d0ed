"""A SLURM of one node for the tests of this folder, which `make test-slurm` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from workplace import Workplace

from .cluster import queued, slurm, wait_for

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LONG = "[{type: training, steps: 200}, {type: unlearning, steps: 40}]"
SHORT = "[{type: training, steps: 6}, {type: unlearning, steps: 4}]"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """SLURM, whose commands then work in this process and its children."""
    if os.environ.get("ATU_TEST_SLURM") != "1":
        pytest.skip("`make test-slurm` runs it")
    folder = str(tmp_path_factory.mktemp("slurm"))
    up = subprocess.run([HERE / "up", folder], capture_output=True, text=True, timeout=300, check=False)
    if up.returncode == 3:
        pytest.skip(up.stderr.strip())
    assert up.returncode == 0, up.stderr
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = up.stdout.strip()
    yield
    subprocess.run([HERE / "down", folder], timeout=120, check=True)
    del os.environ["SLURM_CONF"]
    if before is not None:
        os.environ["SLURM_CONF"] = before


@dataclass(frozen=True)
class Command:
    """A command that a user has given; what it prints lies in files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def end(self, seconds: float) -> tuple[int, str, list[str]]:
        """Exit code, stdout, and the lines of stderr that are for people."""
        code = self.process.wait(seconds)
        lines = [line for line in self.err.read_text().splitlines() if not line.startswith("import time:")]
        return code, self.out.read_text(), lines

    @property
    def imported(self) -> set[str]:
        """Names of the modules that it imported."""
        lines = self.err.read_text().splitlines()
        return {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}


Start = Callable[..., Command]


@pytest.fixture
def start(cluster: None, workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Gives the command of a user with these arguments, in the workplace. No job outlives the test."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "OMP_NUM_THREADS": "1",
        "STAGES_Zorblatt": LONG,
        "STAGES_Quux": SHORT,
        "STAGES_Nobody": SHORT,
    }
    with ExitStack() as stack:

        def begin(*arguments: str) -> Command:
            folder = tmp_path_factory.mktemp("output")
            out, err = folder / "out", folder / "err"
            process = subprocess.Popen(
                [sys.executable, "-X", "importtime", str(ROOT / "launch_training.py"), *arguments],
                cwd=workplace.root,
                env=environment,
                stdout=stack.enter_context(out.open("wb")),
                stderr=stack.enter_context(err.open("wb")),
            )
            stack.enter_context(process)
            stack.callback(process.kill)  # only where the test failed before its end
            return Command(process, out, err)

        yield begin
    for job_id in queued():
        slurm("scancel", job_id)
    wait_for("the queue is empty", lambda: queued() == [], 30)
