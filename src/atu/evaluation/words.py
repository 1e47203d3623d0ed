"""Texts as the scorers compare them: folded letters, and where words begin and end in each script."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

import regex

from atu.text.scripts import HANGUL, KATAKANA, PARTICLES, UNIT, UNSPACED, is_east_asian, is_letter_mark, is_unspaced

_ARTICLES = {"a", "an", "the"}
_LETTERS_OF_THEIR_OWN = (("и\u0306", "й"), ("у\u0306", "ў"), ("і\u0308", "ї"))
"""Cyrillic letters that Unicode takes apart like an accented one."""
_STRAY_MARKS = regex.compile(r"(?<![\p{L}\p{N}\p{M}])\p{M}+")
_JOINERS = "\u200c\u200d"  # behind a mark they say how the letters of one word are drawn

# Between two unspaced letters: what may stand inside of a name, and what ends a word.
_SOFT = r"\s\u200b・·‧･゠=＝\-‐'’"
_BETWEEN_UNITS = regex.compile(rf"(?<=[{UNSPACED}\u3099\u309A])[^\w{UNSPACED}]+(?=[[{UNSPACED}]--\p{{M}}])", regex.V1)
_HARD = regex.compile(rf"[^{_SOFT}]", regex.V1)
_TOKEN = regex.compile(rf"(?P<unit>{UNIT})|(?P<word>{HANGUL}+|[^\s|{UNSPACED}{HANGUL}]+)|(?P<wall>\|)", regex.V1)
_PIECE = regex.compile(rf"{UNIT}|{HANGUL}|[^\s|·{UNSPACED}{HANGUL}]+", regex.V1)


def normalize(text: str) -> str:
    """Lower-case words without accents, punctuation and articles, one space between them.

    A text of nothing but articles keeps them, so that the answer "A" does not vanish. Thousands separators
    and zero decimals go ("1,564.0" is "1564"), a decimal point stays ("3.5" does not hold the word "5"). Wide letters
    and the digits of all scripts become plain ones; marks that are letters of their own stay (が is not か).
    """
    words = _folded(text).replace("|", " ").split()
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def _folded(text: str) -> str:
    """Letters and digits in lower case; `|` where punctuation parts two unspaced letters, else spaces."""
    folded = unicodedata.normalize("NFKD", text.casefold()).replace("|", " ")
    if not folded.isascii():
        folded = _STRAY_MARKS.sub("", folded)
        for apart, letter in _LETTERS_OF_THEIR_OWN:
            folded = folded.replace(apart, letter)
        folded = "".join(str(unicodedata.decimal(c, c)) for c in folded)
    folded = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", folded)
    folded = re.sub(r"(?<=\d)\.0+(?!\d)", "", folded)
    folded = re.sub(r"(?<!\d)\.|\.(?!\d)", " ", folded)
    if is_unspaced(folded):
        folded = _BETWEEN_UNITS.sub(lambda found: "|" if _HARD.search(found[0]) else " ", folded)
    if folded.isascii():
        return "".join(c if c.isalnum() or c == "." else " " for c in folded)
    kept: list[str] = []
    for c in folded:
        if c.isalnum() or c in ".|" or is_letter_mark(c):
            kept.append(c)
        elif not unicodedata.combining(c) and not (c in _JOINERS and kept and is_letter_mark(kept[-1])):
            kept.append(" ")
    return unicodedata.normalize("NFC", "".join(kept))


def spaced(text: str) -> str:
    """`normalize` with the words of scripts told apart: what `holds` searches.

    Between two words stands a space, between two unspaced letters nothing; `·` where a space or a middle dot stood
    between them, `|` where other punctuation did.
    """
    if text.isascii() or not is_east_asian(text):
        return normalize(text)
    folded = _folded(text)
    tokens = list(_TOKEN.finditer(folded))
    standing = [token for i, token in enumerate(tokens) if not _is_article(tokens, i)]
    parts: list[str] = []
    before: regex.Match[str] | None = None
    for token in standing or tokens:
        if before is None or token["wall"] or before["wall"]:
            parts.append(token[0])
        elif token["unit"] and before["unit"]:
            parts.append(token[0] if before.end() == token.start() else f"·{token[0]}")
        else:
            parts.append(f" {token[0]}")
        before = token
    return "".join(parts)


def _is_article(tokens: list[regex.Match[str]], index: int) -> bool:
    """Whether a token is an article; the A of A股 is none."""
    token = tokens[index]
    if token[0] not in _ARTICLES:
        return False
    grows_on = [other for other in tokens[max(0, index - 1) : index + 2] if other is not token]
    return not any(other.end() == token.start() or other.start() == token.end() for other in grows_on)


def split_words(text: str) -> list[str]:
    """The normalized words; each letter of an unspaced script and each syllable of Hangul is one.

    Source: MLQA's evaluation of Chinese (mixed segmentation), KorQuAD's of Korean.
    """
    return list(_PIECE.findall(spaced(text)))


def first_words(text: str, count: int) -> str:
    """The first words of a `spaced` text, as `split_words` counts them."""
    ends = [piece.end() for piece in _PIECE.finditer(text)]
    return text[: ends[count - 1]] if len(ends) > count else text


def last_words(text: str, count: int) -> str:
    """The last words of a `spaced` text."""
    starts = [piece.start() for piece in _PIECE.finditer(text)]
    return text[starts[-count] :] if len(starts) > count else text


def holds(text: str, reference: str) -> bool:
    """Whether `text` has the `reference` as a run of words; both are `spaced`, and the reference is not empty.

    A reference in katakana must not be a part of a longer katakana word (ハムレットマシーン does not hold ハムレット).
    In Korean it begins where a word begins, and of two syllables or more, other syllables may follow: particles and
    titles grow onto names (세종대왕은, 서울특별시). Spaces and middle dots inside a name play no part in these scripts.
    """
    return _place(text, reference) is not None


def find_words(text: str, reference: str) -> tuple[int, int] | None:
    """Where `holds` first finds the reference: its first word of the text, and the one behind its last.

    Words as `split_words` counts them; both texts are `spaced`. None where the text does not hold it.
    """
    place = _place(text, reference)
    if place is None:
        return None
    pieces = list(_PIECE.finditer(text))
    return sum(piece.end() <= place[0] for piece in pieces), sum(piece.start() < place[1] for piece in pieces)


def _place(text: str, reference: str) -> tuple[int, int] | None:
    """The first and the last character (exclusive) of the reference in the text; both are `spaced`."""
    if not is_east_asian(reference):
        first = f" {text} ".find(f" {reference} ")
        return None if first < 0 else (first, first + len(reference))
    found = _pattern(reference).search(text)
    return None if found is None else found.span()


@lru_cache(maxsize=4096)
def _pattern(reference: str) -> regex.Pattern[str]:
    letters = regex.findall(rf"{UNIT}|[^·]", reference, regex.V1)
    parts = [
        regex.escape(letter, literal_spaces=True) + ("·?" if is_unspaced(letter) and is_unspaced(following) else "")
        for letter, following in zip(letters, [*letters[1:], ""], strict=True)
    ]
    # A space inside of a long Korean name is a matter of taste: 세종대왕, 세종 대왕.
    body = regex.sub(rf"(?<={HANGUL}{{2}}) ?(?={HANGUL}{{2}})", " ?", "".join(parts))
    return regex.compile(f"{_left_edge(reference[0])}{body}{_right_edge(reference)}", regex.V1)


def _left_edge(first: str) -> str:
    if regex.match(rf"[{KATAKANA}]", first):
        return rf"(?<![{KATAKANA}])"
    if is_unspaced(first):
        return ""
    return rf"(?<!{HANGUL})" if regex.match(HANGUL, first) else r"(?<![^\s|])"


def _right_edge(reference: str) -> str:
    last = reference[-1]
    if regex.match(rf"[{KATAKANA}]", last):
        return rf"(?![{KATAKANA}]|\p{{M}})"
    if is_unspaced(last):
        return r"(?!\p{M})"
    if not regex.match(HANGUL, last):
        return r"(?![^\s|])"
    return "" if len(regex.findall(HANGUL, reference)) > 1 else rf"(?={PARTICLES}*(?!{HANGUL}))"
