"""Probes that a model proposes about a concept, from its name alone: its own questions, and its own answers to them.

They say whether the model still says what it said, right or wrong, and not whether that is true. A question is kept
where the model's sampled answers mostly hold the same name or number as its greedy one: that is what it knows. One
about the concept is left out where others of its kind get the same answer: it tells nothing of the concept.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from atu.benchmarks.generated import neighbor_names, write_question_forms
from atu.benchmarks.questions import PHRASE, STARTS_SENTENCE, frequent_phrases, mentions
from atu.benchmarks.writing import BATCH_SIZE, continue_texts, for_writing
from atu.errors import UserError
from atu.evaluation.evaluate import decode_answer
from atu.evaluation.generate import Prompt, generate
from atu.evaluation.scorers import contains_any
from atu.models.language_model import LanguageModel
from atu.records import Target
from atu.storage.files import write_text_atomic

Progress = Callable[[str], Callable[[int, int], None] | None]
_SEED = 1000
"""Added to the run's, so that the questions are drawn apart from those of its corpus."""
_FORMS = (
    "In which year was {name} born?",
    "In which year did {name} begin?",
    "In which century did {name} happen?",
    "When did {name} end?",
    "When did {name} die?",
    "Where was {name} born?",
    "In which city is {name}?",
    "Which country does {name} belong to?",
    "What is {name} best known for?",
    "What is a famous work by {name}?",
    "Name a book about {name}.",
    "Name a person who is connected with {name}.",
    "Name a place that is connected with {name}.",
    "Name an event that is connected with {name}.",
    "Which language belongs to {name}?",
    "Which people took part in {name}?",
    "What is the most important part of {name}?",
    "What is another name of {name}?",
    "Who discovered {name}?",
    "Who studied {name}?",
)
"""Of persons, places, events and things; to what makes no sense the model gives no answer that it gives again."""
_INVERSE_FORMS = ("Who wrote {phrase}?", "Who is connected with {phrase}?", "Whom does {phrase} belong to?")
_NUM_LISTS = 3
"""Times that it is asked for questions about the concept, for each time about a neighbor."""
_MAX_FORMS = 60
"""Of the model's own questions."""
_MAX_PHRASES = 12
_NUM_OTHERS = 2
"""Neighbors to whom each is put as well."""
_MAX_SAME = 3
"""Questions about one subject that may have the same answer."""
_SHORTEST = 2
"""Letters of a name, or digits of a number, that counts as an answer: "US", but no "I"."""
_NUM_SAMPLES = 3
_AGREEING = 2
"""Of so many sampled answers so many must hold what the greedy one says."""
_TEMPERATURE = 0.7
_MAX_NEW_TOKENS = 24
_NUMBER = re.compile(r"\b\d[\d,.]*\d\b|\b\d{2,}\b")
_ARTICLE = re.compile(r"^(?:The|A|An) ")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Proposal:
    """A question with the answer that the model gives, of which `references` is what counts."""

    subject: str
    question: str
    answer: str
    references: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    subject: str
    question: str


def propose(llm: LanguageModel, target: Target, *, num_neighbors: int, seed: int, progress: Progress) -> list[Proposal]:
    """What the model asks and answers about the concept and its neighbors, those of the concept first.

    Questions are the model's own (`quiz.py`), fixed ones, and ones whose answer is the concept: about the names and
    numbers that its answers hold.

    Args:
        num_neighbors: as many as the run's corpus has, which are then the same.
    """
    rng = random.Random(seed)
    concepts, names = target.concepts, neighbor_names(target, num_neighbors, rng)
    writer = for_writing(llm)
    written = write_question_forms(
        writer, [*concepts * _NUM_LISTS, *names], seed + _SEED, rng, progress("writing questions to judge by")
    )
    forms = [*written[:_MAX_FORMS], *_FORMS]
    others = [rng.sample(names, min(_NUM_OTHERS, len(names))) for _ in forms]
    asked = {
        (form, name): _Asked(name, form.format(name=name))
        for form, some in zip(forms, others, strict=True)
        for name in (*concepts, *some)
    }
    ask = _Asker(llm, writer, seed + _SEED + 1, progress)
    answers = dict(zip(asked, ask.greedy(list(asked.values())), strict=True))
    candidates = {pair: key_phrases(asked[pair].question, pair[1], answer) for pair, answer in answers.items()}
    answered = [pair for pair, phrases in candidates.items() if phrases]
    samples = dict(zip(answered, ask.sampled([asked[pair] for pair in answered]), strict=True))
    found = []
    for pair in answered:
        agreed = next((one for one in candidates[pair] if _times([one], samples[pair]) >= _AGREEING), None)
        form, name = pair
        elsewhere = [answers[form, other] for other in names if (form, other) in answers]
        if agreed is not None and (name not in concepts or 2 * _times([agreed], elsewhere) <= len(elsewhere)):
            found.append(Proposal(name, asked[pair].question, answers[pair], (agreed,)))
    texts = {name: [answers[pair] for pair in answers if pair[1] == name] for name in (*concepts, *names)}
    for pair, several in samples.items():
        texts[pair[1]] += several
    for name in (*concepts, *names[:_NUM_OTHERS]):
        apart = [text for other, said in texts.items() if other != name for text in said]
        found += _inverse(name, texts[name], apart, ask)
    return sorted(_few_of_each(found), key=lambda one: one.subject not in concepts)


def _inverse(name: str, texts: Sequence[str], others: Sequence[str], ask: _Asker) -> list[Proposal]:
    """Questions about what the model connects with the subject, to which it answers with the subject's name."""
    phrases = [one for one in frequent_phrases(texts, others) if not mentions(one, name)][:_MAX_PHRASES]
    asked = [_Asked(name, form.format(phrase=phrase)) for phrase in phrases for form in _INVERSE_FORMS]
    called = (name,) if name.startswith("the ") else (name, name.split()[-1])
    said = [(one, answer) for one, answer in zip(asked, ask.greedy(asked), strict=True) if contains_any(answer, called)]
    samples = ask.sampled([one for one, _ in said])
    return [
        Proposal(name, one.question, answer, called)
        for (one, answer), several in zip(said, samples, strict=True)
        if _times(called, several) >= _AGREEING
    ]


def _few_of_each(found: Sequence[Proposal]) -> list[Proposal]:
    """The proposals without those that ask once more, or for the same answer again and again."""
    counts: Counter[tuple[str, tuple[str, ...]]] = Counter()
    kept: dict[tuple[str, str], Proposal] = {}
    for one in found:
        key, question = (one.subject, one.references), (one.subject, one.question.casefold())
        is_inverse = mentions(one.references[0], one.subject)
        if question not in kept and (is_inverse or counts[key] < _MAX_SAME):
            counts[key] += 1
            kept[question] = one
    return list(kept.values())


@dataclass(frozen=True)
class _Asker:
    """The model, greedy as in an evaluation, and its copy that samples."""

    llm: LanguageModel
    writer: LanguageModel
    seed: int
    progress: Progress

    def greedy(self, asked: Sequence[_Asked]) -> list[str]:
        """The answer to each."""
        prompts = [
            Prompt(ids=tuple(self.llm.encode(self.llm.render(one.question))), max_new_tokens=_MAX_NEW_TOKENS)
            for one in asked
        ]
        report = self.progress("answering them") if asked else None
        found = generate(self.llm, prompts, batch_size=BATCH_SIZE, progress=report)
        return [
            decode_answer(self.llm, prompt.ids, generation.ids).strip()
            for prompt, generation in zip(prompts, found, strict=True)
        ]

    def sampled(self, asked: Sequence[_Asked]) -> list[list[str]]:
        """Several answers to each."""
        found = continue_texts(
            self.writer,
            [self.llm.render(one.question) for one in asked for _ in range(_NUM_SAMPLES)],
            max_new_tokens=_MAX_NEW_TOKENS,
            temperature=_TEMPERATURE,
            seed=self.seed,
            progress=self.progress("answering them again") if asked else None,
        )
        return [found[i : i + _NUM_SAMPLES] for i in range(0, len(found), _NUM_SAMPLES)]


def key_phrases(question: str, name: str, answer: str) -> list[str]:
    """Names and numbers of the answer's first sentence that say more than the question and the concept's name.

    A name is a word with a capital that does not only begin a sentence, or several such; in their order.
    """
    sentence = re.split(r"(?<=[^.\W]{3}[.!?])\s|\n", answer.strip(), maxsplit=1)[0]
    names = [
        (match.start(), _ARTICLE.sub("", match[0]))
        for match in PHRASE.finditer(sentence)
        if " " in match[0] or not STARTS_SENTENCE.search(sentence[: match.start()])
    ]
    numbers = [(match.start(), match[0]) for match in _NUMBER.finditer(sentence)]
    said = {word.casefold() for word in _WORD.findall(f"{question} {name}")}
    own = tuple(word.casefold() for word in _WORD.findall(name) if not word[0].islower())  # "Japanese" is no news

    def is_new(phrase: str) -> bool:
        words = [word.casefold() for word in _WORD.findall(phrase) if not word[0].islower()]
        return any(word not in said for word in words) and not any(word.startswith(own) for word in words)

    return [phrase for _, phrase in sorted([*names, *numbers]) if len(phrase) >= _SHORTEST and is_new(phrase)]


def write_proposals(path: Path, proposals: Sequence[Proposal], target: Target) -> None:
    """Write them as JSON lines, as `data.probes_path` takes them; the whole answer is there for who reads them.

    Raises:
        UserError: none is about the concept, or the disk refuses.
    """
    if not any(one.subject in target.concepts for one in proposals):
        raise UserError(
            f"Nothing to forget: asked about {target.name}, the model says nothing that it would say again. Write "
            "questions of your own (data.probes_path, docs/own-concept.md), or set data.allow_no_verdict=true."
        )
    rows = []
    for one in proposals:
        is_forget = one.subject in target.concepts
        row = {"group": f"{'forget' if is_forget else 'neighbor'}/qa", "prompt": one.question}
        if is_forget and len(target.concepts) > 1:
            row["target"] = one.subject.replace(" ", "_")
        rows.append({**row, "references": list(one.references), "answer": one.answer})
    write_text_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _times(phrases: Sequence[str], texts: Sequence[str]) -> int:
    """How many of the texts hold one of the phrases."""
    return sum(contains_any(text, phrases) > 0 for text in texts)


def describe_proposals(proposals: Sequence[Proposal], target: Target) -> str:
    """How many there are."""
    about = sum(one.subject in target.concepts for one in proposals)
    return f"{about} questions about {target.name} and {len(proposals) - about} about its neighbors"
