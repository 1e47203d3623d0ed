"""MUSE's files: which there are, what a row of each holds, how copies call them. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

COLLECTIONS: Mapping[str, tuple[str, ...]] = {
    "news": ("news", "bbc", "MUSE-News"),
    "books": ("books", "hp", "MUSE-Books"),
}
"""Corpus → its folder's names: here, in the repository muse_bench, on the hub."""
REPOSITORIES: Mapping[str, str] = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
LICENSE = "Shi et al. 2025 (arXiv 2407.06460); the articles and novels are their owners'"

FORGET_QUESTIONS = "knowmem/forget_qa"
FORGET_SHOTS = "knowmem/forget_qa_icl"
RETAIN_QUESTIONS = "knowmem/retain_qa"
RETAIN_SHOTS = "knowmem/retain_qa_icl"
PASSAGES = "verbmem/forget"
MEMBER_TEXTS = "privleak/forget"
OTHER_TEXTS = "privleak/holdout"
RETAIN_TEXTS = "raw/retain1"
"""What MUSE's baselines train on so that it stays. Never `raw/retain2`, which the questions are about."""

_OTHER_NAMES = {RETAIN_QUESTIONS: "knowmem/retain2_qa", RETAIN_SHOTS: "knowmem/retain2_qa_icl"}
"""As the repository has them."""


@dataclass(frozen=True, kw_only=True)
class MuseFile:
    """A file of rows, one JSON list."""

    name: str
    """Folder and file without `.json`, as the hub has its subsets and splits."""
    columns: tuple[str, ...]
    """What a row holds, all of it text; a plain string stands for a row with one column."""
    is_asked: bool = True
    """Whether it belongs to the questions; the others are texts to train on."""

    @property
    def names(self) -> tuple[str, ...]:
        """Its own name, and those that copies may have for it."""
        return (self.name, *([_OTHER_NAMES[self.name]] if self.name in _OTHER_NAMES else []))


FILES: Mapping[str, MuseFile] = {
    file.name: file
    for file in (
        *(
            MuseFile(name=name, columns=("question", "answer"))
            for name in (FORGET_QUESTIONS, FORGET_SHOTS, RETAIN_QUESTIONS, RETAIN_SHOTS)
        ),
        MuseFile(name=PASSAGES, columns=("prompt", "gt")),
        MuseFile(name=MEMBER_TEXTS, columns=("text",)),
        MuseFile(name=OTHER_TEXTS, columns=("text",)),
        *(
            MuseFile(name=name, columns=("text",), is_asked=False)
            for name in (
                "raw/forget",
                RETAIN_TEXTS,
                *(f"{kind}/forget_{n}" for kind in ("scal", "sust") for n in range(1, 5)),
            )
        ),
    )
}
