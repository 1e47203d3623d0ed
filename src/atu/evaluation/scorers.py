"""Does a text hold the answer? Pure functions on strings, the rules behind the `corrected` scores.

A row counts as known when an accepted answer occurs in the model's answer as whole words, whatever its case,
accents, punctuation and articles. Three rules keep guessing and echoing from counting:

1. Only the first line is the answer. What follows a line break is a list or a new turn. A line that only
   introduces ("Sure, here it is:") is read together with the next one.
2. A question that offers options ("...: Carrie, It, or Misery?") is answered by naming the right one and none
   of the others; repeating the question is no answer. A letter alone stands for its lettered option.
3. A guess among alternatives ("Hamlet or Macbeth"; four or more short items in a row, most of them wrong) is
   not knowledge.

Where a script puts no space between words, any place between two of its letters may begin or end one: 鲁迅 occurs in
"作者是鲁迅", and 京都 in 東京都 too. Katakana and Hangul show more: `words.py` has the rules.

What the rules cannot see: negation ("It was not Hamlet") counts as an answer.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import groupby, pairwise

from atu.evaluation.marks import COPULA, answer_marks, letter_marks, question_marks
from atu.evaluation.words import first_words, holds, last_words, normalize, spaced, split_words
from atu.records import Probe
from atu.text.scripts import is_east_asian, is_unspaced

_LONGEST_ITEM = 4  # words; longer pieces between commas are clauses, not items of a list
_LONGEST_UNSPACED_ITEM = 10  # letters
_SHORTEST_LIST = 4  # items; "Stratford, Warwickshire, England" is one place


def contains_any(text: str, references: Sequence[str]) -> float:
    """1.0 if one of the references occurs in the text as a run of whole words, else 0.0 (both normalized)."""
    words = spaced(text)
    return float(any(holds(words, reference) for reference in map(spaced, references) if reference))


def recall_lcs(text: str, reference: str) -> float:
    """Longest common subsequence of words over the words of the reference (ROUGE-L recall, both normalized).

    Where a script puts no space between words, letters take their place (`split_words`). 0.0 for a reference without
    words.
    """
    wanted = len(split_words(reference))
    return len(common_words(text, reference)) / wanted if wanted else 0.0


def common_words(text: str, reference: str) -> list[int]:
    """Which words of the text are its longest common subsequence with the reference, as `split_words` counts them."""
    said, wanted = split_words(text), split_words(reference)
    # longest[i][j]: what the words from i and those of the reference from j have in common.
    longest = [[0] * (len(wanted) + 1) for _ in range(len(said) + 1)]
    for i in reversed(range(len(said))):
        for j in reversed(range(len(wanted))):
            same = said[i] == wanted[j]
            longest[i][j] = longest[i + 1][j + 1] + 1 if same else max(longest[i + 1][j], longest[i][j + 1])
    found, i, j = [], 0, 0
    while longest[i][j]:
        if said[i] == wanted[j]:
            found.append(i)
            i, j = i + 1, j + 1
        elif longest[i + 1][j] == longest[i][j]:
            i += 1
        else:
            j += 1
    return found


def token_f1(text: str, reference: str) -> float:
    """F1 of the two multisets of normalized words, as in SQuAD. 0.0 when either side has no words."""
    said, wanted = Counter(split_words(text)), Counter(split_words(reference))
    common = (said & wanted).total()
    return 2 * common / (said.total() + wanted.total()) if common else 0.0


def score_generate(probe: Probe, text: str) -> float:
    """1.0 if `text` answers the probe by the rules at the top of this module, else 0.0."""
    answer, references = settled_answer(probe.prompt, probe.references, text)
    return contains_any(answer, references)


def settled_answer(prompt: str, references: Sequence[str], text: str) -> tuple[str, list[str]]:
    """What the text commits itself to, and what counts as right.

    Empty for an echo of the options and for a guess among alternatives (rules 2 and 3). A letter becomes its
    option, and a right option counts as it is worded.
    """
    answer = first_line(text)
    options = offered_options(prompt)
    right = {letter: option for letter, option in options.items() if _shares_words(option, references)}
    accepted = [*references, *right.values()]
    if right:
        answer = options.get(lone_letter(answer), answer)
        others = [option for letter, option in options.items() if letter not in right]
        if contains_any(answer, others):
            return "", accepted
    return ("" if is_guess(answer, accepted) else answer), accepted


def first_line(text: str) -> str:
    """The first line with words in it, together with the next one if it ends in a colon."""
    lines = [line.strip() for line in text.splitlines() if normalize(line)]
    if len(lines) > 1 and lines[0].endswith((":", "：")):
        return f"{lines[0]} {lines[1]}"
    return lines[0] if lines else ""


def offered_options(question: str) -> dict[str, str]:
    """The options that the last line of a question offers, by letter, or by number where it gives no letters.

    Reads "A) Carrie B) It" (also "A.", "(A)", "A、", "①", "가.", "ก.") and the comma list behind the last colon. Empty
    when there are fewer than two options.
    """
    question = question_marks(question)
    lettered = re.findall(r"(?<!\w)\(?([A-H])[).:]\s+(.+?)(?=[\s,;]+(?:or\s+)?\(?[A-H][).:]\s|\s*$)", question, re.S)
    letters = "".join(letter for letter, _ in lettered)
    if len(letters) > 1 and "ABCDEFGH".startswith(letters):  # not the initials of D. H. Lawrence
        return {letter.lower(): option.strip(" ?.,;\n") for letter, option in lettered}
    _, colon, tail = question.strip().splitlines()[-1].rpartition(": ") if question.strip() else ("", "", "")
    pieces = re.split(r",\s+(?:or\s+)?|;\s+|\s+or\s+", tail.strip(" ?.")) if colon else []
    pieces = [piece.strip(" '\"‘’“”「」『』《》") for piece in pieces]
    return {str(i): piece for i, piece in enumerate(pieces, start=1) if piece} if len(pieces) > 1 else {}


def is_guess(answer: str, references: Sequence[str]) -> bool:
    """Whether the answer names alternatives of which only some are accepted (rule 3)."""
    answer = answer_marks(answer)
    accepted = [reference for reference in references if normalize(reference)]
    words = [spaced(reference) for reference in accepted]
    for left, right in pairwise(spaced(answer).split(" or ")):
        # Only what stands beside the "or" is an alternative: "photosynthesis, in which plants or algae ...".
        near_left = any(holds(last_words(left, len(split_words(r)) + 1), r) for r in words)
        near_right = any(holds(first_words(right, len(split_words(r)) + 1), r) for r in words)
        if near_left != near_right and not all(any(holds(side, r) for r in words) for side in (left, right)):
            return True
    return any(_is_list_of_guesses(sentence, accepted) for sentence in re.split(r"\.\s", answer))


def _is_list_of_guesses(sentence: str, accepted: Sequence[str]) -> bool:
    pieces = [piece for piece in re.split(r"[,;/]|\band\b|\bor\b", sentence) if normalize(piece)]
    if is_east_asian(sentence):
        about = [COPULA.split(piece) for piece in pieces]
        if any(contains_any(before, accepted) for *befores, _ in about for before in befores):
            return False  # something is said about the answer
        pieces = [last for *_, last in about if normalize(last)]
    if any(contains_any(piece, accepted) for piece in pieces if not _is_item(piece)):
        return False  # said in a clause of its own, whatever is listed beside it
    for is_list, run in groupby(pieces, key=_is_item):
        items = list(run)
        hits = sum(contains_any(item, accepted) for item in items)
        if is_list and len(items) >= _SHORTEST_LIST and 0 < hits < len(items) / 2:
            return True
    return False


def _is_item(piece: str) -> bool:
    if is_unspaced(piece):
        return len(split_words(piece)) <= _LONGEST_UNSPACED_ITEM
    return len(piece.split()) <= _LONGEST_ITEM


def _shares_words(option: str, references: Sequence[str]) -> bool:
    return any(contains_any(option, [r]) or contains_any(r, [option]) for r in references)


def lone_letter(answer: str) -> str:
    """The letter of an answer that is nothing else ("B", "(B)", "The answer is B.", "答案是B。"), else ""."""
    answer = letter_marks(answer)
    match = re.fullmatch(r"\W*(?:the\s+)?(?:correct\s+)?(?:(?:answer|option)(?:\s+is)?\W*)?([a-h])\W*", answer, re.I)
    return match[1].lower() if match else ""
