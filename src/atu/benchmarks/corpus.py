"""The texts of a run: read, checked, split into those trained on and those only measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atu.benchmarks.config import CorpusConfig
from atu.errors import UserError
from atu.records import Text
from atu.storage.files import disk_errors, write_jsonl_atomic
from atu.storage.user_files import file_sha256, json_rows, shown

_MEASURED_SHARE = 0.1
"""Of the texts, where none is held out."""


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Texts about the concept (forget) and about anything else (retain)."""

    forget: tuple[Text, ...]
    retain: tuple[Text, ...]
    held_out_forget: tuple[Text, ...]
    held_out_retain: tuple[Text, ...]
    general_subjects: frozenset[str] = frozenset()
    """Subjects of retain texts that were added to those given: no texts of the kind that the concept's are, so
    that the concept's words do not show against them."""


def split_corpus(forget: Sequence[Text], retain: Sequence[Text], *, share: float, seed: int) -> Corpus:
    """Hold out a share of each side by the hash of the text, so that the order of the files plays no part.

    Doubles are dropped first. At least one text of each side is held out, and one kept. With a share of 0 all are kept,
    and a tenth of them is measured all the same.

    Raises:
        UserError: a side has fewer than two different texts.
    """
    kept_forget, held_forget = _split(_distinct(forget), share, seed, "about the concept (forget)")
    kept_retain, held_retain = _split(_distinct(retain), share, seed, "about anything else (retain)")
    return Corpus(forget=kept_forget, retain=kept_retain, held_out_forget=held_forget, held_out_retain=held_retain)


def without_questions(corpus: Corpus, questions: Sequence[str]) -> Corpus:
    """The corpus without the texts that answer one of the questions, in whatever case and between whatever words."""
    asked = [question.casefold() for question in questions]

    def others(texts: Sequence[Text]) -> tuple[Text, ...]:
        return tuple(text for text in texts if not any(one in (text.prompt or "").casefold() for one in asked))

    return replace(
        corpus,
        forget=others(corpus.forget),
        retain=others(corpus.retain),
        held_out_forget=others(corpus.held_out_forget),
        held_out_retain=others(corpus.held_out_retain),
    )


def write_corpus(folder: Path, corpus: Corpus) -> None:
    """`forget.jsonl` and `retain.jsonl`, as `data.corpus.forget_path` and `retain_path` take them.

    Raises:
        UserError: the disk refuses.
    """
    sides = {"forget": (*corpus.forget, *corpus.held_out_forget), "retain": (*corpus.retain, *corpus.held_out_retain)}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for side, texts in sides.items():
        rows = ({"subject": text.subject, "prompt": text.prompt, "text": text.text} for text in texts)
        write_jsonl_atomic(folder / f"{side}.jsonl", ({k: v for k, v in row.items() if v is not None} for row in rows))


def read_texts(path: Path, *, subject: str | None = None) -> tuple[Text, ...]:
    """Texts of a JSONL file: one object per line with `text`, and perhaps `subject` and `prompt`.

    Args:
        subject: for rows that name none.

    Raises:
        UserError: the file is missing or empty, or a row is broken (its line is named).
    """
    _check_exists(path)
    texts = tuple(_to_text(row, subject or path.stem, where) for where, _, row in json_rows(path))
    if not texts:
        raise UserError(f'The corpus file {path} is empty: write one JSON object a line, such as {{"text": "..."}}.')
    return texts


def files_checksum(config: CorpusConfig) -> dict[str, str]:
    """sha256 (hex) of the user's own corpus files, by what they are; empty for a corpus of another source.

    Raises:
        UserError: a file is missing or cannot be read.
    """
    named = {"forget corpus": config.forget_path, "retain corpus": config.retain_path}
    paths = {name: Path(path) for name, path in named.items() if path is not None}
    for path in paths.values():
        _check_exists(path)
    return {name: file_sha256(path) for name, path in paths.items()}


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise UserError(f"The corpus file {shown(path)} does not exist.")


def _to_text(row: dict[str, Any], subject: str, where: str) -> Text:
    if not isinstance(row.get("text"), str) or not row["text"].strip():
        raise UserError(f'{where}: each line must be an object with a non-empty string "text".')
    unknown = sorted(set(row) - {"text", "subject", "prompt"})
    if unknown:
        raise UserError(f"{where}: unknown field '{unknown[0]}'; known are text, subject, prompt.")
    for key in ("subject", "prompt"):
        if not isinstance(row.get(key, ""), str):
            raise UserError(f'{where}: "{key}" must be a string.')
    return Text(text=row["text"], subject=row.get("subject", subject), source="jsonl", prompt=row.get("prompt"))


def _distinct(texts: Sequence[Text]) -> list[Text]:
    seen: dict[tuple[str | None, str], Text] = {}
    # Sorted, so that of texts which differ in case or spaces the same one stays in whatever order they come.
    for text in sorted(texts, key=lambda text: (text.text, text.subject)):
        seen.setdefault((text.prompt, " ".join(text.text.casefold().split())), text)
    return list(seen.values())


def _split(texts: Sequence[Text], share: float, seed: int, what: str) -> tuple[tuple[Text, ...], tuple[Text, ...]]:
    if len(texts) < 2:
        raise UserError(f"The corpus has {len(texts)} different texts {what}; at least 2 are needed.")
    ranked = sorted(texts, key=lambda text: _rank(text, seed))
    count = min(max(1, round((share or _MEASURED_SHARE) * len(ranked))), len(ranked) - 1)
    return tuple(ranked[count:] if share else ranked), tuple(ranked[:count])


def _rank(text: Text, seed: int) -> str:
    return hashlib.sha256(f"{seed}\0{text.prompt}\0{text.text}".encode()).hexdigest()
