"""MUSE's files: from copies in either form, read and checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from atu.benchmarks.muse.download import download, read_manifest, verify
from atu.benchmarks.muse.files import FILES
from atu.benchmarks.muse.reader import MuseData
from atu.errors import UserError

from .conftest import TOWNS, write, write_repository


def bring(source: Path, out: Path, *collections: str) -> list[str]:
    said: list[str] = []
    download(collections or ("news",), source=source, revision=None, out=out, report=said.append)
    return said


def test_a_copy_of_the_repository(tmp_path: Path) -> None:
    said = bring(write_repository(tmp_path / "copy"), tmp_path / "out")
    assert said[0].startswith("news: 10 files, 0.0 MB (the source lacks scal/forget_1, ")
    data = MuseData(tmp_path / "out")
    assert data.collections() == ["news"]
    assert data.rows("news", "knowmem/retain_qa") == (("What is Tokyo?", "The capital of Japan"),)
    assert data.rows("news", "privleak/forget")[1] == ("Ann is mayor of Bem.",)
    assert data.rows("news", "privleak/holdout")[1] == ("Bob is doctor in Bem, far away.",)
    assert data.rows("news", "raw/forget")[-1] == ("",)  # as in the original, which has such a row
    assert read_manifest(tmp_path / "out")["corpora"]["news"]["source"] == f"folder:{tmp_path}/copy/data/bbc"
    assert verify(tmp_path / "out") == 10
    assert bring(tmp_path / "out", tmp_path / "again")[0] == said[0]  # a folder of ours is a copy, too


def test_a_copy_of_the_hub(tmp_path: Path) -> None:
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    bring(write_repository(tmp_path / "copy"), tmp_path / "out")
    hub = tmp_path / "hub" / "MUSE-News"
    for name in FILES:
        path = tmp_path / "out" / "news" / f"{name}.json"
        if path.is_file():
            rows = json.loads(path.read_text(encoding="utf-8"))
            parts = [rows[:1], rows[1:]] if name == "verbmem/forget" else [rows]
            for number, part in enumerate(parts):
                target = hub / f"{name}-{number:05}-of-{len(parts):05}.parquet"
                target.parent.mkdir(parents=True, exist_ok=True)
                parquet.write_table(arrow.Table.from_pylist(part), target)
    bring(tmp_path / "hub", tmp_path / "other")
    for path in (tmp_path / "out" / "news").rglob("*.json"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "out")).read_bytes()
    (hub / "raw" / "forget-00000-of-00001.parquet").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"raw/forget-00000-of-00001\.parquet: not a Parquet file"):
        bring(tmp_path / "hub", tmp_path / "other")


def test_what_a_copy_may_lack(tmp_path: Path) -> None:
    source = write_repository(tmp_path / "copy")
    with pytest.raises(UserError, match=r"copy has no corpus books: expected a folder named books or hp or MUSE-Books"):
        bring(source, tmp_path / "out", "books")
    (source / "data" / "bbc" / "verbmem" / "forget.json").unlink()
    with pytest.raises(UserError, match=r"data/bbc lacks verbmem/forget: it is not a whole copy of MUSE's news"):
        bring(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"prompt": "x"}], r"verbmem/forget\.json, row 0: 'gt' is missing\. Is this MUSE's verbmem/forget\?$"),
        ([{"prompt": "x", "gt": "y"}, {"prompt": "x", "gt": " "}], r"row 1: 'gt' is empty\.$"),
        ([{"prompt": "x", "gt": 1}], r"row 0: 'gt' must be a text\.$"),
        (["a text"], r"row 0: expected an object with prompt and gt\.$"),
        ({}, r"expected a JSON list of rows\."),
    ],
)
def test_a_broken_file_is_one_line(rows: object, message: str, tmp_path: Path) -> None:
    source = write_repository(tmp_path / "copy")
    write(source / "data" / "bbc" / "verbmem" / "forget.json", rows)
    with pytest.raises(UserError, match=message):
        bring(source, tmp_path / "out")


def test_the_command(tmp_path: Path) -> None:
    from atu.cli import app

    source = write_repository(tmp_path / "copy")
    out = tmp_path / "out"
    done = CliRunner().invoke(app, ["data", "muse", "--corpus", "news", "--from", str(source), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert done.output.endswith(f"checksums: {out}/manifest.json\n")
    assert CliRunner().invoke(app, ["data", "muse", "--verify", "--out", str(out)]).output == (
        "10 files equal the manifest.\n"
    )
    write(out / "news" / "privleak" / "forget.json", list(TOWNS))
    changed = CliRunner().invoke(app, ["data", "muse", "--verify", "--out", str(out)])
    assert changed.exit_code == 2
    assert "privleak/forget.json differs from the manifest." in changed.output


def test_without_data_it_is_said_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no folder .* with MUSE's files\. Fetch it with `atu data muse`"):
        MuseData(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"No corpus of MUSE in .*: expected news/ or books/\."):
        MuseData(tmp_path / "empty")
