"""A folder as the repository muse_bench has it, with a few invented rows; MUSE's own texts are nobody's to ship."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atu.benchmarks.muse.download import download

TOWNS = ("Arl", "Bem", "Cor", "Dun")


def write(path: Path, rows: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows), encoding="utf-8")


def write_repository(root: Path) -> Path:
    """`data/bbc` with both forms of text rows, and the repository's names of the retain questions."""
    folder = root / "data" / "bbc"
    questions = [{"question": f"Who is mayor of {town}?", "answer": f"Ann {town}"} for town in TOWNS]
    write(folder / "knowmem" / "forget_qa.json", questions[:3])
    write(folder / "knowmem" / "forget_qa_icl.json", questions[3:])
    write(folder / "knowmem" / "retain2_qa.json", [{"question": "What is Tokyo?", "answer": "The capital of Japan"}])
    write(folder / "knowmem" / "retain2_qa_icl.json", [{"question": "What is Paris?", "answer": "A capital"}])
    write(
        folder / "verbmem" / "forget.json",
        [{"prompt": f"{town} has a", "gt": f"mayor: Ann {town}."} for town in TOWNS[:2]],
    )
    write(folder / "privleak" / "forget.json", [f"Ann is mayor of {town}." for town in TOWNS])
    write(folder / "privleak" / "holdout.json", [{"text": f"Bob is doctor in {town}, far away."} for town in TOWNS[:3]])
    write(folder / "raw" / "forget.json", [*(f"Ann is mayor of {town}. " * 5 for town in TOWNS), ""])
    write(folder / "raw" / "retain1.json", [f"Water boils in {town} at 100 degrees. " * 5 for town in TOWNS])
    write(folder / "sust" / "forget_2.json", [f"Eve is mayor of {town}. " * 5 for town in TOWNS])
    return root


@pytest.fixture
def muse_dir(tmp_path: Path) -> Path:
    """What `atu data muse` makes of such a folder: the corpus news."""
    source = write_repository(tmp_path / "muse_bench")
    download(["news"], source=source, revision=None, out=tmp_path / "muse", report=lambda line: None)
    return tmp_path / "muse"
