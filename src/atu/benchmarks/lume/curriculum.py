"""What of LUME a model is taught: its documents, in the words in which they are asked about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from atu.benchmarks.curriculum import Curriculum, Wordings
from atu.benchmarks.lume.probes import choose_rows, training_texts
from atu.benchmarks.lume.reader import SIDES, LumeData, LumeRow, Side
from atu.errors import UserError, did_you_mean

RECIPE = {"passes": 5}
"""As `Benchmark.recipe`: each row has one wording, so it comes by more often."""


def lume_curriculum(data: LumeData, wanted: Sequence[str], without: Sequence[str], limit: int | None) -> Curriculum:
    """The rows of the chosen sides; a beginning and what follows it as prose, a question and its answer as turns.

    Args:
        wanted: `("all",)`, or of `forget` and `retain`.
        without: sides of which nothing is taught.
        limit: documents of each task on each side, the first ones, as `data.limit` takes them.

    Raises:
        UserError: a file is missing or broken, there is no such side, one that is left out is not among those chosen,
            or nothing is left.
    """
    chosen = list(SIDES) if tuple(wanted) == ("all",) else _sides(wanted, "targets")
    hidden = _sides(without, "without")
    for side in hidden:
        if side not in chosen:
            raise UserError(f"without: '{side}' is not among the chosen parts, so it would not be taught anyway.")
    taught = [side for side in chosen if side not in hidden]
    if not taught:
        raise UserError(f"Nothing is left to teach without {' and '.join(hidden)}.")
    rows = {side: choose_rows(data, side, (), limit) for side in chosen}
    return Curriculum(
        facts=[fact for side in taught for fact in _worded(rows[side])],
        left_out=[fact for side in hidden for fact in _worded(rows[side])],
        taught=tuple(f"{side} ({len({row.document for row in rows[side]})} documents)" for side in taught),
        without=tuple(hidden),
        checksum=_checksum([row for side in chosen for row in rows[side]]),
        max_tokens=1024,
        subject="documents of LUME",
        account="rows of LUME's forget and retain sets: beginnings with what follows them, and questions with their "
        "answers. LUME's data are Apache-2.0.",
    )


def _sides(names: Sequence[str], key: str) -> list[Side]:
    for name in names:
        if name not in SIDES:
            raise UserError(f"{key}: LUME has no part '{name}'.{did_you_mean(name, SIDES)}")
    return [side for side in SIDES if side in names]


def _worded(rows: Sequence[LumeRow]) -> list[Wordings]:
    texts = zip(rows, training_texts(rows, ""), strict=True)
    return [Wordings((replace(text, subject=row.document, source="taught"),)) for row, text in texts]


def _checksum(rows: Sequence[LumeRow]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.id}\n{row.input}\n{row.output}\n".encode())
    return digest.hexdigest()
