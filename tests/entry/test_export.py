"""`atu export`: the file is there whole or not at all, and each fault is one line. The converter is llama.cpp's own
where a test machine has it; its place is taken by a script of the same name and options."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result
from workplace import Workplace

from atu.cli import app
from atu.run import run
from atu.runs.run_folder import RunFolder

SHORT = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 1}]"
CONVERTS = """
import argparse, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("model"); parser.add_argument("--outfile"); parser.add_argument("--outtype")
given = parser.parse_args()
weights = (pathlib.Path(given.model) / "model.safetensors").read_bytes()
pathlib.Path(given.outfile).write_bytes(b"GGUF" + given.outtype.encode() + weights)
"""
FAILS = """
import pathlib, sys
pathlib.Path(sys.argv[sys.argv.index("--outfile") + 1]).write_bytes(b"GG")
sys.exit("Model TinyForCausalLM is not supported")
"""


@pytest.fixture
def finished(workplace: Workplace) -> RunFolder:
    folder = run(workplace.config(SHORT))
    folder.close()
    return folder


def export(folder: RunFolder, *more: str) -> Result:
    return CliRunner().invoke(app, ["export", str(folder.root), *more])


def test_it_is_one_file(finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "convert_hf_to_gguf.py").write_text(CONVERTS)
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    out = tmp_path / "files" / "forgetful.gguf"
    done = export(finished, "--out", str(out), "--outtype", "q8_0")
    assert done.exit_code == 0, done.output
    assert out.read_bytes() == b"GGUFq8_0" + (finished.model_dir / "model.safetensors").read_bytes()
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    again = export(finished, "--out", str(out))
    assert (again.exit_code, "is there already" in again.output) == (2, True)


def test_a_converter_that_fails_leaves_nothing(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "convert_hf_to_gguf.py").write_text(FAILS)
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    out = tmp_path / "files" / "forgetful.gguf"
    done = export(finished, "--out", str(out))
    assert done.exit_code == 2
    assert "Model TinyForCausalLM is not supported. The model itself is as it was." in done.output
    assert not any(out.parent.iterdir())


def test_without_a_converter_it_says_where_to_get_one(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    done = export(finished, "--out", str(tmp_path / "x.gguf"))
    assert (done.exit_code, "set LLAMA_CPP to its folder" in done.output) == (2, True)
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    done = export(finished, "--out", str(tmp_path / "x.gguf"))
    assert (done.exit_code, "there is no convert_hf_to_gguf.py in it" in done.output) == (2, True)
