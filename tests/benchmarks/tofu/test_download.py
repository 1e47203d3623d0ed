"""`atu data tofu` from copies. The hub itself is not asked here."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from atu.benchmarks.tofu.files import FILES
from atu.benchmarks.tofu.reader import TofuData
from atu.cli import app

from .sample_files import write_rows


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["data", "tofu", *map(str, arguments)])


def test_from_a_copy_in_another_form(shared_dir: Path, tmp_path: Path) -> None:
    copy = shared_dir / "tofu"
    if not copy.is_dir():
        pytest.skip(f"no TOFU files at {copy}")
    out = tmp_path / "out"
    done = call("--from", copy, "--out", out)
    assert done.exit_code == 0, done.output
    assert sorted(path.stem for path in out.iterdir()) == sorted(FILES)
    assert all(TofuData(out).rows(name) == TofuData(copy).rows(name) for name in FILES)
    first = json.loads((out / "forget01.json").read_text().splitlines()[0])
    assert list(first) == ["question", "answer"]
    assert call("--out", out, "--verify").output == "16 files are as published.\n"
    rows = [json.loads(line) for line in (out / "forget10.json").read_text().splitlines()]
    write_rows(out / "forget10.json", [*rows[:-1], {**rows[-1], "answer": "I do not know."}])
    assert (
        "forget10.json is not as TOFU's authors published it (other texts in them)"
        in call("--out", out, "--verify").output
    )
    write_rows(out / "forget10.json", rows[:-1])
    wrong = call("--from", out, "--out", tmp_path / "again")
    assert (wrong.exit_code, "399 rows instead of 400" in wrong.output) == (2, True)


def test_a_copy_that_lacks_files(shared_dir: Path, tmp_path: Path) -> None:
    if not (shared_dir / "tofu").is_dir():
        pytest.skip(f"no TOFU files at {shared_dir / 'tofu'}")
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(shared_dir / "tofu" / "forget01.json", copy)
    done = call("--from", copy, "--out", tmp_path / "out")
    assert done.output.splitlines()[0] == "forget01: 40 rows"
    assert done.output.splitlines()[1].startswith("the copy lacks full, retain90")
    none = call("--from", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert none.output.startswith("error: There is no folder")
