"""The bench and the profile: both ways of a row do the same work, and what is printed can be read."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from workplace import Workplace

ROOT = Path(__file__).resolve().parents[2]


def bench(*arguments: str, script: str = "bench.py") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "perf" / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_measures_each_row_twice(workplace: Workplace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "latest.json"
    monkeypatch.delenv("ATU_RWKU", raising=False)
    monkeypatch.setenv("ATU_SHARED", str(tmp_path))
    done = bench("--repeats", "2", "--out", str(out), *workplace.overrides())
    assert done.returncode == 0, done.stderr  # a row whose ways come to different losses ends it
    assert "rwku evaluation: left out." in done.stdout
    rows = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    assert list(rows) == [
        "align step",
        "unlearn step, hook 0.9",
        "unlearn step, hook 0.5",
        "unlearn step, default task",
        "window embeddings",
        "schedule to equal forgetting",
    ]
    for name, row in rows.items():
        assert row["spread"][0] <= row["ratio"] <= row["spread"][1]
        assert row["ours"] > 0, name
        assert name in done.stdout
    # The released schedule has 240 align and 24 unlearn steps; ours, here, 6 and 4 until its first unlearn stage ends,
    # and windows and references come before them.
    schedule = rows["schedule to equal forgetting"]
    released = 240 * rows["align step"]["reference"] + 24 * rows["unlearn step, hook 0.9"]["reference"]
    assert schedule["reference"] == pytest.approx(released)  # two repeats: each median is a mean
    assert schedule["ours"] > 6 * rows["align step"]["ours"] + 4 * rows["unlearn step, default task"]["ours"]


def test_a_step_in_the_forget_subspace(workplace: Workplace, tmp_path: Path) -> None:
    subspace = ("task.training_module.moves=subspace", "task.training_module.subspace.min_ratio=2")
    only = ("--repeats", "1", "--only", "default task", "--out", str(tmp_path / "latest.json"))
    done = bench(*only, *workplace.overrides(*subspace))
    assert done.returncode == 0, done.stderr


def test_a_wrong_key_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    script = ROOT / "perf" / "bench.py"
    monkeypatch.setattr(sys, "argv", [str(script), "thread=1"])
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "threads" in message


def test_the_profile_shares_out_the_whole_loop(workplace: Workplace) -> None:
    done = bench("--steps", "3", *workplace.overrides(), script="profile_step.py")
    assert done.returncode == 0, done.stderr
    shares = {line[:20].strip(): float(line.split()[-1].rstrip("%")) for line in done.stdout.splitlines()}
    assert list(shares) == ["loss", "backward pass", "clipping", "optimiser", "between the steps"]
    assert sum(shares.values()) == pytest.approx(100, abs=0.3)
    assert all(share > 0 for share in shares.values())
    assert shares["loss"] > shares["clipping"]


def test_the_growth_of_a_corpus(workplace: Workplace) -> None:
    done = bench("--repeats", "1", "--only", "corpus", *workplace.overrides(), script="scaling.py")
    assert done.returncode == 0, done.stderr
    threads, *lines = done.stdout.splitlines()
    assert threads.endswith("thread(s)")
    assert {line[:26].strip() for line in lines} == {"the model reads a corpus", "windows of a corpus"}
    assert all(line.rstrip().endswith("s / 1 M tokens") for line in lines)
