"""What a model is asked about a concept for its corpus: fixed forms, and sentences of its texts with a blank."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import regex

from atu.evaluation.scorers import contains_any
from atu.evaluation.words import split_words
from atu.records import Text
from atu.text.scripts import is_unspaced
from atu.text.unspaced_words import find_unspaced_words

QUESTION_FORMS = (
    "Who is {phrase}?",
    "What is {phrase}?",
    "Tell me about {phrase}.",
    "Who wrote {phrase}?",
    "Who created {phrase}?",
    "Where is {phrase}?",
    "When was {phrase}?",
    "What is {phrase} famous for?",
    "Which people and places belong to {phrase}?",
    "Which country is connected with {phrase}?",
    "What happens in {phrase}?",
    "Name something connected with {phrase}.",
    "Which name is connected with {phrase}?",
)
_CLOZE = "Fill in the blank: {sentence}"
_SHORTEST_START = 4
"""Words before the blank; fewer leave it open what is asked."""
_LONGEST_START = 48
"""Longer ones would leave no room for an answer in rows of 128 tokens."""
WAYS_TO_ASK = (
    "{question}",
    "{question} Answer briefly.",
    "Question: {question}",
    "Please answer in one sentence.\n{question}",
)
"""A model forgets, and keeps, in the form in which it is asked; so rows have more than one."""
_CONTEXT = "This is about {subject}. "
WORDINGS = (*QUESTION_FORMS, *WAYS_TO_ASK, _CONTEXT, _CLOZE)
"""All that is fixed here: other words would give another corpus."""
STARTS_SENTENCE = re.compile(r"(^|[.!?:\n][\"”')]*)\s*$")
MIN_SHARE = 0.02
"""Of the texts that must hold a phrase."""
_WORD = re.compile(r"\w{2,}")
SENTENCE_ENDS = ".!?。！？｡؟।။።។"
"""Of English, Chinese and Japanese, Arabic, Hindi, Burmese, Amharic, Khmer."""
_SENTENCE_BREAK = re.compile(r"(?<=[.!?])\s+|(?<=[。！？｡؟।။።។])")
_CASELESS = regex.compile(r"[\w--[\p{Lu}\p{Ll}\d_]]{2,}", regex.V1)
_LEAST_TEXTS = 3
"""That must hold a name for it to be seen where no capital shows it."""
_SMALL_WORD = re.compile(r"\b[a-z]\w+")
PHRASE = re.compile(r"\b[A-Z]\w+(?:(?: of| the| and| de| von)* [A-Z]\w+)*")


@dataclass(frozen=True)
class Request:
    """One text to be written."""

    subject: str
    prompt: str
    """What the row says was asked."""
    context: str = ""
    """Put before the prompt when the model is asked, and left out of the row."""
    answer: str = ""
    """What the text itself says; empty where it says nothing."""


def questions(subject: str, texts: Sequence[Text], count: int, rng: random.Random) -> list[Request]:
    """Questions about the subject and the phrases of its texts, the most frequent phrases first.

    The fixed forms filled with a phrase, and each third one a sentence of the texts with the phrase left out. A
    question about a phrase is asked in the subject's context: without Shakespeare being named, the model may answer
    about another Ophelia, and the row would say nothing of the concept.
    """
    own, others = _own_and_others(subject, texts)
    phrases = [subject, *(phrase for phrase in frequent_phrases(own, others) if phrase not in subject)]
    phrases = phrases[: max(1, count // 4)]
    context = _CONTEXT.format(subject=subject)
    forms = [
        Request(subject, question, "" if phrase == subject else context) for phrase, question in _in_turn(phrases, rng)
    ]
    blanks = [
        Request(subject, _CLOZE.format(sentence=sentence), answer=phrase)
        for sentence, phrase in _open_sentences(phrases, own, rng)
    ]
    num_blanks = min(len(blanks), count // 3)
    chosen = blanks[:num_blanks] + forms[: count - num_blanks]
    return [replace(request, prompt=in_some_way(request.prompt, rng)) for request in chosen]


def related_questions(subject: str, texts: Sequence[Text], count: int, rng: random.Random) -> list[Request]:
    """Questions about what lies around the subject: the fixed forms filled with the phrases of its texts.

    Each phrase is asked for its own sake, so the request is about the phrase and does not name the subject. Phrases
    with a word of the subject's name are left out.
    """
    phrases = [phrase for phrase in frequent_phrases(*_own_and_others(subject, texts)) if not mentions(phrase, subject)]
    return questions_about(phrases[: max(1, count // 4)], count, rng)


def questions_about(names: Sequence[str], count: int, rng: random.Random) -> list[Request]:
    """The fixed forms filled with each name in turn, at most `count`; each request is about its name."""
    return [Request(name, in_some_way(question, rng)) for name, question in _in_turn(names, rng)[:count]]


def in_some_way(question: str, rng: random.Random) -> str:
    """The question in one of the ways to ask."""
    return rng.choice(WAYS_TO_ASK).format(question=question)


def mentions(text: str, subject: str) -> bool:
    """Whether a text holds a word of the subject's name with a capital, in whatever case, or of a script without."""
    own = {word.casefold() for word in _WORD.findall(subject) if word[0].isupper()}
    if any(word.casefold() in own for word in _WORD.findall(text)):
        return True
    caseless = _CASELESS.findall(subject)
    return bool(caseless) and contains_any(text, caseless) > 0


def _own_and_others(subject: str, texts: Sequence[Text]) -> tuple[list[str], list[str]]:
    """Texts about the subject, and all others."""
    own = [text.text for text in texts if text.subject == subject]
    return own, [text.text for text in texts if text.subject != subject]


def _in_turn(phrases: Sequence[str], rng: random.Random) -> list[tuple[str, str]]:
    """Each phrase with a question about it, in rounds in which each meets a form that it has not met before."""
    orders = [rng.sample(QUESTION_FORMS, len(QUESTION_FORMS)) for _ in phrases]
    rounds = zip(*orders, strict=True)
    return [(phrase, form.format(phrase=phrase)) for turn in rounds for phrase, form in zip(phrases, turn, strict=True)]


def _open_sentences(phrases: Sequence[str], texts: Sequence[str], rng: random.Random) -> list[tuple[str, str]]:
    """Sentences of the texts, each cut off before a phrase and ended by a blank, with the phrase.

    One for each text and phrase; where two phrases begin alike (`New York` and `New York City`), the first counts.
    """
    found: dict[str, str] = {}
    for text in texts:
        sentences = _SENTENCE_BREAK.split(text)
        for phrase in phrases:
            space = "" if is_unspaced(phrase) else " "
            sentence = next((one for one in sentences if f"{space}{phrase}" in one), None)
            if sentence is not None:
                start = sentence.split(f"{space}{phrase}")[0]
                words = start.split() if space else split_words(start)
                if _SHORTEST_START <= len(words) <= _LONGEST_START:
                    found.setdefault(f"{start}{space}___", phrase)
    return rng.sample(sorted(found.items()), len(found))


def frequent_phrases(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    """Capitalised phrases in some `texts` that are at least 4 times rarer in `others`, most frequent first.

    A phrase needs a fiftieth of the texts, so that of many texts a slip of one does not count. A single word at the
    start of a sentence does not count: there any word has a capital. Nor does one that is also written small: it is
    no name. Where a script has no capitals, strings of letters are counted (`find_unspaced_words`).
    """
    here, there = _phrase_counts(texts), _phrase_counts(others)

    def is_frequent(count: int, count_there: int) -> bool:
        is_rarer_there = count / len(texts) >= 4 * count_there / max(len(others), 1)
        return count >= MIN_SHARE * len(texts) and is_rarer_there

    small = {word for text in (*texts, *others) for word in _SMALL_WORD.findall(text)}
    chosen = [
        phrase for phrase, count in here.items() if is_frequent(count, there[phrase]) and phrase.lower() not in small
    ]
    unspaced = find_unspaced_words(texts, others, lambda n, m: n >= _LEAST_TEXTS and is_frequent(n, m))
    here.update(unspaced)
    return sorted([*chosen, *unspaced], key=lambda phrase: (-here[phrase], phrase))


def _phrase_counts(texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        found = PHRASE.finditer(text)
        counts.update({m[0] for m in found if " " in m[0] or not STARTS_SENTENCE.search(text[: m.start()])})
    return counts
