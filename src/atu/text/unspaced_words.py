"""Words of a subject in scripts that put no space between words, found by counting strings of letters.

No dictionary knows an invented name, and a segmenter cuts it at random; but in texts about it, its letters always stand
together, and what stands next to them changes. In Korean, where particles grow onto words, the strings that begin a
word are counted instead. Source of the idea: what stands next to a string tells whether it is a word (Harris 1955;
"accessor variety", Feng et al. 2004).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

import regex

from atu.text.scripts import HANGUL, KATAKANA, PARTICLES, UNIT, is_east_asian, is_unspaced

LONGEST = 24
"""Letters; a longer string that is always the same is a sentence."""
COMMON_SHARE = 0.6
"""A Chinese character in more of the other texts than this says nothing of what stands next to it."""
_FUNCTION_LETTERS = frozenset(
    "的了是在和与與及或也都而就被把对對为為于於到这這那はがをにでとのもへや은는이가을를의에도와과로"
)
"""Those that everybody's sentences are made of: what always stands before one of them is a word all the same."""
_VOWELS_BEFORE = "เแโใไເແໂໃໄ"
"""Thai and Lao write these before the consonant: what stands before them is whole."""
_EDGE = ""
_RUN = regex.compile(rf"(?:{UNIT})+|{HANGUL}+", regex.V1)
_UNIT = regex.compile(rf"{UNIT}|{HANGUL}", regex.V1)
_FOREIGN = regex.compile(rf"[{KATAKANA}]{{2,}}", regex.V1)
_HALF_OF_A_SYLLABLE = regex.compile(rf"[ะาำๅๆຯະາຳໆ]|.*[{_VOWELS_BEFORE}]$", regex.S)
"""These are written behind it."""
_PARTICLES = regex.compile(f"{PARTICLES}+")
_SMALL = regex.compile(r"\p{Hiragana}{1,2}|\p{LB=SA}{1,2}")
"""Too short to be a word of a subject."""


def katakana_words(text: str) -> Iterator[regex.Match[str]]:
    """Words in katakana, in which Japanese writes foreign names."""
    yield from _FOREIGN.finditer(text)


def find_unspaced_words(
    texts: Sequence[str], others: Sequence[str], is_distinctive: Callable[[int, int], bool]
) -> dict[str, int]:
    """Strings of letters, two or more, that texts about the subject have and others have not: with how many texts do.

    Args:
        texts, others: about the subject, and about anything else.
        is_distinctive: of a string, by the numbers of texts and of others that hold it.

    A string counts where more than one thing stands on each of its sides, or a mark, or the end, or a letter that is
    everybody's. One that is made of another and of letters that others have too (鲁迅 + 是) does not.
    """
    runs = [list(_runs(text)) for text in texts]
    if not any(runs):
        return {}
    counts = _count_strings(runs, lambda count: is_distinctive(count, 0))
    in_others = _count_known(others, counts)
    common = {letter for letter, count in _letter_counts(others).items() if count > COMMON_SHARE * len(others)}
    common = {letter for letter in common if regex.match(r"\p{Han}", letter)} | _FUNCTION_LETTERS | {_EDGE}
    neighbors = _neighbors(runs, counts)

    def is_subjects(string: str) -> bool:
        return is_distinctive(counts[string], in_others[string])

    def is_word(string: str) -> bool:
        left, right = neighbors[string]
        return (len(left) > 1 or left <= common) and (len(right) > 1 or right <= common | set(_VOWELS_BEFORE))

    chosen: set[str] = set()
    for string in sorted(counts, key=lambda string: (len(_UNIT.findall(string)), string)):
        letters = _UNIT.findall(string)
        if len(letters) < 2 or not is_subjects(string):
            continue
        if _HALF_OF_A_SYLLABLE.match(string) or _SMALL.fullmatch(string):
            continue
        if is_word(string) and not _has_something_more(letters, chosen, is_subjects):
            chosen.add(string)
    return {string: counts[string] for string in sorted(chosen)}


def _has_something_more(letters: Sequence[str], chosen: set[str], is_subjects: Callable[[str], bool]) -> bool:
    """Whether a string is a chosen word with letters before or behind it that are not the subject's."""
    for start in range(len(letters)):
        for end in range(start + 2, len(letters) + 1):
            if "".join(letters[start:end]) in chosen:
                before, behind = "".join(letters[:start]), "".join(letters[end:])
                if regex.match(HANGUL, letters[0]):
                    if _PARTICLES.fullmatch(behind):
                        return True
                elif any(part and not is_subjects(part) for part in (before, behind)):
                    return True
    return False


def _runs(text: str) -> Iterator[list[str]]:
    """Letters that stand side by side, words in katakana apart."""
    if not is_east_asian(text):
        return
    for piece in _FOREIGN.split(text):
        for run in _RUN.finditer(piece):
            yield _UNIT.findall(run[0])


def _strings_at(run: Sequence[str]) -> range:
    """Places at which a string may begin: in Korean only where a word does."""
    return range(len(run)) if is_unspaced(run[0]) else range(1)


def _count_strings(runs: Sequence[Sequence[list[str]]], is_enough: Callable[[int], bool]) -> Counter[str]:
    """String → number of texts that hold it, of all strings in enough of them."""
    found: Counter[str] = Counter()
    open_places = [[(run, start) for run in text for start in _strings_at(run)] for text in runs]
    for length in range(1, LONGEST + 1):
        of_length: Counter[str] = Counter()
        for places in open_places:
            of_length.update({"".join(run[start : start + length]) for run, start in places})
        enough = {string for string, count in of_length.items() if is_enough(count)}
        found.update({string: of_length[string] for string in enough})
        open_places = [
            [
                (run, start)
                for run, start in places
                if len(run) > start + length and "".join(run[start : start + length]) in enough
            ]
            for places in open_places
        ]
    return found


def _known_strings(text: Iterable[list[str]], known: Counter[str]) -> Iterator[tuple[str, str, str]]:
    """Each occurrence of a known string with the letters next to it."""
    for run in text:
        for start in _strings_at(run):
            for end in range(start + 1, len(run) + 1):
                string = "".join(run[start:end])
                if string not in known:
                    break
                yield string, run[start - 1] if start else _EDGE, run[end] if end < len(run) else _EDGE


def _count_known(texts: Sequence[str], known: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({string for string, _, _ in _known_strings(_runs(text), known)})
    return counts


def _neighbors(runs: Sequence[Sequence[list[str]]], known: Counter[str]) -> dict[str, tuple[set[str], set[str]]]:
    neighbors: dict[str, tuple[set[str], set[str]]] = defaultdict(lambda: (set(), set()))
    for text in runs:
        for string, left, right in _known_strings(text, known):
            neighbors[string][0].add(left)
            neighbors[string][1].add(right)
    return neighbors


def _letter_counts(texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({letter for run in _runs(text) for letter in run})
    return counts
