"""TOFU's files: which there are, what a row of each holds, and the checksums of their rows. No torch here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REPOSITORY = "locuslab/TOFU"
REVISION = "324592d84ae4f482ac7249b9285c2ecdb53e3a68"
"""The commit of the hub that is fetched."""
LICENSE = "MIT, Maini et al. 2024 (arXiv 2401.06121)"
ROWS_AN_AUTHOR = 20


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question."""

    question: str
    answer: str
    paraphrased_answer: str = ""
    """The answer in other words; empty where the file has none."""
    perturbed_answers: tuple[str, ...] = ()
    """Wrong answers, worded as the paraphrased one; none where the file has none."""


@dataclass(frozen=True, kw_only=True)
class TofuFile:
    """A file of rows."""

    name: str
    """Without `.json`."""
    rows: int
    sha256: str
    """Of the rows as `rows_sha256` writes them, whatever form the file has."""
    num_perturbed: int = 0
    """Wrong answers of each row."""
    has_paraphrase: bool = False


@dataclass(frozen=True, kw_only=True)
class Split:
    """The authors to forget, and the files that belong to them."""

    forget: str
    """Training rows; with `_perturbed` behind it those that are asked."""
    retain: str
    """Training rows of all other authors."""
    holdout: str
    """As many rows about authors whom no model was taught."""
    authors: int


SPLITS = {
    "forget01": Split(forget="forget01", retain="retain99", holdout="holdout01", authors=2),
    "forget05": Split(forget="forget05", retain="retain95", holdout="holdout05", authors=10),
    "forget10": Split(forget="forget10", retain="retain90", holdout="holdout10", authors=20),
}
RETAIN_ASKED = "retain_perturbed"
REAL_AUTHORS = "real_authors_perturbed"
WORLD_FACTS = "world_facts_perturbed"


def _file(name: str, rows: int, sha256: str, num_perturbed: int = 0) -> TofuFile:
    has_paraphrase = num_perturbed == 5
    return TofuFile(name=name, rows=rows, sha256=sha256, num_perturbed=num_perturbed, has_paraphrase=has_paraphrase)


FILES: Mapping[str, TofuFile] = {
    file.name: file
    for file in (
        _file("full", 4000, "f43b1fe635dc0f82150a901857bad457f9b812a8d961bfc1ceca036f03479034"),
        _file("retain90", 3600, "2fe63c6f80bfe17675f669ee60a1e828f7b1fdf00d19db3ebbbdf526f9b9dbd4"),
        _file("retain95", 3800, "0db9629806ab14b2da72cb13ea7ee801aa377c2240fd708d3e4f4f61e077d641"),
        _file("retain99", 3960, "c14426359a33ba9e69c59306c139128f893c144f181cbbae4a7286be01eb8218"),
        _file("forget01", 40, "89bf4c3fe24cd8d72cc0b4b4f7b38cc61e9a9aa13f970e829787587ffa451e38"),
        _file("forget05", 200, "6837ccd80e86811a74eec21785aaabb47da8ca51bb4eea8316415dc71ac312d5"),
        _file("forget10", 400, "bc68a34dd5b3c859d2630ed441169943d76447630dacb8f5408ef6640b366a58"),
        _file("holdout01", 40, "d5c8766bafb4e61f85d803b5e37b6c26327712004348c8020575ac8714fc0545"),
        _file("holdout05", 200, "6543b23ec62bb9062284e15cfa2c4e7a783bce9f486aaa82cd7e52aef5a7d48f"),
        _file("holdout10", 400, "d7ecb6edfecf51adb761e473882f9738cacc516a22df70da1612114f77ae3134"),
        _file("forget01_perturbed", 40, "62bf1521aca7ff08eb6d1d77f796679102f9fc920dfbbafddd46594bb54a678d", 5),
        _file("forget05_perturbed", 200, "c2026bbbb6b04300d7106b45c1132088d1771706d571610be32ad5674713a751", 5),
        _file("forget10_perturbed", 400, "f5e0e05b68c918a76f7e6057e0c7ffaafd10539a748a3bc6de5caaddf6c191e0", 5),
        _file("retain_perturbed", 400, "8a7111be2fe351c9ceb63c1c5643dc79a314cf748dc7d84ec26a8f530eb4c4b3", 5),
        _file("real_authors_perturbed", 100, "b7d2d4c83005f074e5b290fb422cca153702da11ec632286add8bd3d401aab18", 3),
        _file("world_facts_perturbed", 117, "c89e5e4b9ddbdfc544aa9a1bb16957bb469c5733d8aa8a05b5a0cb699d58d864", 3),
    )
}


def rows_sha256(rows: Sequence[Row]) -> str:
    """Checksum of what rows say, as 64 hexadecimal digits: the same whether a file is JSON or JSON Lines."""
    digest = hashlib.sha256()
    for row in rows:
        parts = [row.question, row.answer, row.paraphrased_answer, *row.perturbed_answers]
        digest.update(json.dumps(parts, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()
