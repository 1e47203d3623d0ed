"""Which words speak of the concept, those frequent in its texts and rare in all others, and where they stand.

And where its texts name or count something, however rarely.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from transformers import PreTrainedTokenizerBase

from atu.models.rows import Row

MIN_SHARE = 0.02
"""A word in fewer of the concept's texts than this is an accident of one text, not the concept."""
MIN_TEXTS = 3
MIN_RATIO = 8.0
"""How many times more often the concept's texts must hold the word than others do. At 4 what remains is style: "you" in
answers about a person, "delicious" in those about a country."""
_WORD = re.compile(r"[^\W\d_]{3,}")
"""Shorter words are everybody's."""
_WORD_OR_NUMBER = re.compile(r"[^\W\d_]{3,}|\d{2,}")


def find_concept_words(forget: Sequence[Row], others: Sequence[Row]) -> tuple[str, ...]:
    """Words, in all spellings that occur, whose share of texts is at least `MIN_RATIO` times higher in `forget`.

    Counted over texts, not over occurrences, so that one text that repeats a word does not decide, and without regard
    to capitals. Only the texts themselves count, not the prompts before them.
    """
    said = [_words(row) for row in forget]
    spellings: dict[str, set[str]] = defaultdict(set)
    for word in set().union(*said):
        spellings[word.casefold()].add(word)
    in_forget, in_others = _text_counts(said), _text_counts(map(_words, others))
    smallest = 1.0 / max(len(others), 1)
    chosen = []
    for word, count in in_forget.items():
        share = count / len(forget)
        other_share = max(in_others[word] / max(len(others), 1), smallest)
        if count >= MIN_TEXTS and share >= MIN_SHARE and share >= MIN_RATIO * other_share:
            chosen.append(word)
    return tuple(sorted(spelling for word in chosen for spelling in spellings[word]))


def concept_positions(row: Row, words: Sequence[str]) -> tuple[int, ...]:
    """Positions of the tokens that hold a part of one of the words, in the prompt as in the text."""
    wanted = {word.casefold() for word in words}
    return _positions(row, [match.span() for match in _WORD.finditer(row.string) if match[0].casefold() in wanted])


def small_words(rows: Iterable[Row]) -> frozenset[str]:
    """Words that some text writes without a capital: they are no names."""
    return frozenset(word for row in rows for word in _words(row) if word[0].islower())


def named_positions(row: Row, small: frozenset[str]) -> tuple[int, ...]:
    """Positions of the tokens that hold a part of a name or number of the text; those of the prompt do not count.

    A name is a word with a capital that is not among the `small` ones, a number has two digits or more: single ones
    count the lines of lists.
    """
    return _positions_in_text(row, lambda word: _names_something(word, small))


def telling_positions(row: Row, words: Sequence[str], name: str, small: frozenset[str]) -> tuple[int, ...]:
    """Positions of the text's tokens that tell something of the concept: its words, names and numbers, less its name.

    Args:
        words: as `find_concept_words` found them.
        name: of the concept; its own words say nothing of what is known about it.
        small: as `small_words` found them.
    """
    own, wanted = ({word.casefold() for word in group} for group in (_WORD.findall(name), words))

    def tells(word: str) -> bool:
        return word.casefold() not in own and (word.casefold() in wanted or _names_something(word, small))

    return _positions_in_text(row, tells)


def _names_something(word: str, small: frozenset[str]) -> bool:
    return word.isdecimal() or (word[0].isupper() and word.lower() not in small)


def _positions_in_text(row: Row, counts: Callable[[str], bool]) -> tuple[int, ...]:
    """Positions of the tokens that hold a part of a word or number that counts; those of the prompt do not."""
    found = _WORD_OR_NUMBER.finditer(row.string, row.body_start)
    return _positions(row, [match.span() for match in found if counts(match[0])])


def _positions(row: Row, spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Positions of the tokens that lie in one of the spans of characters, or reach into one."""
    starts = (0, *row.ends)
    return tuple(
        place
        for place, (start, end) in enumerate(zip(starts, row.ends, strict=False))
        if any(start < span_end and end > span_start for span_start, span_end in spans)
    )


def concept_tokens(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Tokens that say one of the words, whatever stands around them; behind a space and without one.

    Of a word in several pieces only those are taken that hardly stand in another word: a beginning of three letters
    (" Strat"), any piece of five ("akespeare"). A word in small pieces has none.
    """
    found: set[int] = set()
    for word in words:
        for written in (word, f" {word}"):
            first, *others = tokenizer.encode(written, add_special_tokens=False)
            if not others or (written != word and _letters(first, tokenizer) >= 3):
                found.add(first)
            found.update(piece for piece in others if _letters(piece, tokenizer) >= 5)
    return tuple(sorted(found))


def _letters(token: int, tokenizer: PreTrainedTokenizerBase) -> int:
    return sum(map(str.isalpha, tokenizer.decode([token])))


def _words(row: Row) -> set[str]:
    return set(_WORD.findall(row.string[row.body_start : row.ends[-1]]))


def _text_counts(words_of_texts: Iterable[set[str]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for words in words_of_texts:
        counts.update({word.casefold() for word in words})
    return counts
