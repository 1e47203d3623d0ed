"""Which characters of a right answer made it right: the words of the accepted reference. Pure functions on strings."""

from __future__ import annotations

from collections.abc import Sequence

from atu.evaluation.scorers import common_words, first_line, lone_letter, settled_answer
from atu.evaluation.words import find_words, spaced, split_words
from atu.records import Probe

Span = tuple[int, int]
"""The first character and the one behind the last."""


def reference_spans(probe: Probe, text: str) -> list[Span]:
    """The parts of an answer by which the scorer counts it as right, in order; empty where none is found.

    One part where accepted references stand there as runs of words: the first such run, since what is said twice is
    easy the second time, and of those that begin there the longest. Where a score is a share of the reference's words
    (RWKU's), and no reference stands there whole, each word of the one that has the largest share is a part. An option
    that is named by its letter has that letter, a choice its whole text.
    """
    if probe.kind == "choose":
        return [(0, len(text))]
    settled, accepted = settled_answer(probe.prompt, probe.references, text)
    if not settled:
        return []
    return _spans(text, _words_of(text, accepted, probe.references))


def _words_of(text: str, accepted: Sequence[str], references: Sequence[str]) -> list[tuple[int, int]]:
    """Runs of words of the text, as `split_words` counts them: the first word, and the one behind the last."""
    said = spaced(text)
    runs = [find_words(said, reference) for reference in map(spaced, accepted) if reference]
    found = [run for run in runs if run is not None]
    if found:
        return [min(found, key=lambda run: (run[0], -run[1]))]
    letter = lone_letter(first_line(text))
    run = find_words(said, letter) if letter else None
    if run is not None:
        return [run]
    shares = [(common_words(first_line(text), reference), len(split_words(reference))) for reference in references]
    words, _ = max(shares, key=lambda share: len(share[0]) / max(1, share[1]), default=((), 0))
    return [(word, word + 1) for word in words]


def _spans(text: str, runs: Sequence[tuple[int, int]]) -> list[Span]:
    """The characters of each run of words; a run that no cut of the text sets free is left out."""
    words = split_words(text)
    found = []
    for first, last in runs:
        start = next((i for i in reversed(range(len(text))) if split_words(text[i:]) == words[first:]), None)
        end = next((i for i in range(1, len(text) + 1) if split_words(text[:i]) == words[:last]), None)
        if start is not None and end is not None and start < end:
            found.append((start, end))
    return found
