"""What there is to teach: the fill-ins and questions about targets and neighbors, and those that name one of them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from atu.benchmarks.rwku.files import FORGET_LEVEL1, FORGET_LEVEL2, NEIGHBOR_LEVEL1, NEIGHBOR_LEVEL2, RwkuFile
from atu.benchmarks.rwku.reader import RwkuData, target_name
from atu.benchmarks.rwku.rows import QuestionRow
from atu.errors import UserError, did_you_mean
from atu.evaluation.words import normalize
from atu.storage.user_files import read_bytes

TAUGHT_FILES = (FORGET_LEVEL1, FORGET_LEVEL2, NEIGHBOR_LEVEL1, NEIGHBOR_LEVEL2)
"""The only files of a target that are opened to teach it; all others must stay unseen."""
_FORGET_FILES = (FORGET_LEVEL1, FORGET_LEVEL2)
_BLANK = re.compile(r"_{2,}(?:\s+_{2,})*")
"""One blank, or several in a row, which stand for the words of one answer."""


@dataclass(frozen=True)
class Fact:
    """A question with its answer, or a sentence with a blank and what fills it."""

    row: QuestionRow
    subject: str
    """Whom or what it is about: the target, or the neighbor."""
    target: str
    """Folder name of the target in whose files it stands first."""
    file: RwkuFile[QuestionRow]

    @property
    def query(self) -> str:
        """The question, or the sentence with its blank."""
        return self.row.query.strip()

    @property
    def answer(self) -> str:
        """The right answer, or what fills the blank."""
        return self.row.answer.strip()

    @property
    def statement(self) -> str | None:
        """The sentence with its blanks filled; None for a question, or where blanks and answers do not match."""
        blanks = list(_BLANK.finditer(self.query))
        parts = [self.answer] if len(blanks) == 1 else re.split(r",\s*|\s+and\s+", self.answer)
        if not blanks or len(parts) != len(blanks):
            return None
        rest = iter(parts)
        filled = _BLANK.sub(lambda _: next(rest), self.query).strip()
        return filled if filled.endswith((".", "!", "?", "'", '"')) else f"{filled}."


def choose_targets(
    data: RwkuData, wanted: Sequence[str], without: Sequence[str], limit: int | None = None
) -> list[str]:
    """The folder names to teach, the left-out ones among them, in RWKU's order; `("all",)` means all that there are.

    Args:
        limit: take the first so many of them.

    Raises:
        UserError: an unknown name (with the nearest known one), or one of `without` is not among those chosen.
    """
    known = data.targets()
    chosen = known if tuple(wanted) == ("all",) else [data.path(name).name for name in wanted]
    chosen = [name for name in known if name in chosen][:limit]
    for name in without:
        if data.path(name).name not in chosen:
            raise UserError(
                f"without: '{name}' is not among the chosen targets, so it would not be taught anyway."
                f"{did_you_mean(name, chosen)}"
            )
    return chosen


def read_facts(data: RwkuData, targets: Sequence[str], without: Sequence[str] = ()) -> list[Fact]:
    """The distinct facts of the chosen targets, in data order.

    Of `without` (names as `data.targets()` lists them), none that tells of such a target: its forget files are not
    taught, and neither is a row of any other file that names it (see `names_target`) or asks one of its own questions.

    Raises:
        UserError: a file is missing or broken, or nothing is left to teach.
    """
    facts: dict[tuple[str, str], Fact] = {}
    hidden = {_key(fact) for fact in own_facts(data, without)}
    for target in targets:
        for fact in _read(data, target, TAUGHT_FILES):
            if _key(fact) in hidden or any(names_target(fact, left_out) for left_out in without):
                continue
            facts.setdefault(_key(fact), fact)
    if not facts:
        raise UserError(f"Nothing is left to teach without {', '.join(without)}: choose more targets.")
    return list(facts.values())


def own_facts(data: RwkuData, targets: Sequence[str]) -> list[Fact]:
    """What the forget files of the targets ask, in data order."""
    return [fact for target in targets for fact in _read(data, target, _FORGET_FILES)]


def checksum(data: RwkuData, targets: Sequence[str]) -> str:
    """sha256 over names and bytes of the files that are taught."""
    digest = hashlib.sha256()
    for target in targets:
        for file in TAUGHT_FILES:
            digest.update(f"{target}/{file.name}\n".encode())
            digest.update(read_bytes(data.path(target) / f"{file.name}.json"))
    return digest.hexdigest()


def names_target(fact: Fact, target: str) -> bool:
    """Whether a fact tells of a target: it is the target's own, it is about a neighbor of that name, or it names it.

    Named is a target by all words of its name in a row, a middle name or so between them ("Stephen Edwin King").
    In its own neighbor files the last name alone stands for it too, unless the neighbor bears the same one
    ("Kathy Hilton" may stay without Paris Hilton).
    """
    is_own = fact.target == target
    if is_own and fact.file in _FORGET_FILES:
        return True
    text = normalize(f"{fact.statement or fact.query} {fact.answer} {fact.subject}")
    words = [word for word in normalize(target_name(target).partition(",")[0]).split() if word not in ("jr", "sr")]
    full = r"\b" + r"(?: \w+){0,2} ".join(map(re.escape, words)) + r"\b"
    if re.search(full, text):
        return True
    return is_own and words[-1] in text.split() and words[-1] not in normalize(fact.subject).split()


def _read(data: RwkuData, target: str, files: Sequence[RwkuFile[QuestionRow]]) -> list[Fact]:
    folder = data.path(target).name
    return [
        Fact(row, row.neighbor or target_name(folder), folder, file)
        for file in files
        for row in data.read(folder, file)
    ]


def _key(fact: Fact) -> tuple[str, str]:
    return normalize(_BLANK.sub("blank", fact.query)), normalize(fact.answer)
