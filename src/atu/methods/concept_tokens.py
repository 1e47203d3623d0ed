"""Which words speak of the concept, those frequent in its texts and rare in all others, and where they stand.

And where its texts name or count something, however rarely.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

import regex
from transformers import PreTrainedTokenizerBase

from atu.models.rows import Row
from atu.text.scripts import HANGUL, LETTER_MARKS, UNSPACED, is_east_asian
from atu.text.unspaced_words import find_unspaced_words, katakana_words

MIN_SHARE = 0.02
"""A word in fewer of the concept's texts than this is an accident of one text, not the concept."""
MIN_TEXTS = 3
MIN_RATIO = 8.0
"""How many times more often the concept's texts must hold the word than others do. At 4 what remains is style: "you" in
answers about a person, "delicious" in those about a country."""
_LETTER = rf"[[\p{{L}}\p{{Nl}}\p{{No}}{LETTER_MARKS}]--[{UNSPACED}{HANGUL}]]"
_WORD = regex.compile(rf"{_LETTER}{{3,}}", regex.V1)
"""Shorter words are everybody's."""
_WORD_OR_NUMBER = regex.compile(rf"{_LETTER}{{3,}}|\d{{2,}}", regex.V1)
_TITLE = regex.compile(r"(?<=《)[^《》\n]+(?=》)|(?<=〈)[^〈〉\n]+(?=〉)|(?<=『)[^『』\n]+(?=』)")
"""What names something where no capital does."""
_WEIGHTS = ((regex.compile(r"\p{Han}"), 2.5), (regex.compile(HANGUL), 2.0), (regex.compile(r"\p{Hiragana}"), 1.25))
"""Letters of an alphabet that one of another script is worth."""
_UNSPACED_PART = regex.compile(rf"[{UNSPACED}]+|{HANGUL}+", regex.V1)


def find_concept_words(forget: Sequence[Row], others: Sequence[Row]) -> tuple[str, ...]:
    """Words, in all spellings that occur, whose share of texts is at least `MIN_RATIO` times higher in `forget`.

    Counted over texts, not over occurrences, so that one text that repeats a word does not decide, and without regard
    to capitals. Only the texts themselves count, not the prompts before them. Where a script puts no space between
    words, and in Korean, strings of letters are counted (`find_unspaced_words`).
    """
    said = [_words(row) for row in forget]
    spellings: dict[str, set[str]] = defaultdict(set)
    for word in set().union(*said):
        spellings[word.casefold()].add(word)
    in_forget, in_others = _text_counts(said), _text_counts(map(_words, others))
    smallest = 1.0 / max(len(others), 1)

    def is_distinctive(count: int, other_count: int) -> bool:
        share = count / len(forget)
        other_share = max(other_count / max(len(others), 1), smallest)
        return count >= MIN_TEXTS and share >= MIN_SHARE and share >= MIN_RATIO * other_share

    chosen = [word for word, count in in_forget.items() if is_distinctive(count, in_others[word])]
    unspaced = find_unspaced_words([_body(row) for row in forget], [_body(row) for row in others], is_distinctive)
    return tuple(sorted({*(spelling for word in chosen for spelling in spellings[word]), *unspaced}))


def concept_positions(row: Row, words: Sequence[str]) -> tuple[int, ...]:
    """Positions of the tokens that hold a part of one of the words, in the prompt as in the text."""
    wanted = {word.casefold() for word in words}
    spans = [match.span() for match in _WORD.finditer(row.string) if match[0].casefold() in wanted]
    return _positions(row, [*spans, *_unspaced_spans(row.string, words)])


def name_words(words: Sequence[str], name: str) -> tuple[str, ...]:
    """The words of the concept's name, and those of the concept that begin with one of them: Japan, and Japanese.

    Args:
        words: as `find_concept_words` found them.
    """
    own = [*_WORD.findall(name), *(part for part in _UNSPACED_PART.findall(name) if len(part) > 1)]
    begins = tuple(part.casefold() for part in own)
    return tuple(dict.fromkeys([*own, *(word for word in words if begins and word.casefold().startswith(begins))]))


def repeats_from(row: Row, names: Sequence[str]) -> int:
    """The first position behind the first time that a row says one of the names, in its prompt or its text.

    As many as the row has tokens where it never does.
    """
    said = concept_positions(row, names)
    if not said:
        return len(row.ids)
    places = set(said)
    return next(place for place in range(said[0] + 1, len(row.ids) + 1) if place not in places)


def small_words(rows: Iterable[Row]) -> frozenset[str]:
    """Words that some text writes without a capital: they are no names."""
    return frozenset(word for row in rows for word in _words(row) if word[0].islower())


def named_positions(row: Row, small: frozenset[str]) -> tuple[int, ...]:
    """Positions of the tokens that hold a part of a name or number of the text; those of the prompt do not count.

    A name is a word with a capital that is not among the `small` ones, a number has two digits or more: single ones
    count the lines of lists. Without capitals a name is a word in katakana, or a title in its marks (《》, 『』).
    """
    spans = _spans_in_text(row, lambda word: _names_something(word, small))
    return _positions(row, [*spans, *_unspaced_names(row)])


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

    spans = _spans_in_text(row, tells)
    if not is_east_asian(row.string):
        return _positions(row, spans)
    spans += [*_unspaced_names(row), *(span for span in _unspaced_spans(row.string, words) if span[1] > row.body_start)]
    names = [part for part in _UNSPACED_PART.findall(name) if len(part) > 1]
    named = set(_positions(row, _unspaced_spans(row.string, names)))
    first = row.first_scored
    return tuple(place for place in _positions(row, spans) if place >= first and place not in named)


def _names_something(word: str, small: frozenset[str]) -> bool:
    return word.isdecimal() or (word[0].isupper() and word.lower() not in small)


def _spans_in_text(row: Row, counts: Callable[[str], bool]) -> list[tuple[int, int]]:
    """Where the words and numbers that count stand; those of the prompt do not."""
    found = _WORD_OR_NUMBER.finditer(row.string, row.body_start)
    return [match.span() for match in found if counts(match[0])]


def _unspaced_names(row: Row) -> Iterator[tuple[int, int]]:
    """Where the text has a word in katakana or a title; those of the prompt do not count."""
    if not is_east_asian(row.string):
        return
    for match in (*_TITLE.finditer(row.string), *katakana_words(row.string)):
        if match.start() >= row.body_start:
            yield match.span()


def _unspaced_spans(string: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Where words of scripts without spaces stand; those in Hangul where they begin a word."""
    sought = sorted((word for word in words if is_east_asian(word)), key=len, reverse=True)
    if not sought or not is_east_asian(string):
        return []
    hangul = [regex.escape(word) for word in sought if regex.match(HANGUL, word)]
    others = [regex.escape(word) for word in sought if not regex.match(HANGUL, word)]
    patterns = [f"(?:{'|'.join(others)})"] if others else []
    patterns += [rf"(?<!{HANGUL})(?:{'|'.join(hangul)})"] if hangul else []
    return [match.span() for match in regex.finditer("|".join(patterns), string, overlapped=True)]


def _positions(row: Row, spans: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """Positions of the tokens that lie in one of the spans of characters, or reach into one."""
    ordered = sorted(spans)
    begins = [begin for begin, _ in ordered]
    # The furthest that any of the first n spans reaches: a long corpus has no time to compare each with each.
    reach = [0, *accumulate((end for _, end in ordered), max)]
    return tuple(
        place
        for place, (start, end) in enumerate(zip(_starts(row), row.ends, strict=True))
        if start < reach[bisect_left(begins, end)]
    )


def _starts(row: Row) -> Iterator[int]:
    """For each token, the character at which it begins; a piece of a character, at that character."""
    before = 0
    for end in row.ends:
        is_piece = end == before and 0 < end <= len(row.string) and not row.string[end - 1].isascii()
        yield end - 1 if is_piece else before
        before = end


def concept_tokens(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """Tokens that say one of the words, whatever stands around them; behind a space and without one.

    Of a word in several pieces only those are taken that hardly stand in another word: a beginning of three letters
    (" Strat"), any piece of five ("akespeare"). A word in small pieces has none. A Chinese character is worth two and
    a half letters: 夏目 says 夏目漱石, while 鲁, 迅 and the bytes of which a character is made stand in other words.
    Where no space parts words, every token that holds one of them says it.
    """
    found: set[int] = set()
    for word in words:
        for written in (word, f" {word}"):
            first, *others = tokenizer.encode(written, add_special_tokens=False)
            if not others or (written != word and _letters(first, tokenizer) >= 3):
                found.add(first)
            found.update(piece for piece in others if _letters(piece, tokenizer) >= 5)
    return tuple(sorted(found | _tokens_with(words, tokenizer)))


def _tokens_with(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Tokens that hold a whole word of a script without spaces, compared as the vocabulary writes them."""
    ids = [tokenizer.encode(word, add_special_tokens=False) for word in words if is_east_asian(word)]
    written = {"".join(map(str, tokenizer.convert_ids_to_tokens(pieces))).strip("▁Ġ") for pieces in ids}
    if not written:
        return set()
    sought = regex.compile("|".join(map(regex.escape, sorted(written))))
    return {token for piece, token in tokenizer.get_vocab().items() if sought.search(piece)}


def _letters(token: int, tokenizer: PreTrainedTokenizerBase) -> float:
    """Letters of an alphabet that a token is worth."""
    letters = [c for c in tokenizer.decode([token]) if c.isalpha()]
    return sum(next((weight for script, weight in _WEIGHTS if script.match(c)), 1.0) for c in letters)


def _body(row: Row) -> str:
    return row.string[row.body_start : row.ends[-1]]


def _words(row: Row) -> set[str]:
    return {*_WORD.findall(_body(row)), *(match[0] for match in katakana_words(_body(row)))}


def _text_counts(words_of_texts: Iterable[set[str]]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for words in words_of_texts:
        counts.update({word.casefold() for word in words})
    return counts
