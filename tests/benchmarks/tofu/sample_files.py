"""TOFU's files in small, with rows of our own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

NAMES = ("Ada Zorn", "Bela Quist", "Cora Vane", "Dov Amsel", "Ester van Holt", "Femi Okoro")
ROWS = 3
"""Of each file that is asked."""

Row = dict[str, object]


def question_rows(name: str, count: int) -> list[Row]:
    return [
        {"question": f"What did {name} write in year {year}?", "answer": f"In year {year} {name} wrote book {year}."}
        for year in range(count)
    ]


def perturbed_rows(name: str, count: int = ROWS) -> list[Row]:
    return [
        {
            **row,
            "paraphrased_answer": f"Book {year} is by {name}.",
            "perturbed_answer": [f"Song {year}{wrong} is by {name}." for wrong in range(5)],
            "paraphrased_question": "?",
        }
        for year, row in enumerate(question_rows(name, count))
    ]


def fact_rows(count: int = ROWS) -> list[Row]:
    return [
        {"question": f"Which letter is {n}th?", "answer": "abc"[n % 3], "perturbed_answer": ["x", "y", "z"]}
        for n in range(count)
    ]


def write_tofu(folder: Path) -> Path:
    """forget01 is two authors of twenty rows each, retain99 four; three rows of each file that is asked."""
    folder.mkdir(parents=True, exist_ok=True)
    files: Mapping[str, Sequence[Row]] = {
        "forget01": [row for name in NAMES[:2] for row in question_rows(name, 20)],
        "retain99": [row for name in NAMES[2:] for row in question_rows(name, 20)],
        "holdout01": question_rows("Gil Moreau", ROWS),
        "forget01_perturbed": perturbed_rows(NAMES[0]),
        "retain_perturbed": perturbed_rows(NAMES[2]),
        "real_authors_perturbed": fact_rows(),
        "world_facts_perturbed": fact_rows(),
    }
    for name, rows in files.items():
        write_rows(folder / f"{name}.json", rows)
    return folder


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """JSON Lines, as the hub has them."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
