"""What of TOFU a model is taught: the questions of its invented authors, of all or of some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from atu.benchmarks.curriculum import Curriculum, Wordings
from atu.benchmarks.tofu.authors import author_names
from atu.benchmarks.tofu.files import LICENSE, ROWS_AN_AUTHOR, SPLITS, Row, rows_sha256
from atu.benchmarks.tofu.reader import TofuData
from atu.errors import UserError, did_you_mean
from atu.records import Text

RECIPE = {"passes": 5}
"""As `Benchmark.recipe`: each question has one wording, so it comes by more often."""
_FULL = "full"


def tofu_curriculum(data: TofuData, wanted: Sequence[str], without: Sequence[str], limit: int | None) -> Curriculum:
    """The questions of the chosen authors, in data order.

    Args:
        wanted: `("all",)`, or names of splits such as forget10 or retain90.
        without: names of splits to forget, none of whose authors is taught.
        limit: authors to teach, before those of `without` are left out. Half of them are the last ones of `full`, where
            the splits to forget are, and half the first ones, whom retain_perturbed asks about.

    Raises:
        UserError: a file is missing or broken, there is no such split, not all of its authors are among those chosen,
            or nothing is left.
    """
    rows = data.rows(_FULL)
    count = len(rows) // ROWS_AN_AUTHOR
    chosen = _limited(_authors(wanted, count), limit)
    hidden = set(_authors(without, count) if without else ())
    for name in without:
        _check_left_out(data, name, rows, chosen)
    taught = [author for author in chosen if author not in hidden]
    if not taught:
        raise UserError(f"Nothing is left to teach without {', '.join(without)}: choose more authors.")
    names = author_names(rows)
    return Curriculum(
        facts=_facts(rows, names, taught),
        left_out=_facts(rows, names, [author for author in chosen if author in hidden]),
        taught=_described(taught, count),
        without=tuple(without),
        checksum=rows_sha256(rows),
        max_tokens=512,
        subject="invented authors of TOFU",
        account="questions and answers of TOFU about them. Its reworded and wrong answers, its real authors and its "
        f"world facts were not read. TOFU: {LICENSE}.",
    )


def _authors(names: Sequence[str], count: int) -> list[int]:
    """Places of the authors that are named, counted from 0."""
    if tuple(names) in (("all",), (_FULL,)):
        return list(range(count))
    parts = {split.forget: range(count - split.authors, count) for split in SPLITS.values()}
    parts |= {split.retain: range(count - split.authors) for split in SPLITS.values()}
    for name in names:
        if name not in parts:
            raise UserError(f"TOFU has no part '{name}'.{did_you_mean(name, [_FULL, *parts])}")
    return sorted({author for name in names for author in parts[name]})


def _limited(authors: Sequence[int], limit: int | None) -> list[int]:
    if limit is None or limit >= len(authors):
        return list(authors)
    first = limit // 2
    return [*authors[:first], *authors[len(authors) - (limit - first) :]]


def _check_left_out(data: TofuData, name: str, rows: Sequence[Row], chosen: Sequence[int]) -> None:
    """Raise UserError unless a split can be left out of the chosen authors."""
    if name not in SPLITS:
        raise UserError(f"without: TOFU has no split '{name}' to forget.{did_you_mean(name, SPLITS)}")
    authors, count = SPLITS[name].authors, len(rows) // ROWS_AN_AUTHOR
    if not set(range(count - authors, count)) <= set(chosen):
        raise UserError(
            f"without: {name} has {authors} authors, and not all of them are among those chosen: limit={2 * authors} "
            "or more has them all."
        )
    told = [(row.question, row.answer) for row in rows[len(rows) - authors * ROWS_AN_AUTHOR :]]
    if told != [(row.question, row.answer) for row in data.rows(name)]:
        raise UserError(f"{data.path(_FULL)} does not end in the rows of {name}.json: they are of different copies.")


def _facts(rows: Sequence[Row], names: Sequence[str], authors: Iterable[int]) -> list[Wordings]:
    places = [author * ROWS_AN_AUTHOR + number for author in authors for number in range(ROWS_AN_AUTHOR)]
    return [
        Wordings((Text(text=rows[i].answer, prompt=rows[i].question, subject=names[i], source="taught"),))
        for i in places
    ]


def _described(authors: Sequence[int], count: int) -> tuple[str, ...]:
    """The authors in words, counted from 1, and the splits to forget that are wholly among them."""
    runs = [[author for _, author in run] for _, run in groupby(enumerate(authors), key=lambda pair: pair[1] - pair[0])]
    ranges = [f"author {run[0] + 1}" if len(run) == 1 else f"authors {run[0] + 1} to {run[-1] + 1}" for run in runs]
    return (*ranges, *(name for name, one in SPLITS.items() if set(range(count - one.authors, count)) <= set(authors)))
