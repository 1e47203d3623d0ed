"""The model writes its own corpus: from a concept's name and one sentence to texts about it and about others.

Only names and fixed question forms go in; a benchmark's probes are never seen here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch

from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.questions import WORDINGS, Request, mentions, questions, questions_about, related_questions
from atu.benchmarks.quiz import QUIZ_WORDINGS, ask_of, question_forms, quizzes
from atu.benchmarks.writing import BATCH_SIZE, TOP_K, ask, continue_texts, for_writing
from atu.models.language_model import LanguageModel
from atu.models.precision import has_fast_bf16
from atu.records import Target, Text
from atu.storage.cache import cached_json
from atu.storage.files import content_key

Progress = Callable[[str], Callable[[int, int], None] | None]

TEXT_PROMPTS = (
    "Tell me about {name}.",
    "Write a short paragraph about {name}.",
    "What is {name} best known for?",
    "Give me some facts about {name}.",
    "What does an encyclopedia say about {name}?",
    "Explain {name} to a child.",
    "Describe the history of {name}.",
    "Who or what is {name}?",
    "Which names, places and works are connected with {name}?",
    "Why is {name} important?",
    "What should a student know about {name}?",
    "Write an introduction to {name}.",
)
GENERAL_TOPICS = (
    "gravity", "the human heart", "volcanoes", "photosynthesis", "bees", "whales", "elephants", "dogs", "cats",
    "the water cycle", "the Moon", "the Sun", "Mars", "computers", "the internet", "bicycles", "airplanes",
    "trains", "football", "swimming", "chess", "cooking pasta", "bread", "coffee", "chocolate", "vegetables",
    "the piano", "the violin", "painting", "photography", "mathematics", "geometry", "electricity", "magnets",
    "atoms", "iron", "gold", "glass", "the weather", "earthquakes", "deserts", "rain forests", "rivers",
    "oceans", "vaccines", "sleep", "teeth", "money", "schools", "gardens",
)  # fmt: skip
OTHER_NAMES = (
    "Isaac Newton", "Marie Curie", "Charles Dickens", "Mark Twain", "Ludwig van Beethoven", "Pablo Picasso",
    "Abraham Lincoln", "Cleopatra", "Germany", "Brazil", "Egypt", "Canada", "Sherlock Holmes", "Star Wars",
    "The Lord of the Rings", "Greek mythology", "the Roman Empire", "the Titanic", "the Eiffel Tower", "New York City",
)  # fmt: skip
"""Concepts to keep when the user names no neighbours."""
GENERAL_SUBJECTS = (*GENERAL_TOPICS, *OTHER_NAMES)
_REVISION = 3
"""To be raised with a change of the code that lets the same request give another corpus."""
_ANSWER_TOKENS = 32
"""Length of an answer to a question; the texts have `max_new_tokens`."""
_QUIZ_TOKENS = 96
"""Length of a list of questions."""
_QUIZ_TEMPERATURE = 0.7
"""Warmer than the texts, so that lists about one name differ."""


def cached_corpus(
    llm: LanguageModel,
    target: Target,
    config: CorpusConfig,
    *,
    given: Sequence[Text] = (),
    questionnaire: Sequence[str] = (),
    seed: int,
    progress: Progress,
) -> tuple[list[Text], list[Text]]:
    """`write_corpus`, found again in the cache for the same model, target, texts, questions, settings and seed.

    A model without a checksum writes it each time.
    """
    write = partial(
        write_corpus, llm, target, config, given=given, questionnaire=questionnaire, seed=seed, progress=progress
    )
    if not llm.reading_key:
        return write()
    parts = {
        "revision": _REVISION,
        "model": llm.reading_key,
        "target": {key: value for key, value in asdict(target).items() if value or key != "members"},
        "config": asdict(config),
        "seed": seed,
        "sampling": [TOP_K, BATCH_SIZE, _QUIZ_TOKENS, _QUIZ_TEMPERATURE],
        "dtype": str(torch.bfloat16 if has_fast_bf16(llm.device) else torch.float32),
        "prompts": [*TEXT_PROMPTS, *WORDINGS, *QUIZ_WORDINGS, *GENERAL_SUBJECTS],
    }
    if given:
        parts["given"] = [asdict(text) for text in given]
    if questionnaire:
        parts["questionnaire"] = list(questionnaire)

    def rows() -> dict[str, list[dict[str, Any]]]:
        forget, retain = write()
        return {"forget": [asdict(text) for text in forget], "retain": [asdict(text) for text in retain]}

    kept = cached_json("corpora", content_key(parts), rows)
    return [Text(**row) for row in kept["forget"]], [Text(**row) for row in kept["retain"]]


def write_corpus(
    llm: LanguageModel,
    target: Target,
    config: CorpusConfig,
    *,
    given: Sequence[Text] = (),
    questionnaire: Sequence[str] = (),
    seed: int,
    progress: Progress,
) -> tuple[list[Text], list[Text]]:
    """Texts about the concept and texts about anything else, written by `llm` at a fixed seed.

    Args:
        given: texts about the concept and about neighbors (whoever else is their subject), in place of its own;
            of these it then writes only answers, and only to questions that the texts do not answer.
        questionnaire: questions with `{name}` in them, in place of those that the model would write.

    Returns:
        (forget, retain). Forget holds `num_forget_texts` texts, `num_question_rows` answers to questions about the
        concept and phrases of its texts, and `num_quiz_rows` to the questionnaire, or to questions of the model's own;
        retain the same about the neighbors and general topics, and `num_related_rows` answers to questions about
        phrases of the concept's texts, of which those that mention it are left out. So are degenerate and empty ones;
        there may be fewer.
    """
    rng = random.Random(seed)
    writer = for_writing(llm)

    def write(requests: Sequence[Request], max_new_tokens: int, seed: int, what: str) -> list[Text]:
        if not requests:
            return []
        return ask(
            writer,
            requests,
            max_new_tokens=max_new_tokens,
            temperature=config.temperature,
            seed=seed,
            progress=progress(what),
        )

    concepts = target.concepts
    if given:
        names = sorted({text.subject for text in given} - set(concepts))
        general = _general_requests(config.num_general_texts, [*concepts, *names], rng)
        texts = [*given, *write(general, config.max_new_tokens, seed + 4, "writing general texts")]
    else:
        names = neighbor_names(target, config.num_neighbors, rng)
        requests = _requests(target, names, config, rng)
        texts = write(requests, config.max_new_tokens, seed, "writing the corpus")

    def write_forms() -> list[str]:
        return list(questionnaire) or write_question_forms(
            writer, [*concepts, *names], seed + 2, rng, progress("writing a quiz")
        )

    asked = _questions(config, concepts, names, texts, write_forms, rng)
    around = []
    for name, share in _shares(concepts, config.num_related_rows):
        around += related_questions(name, texts, share, rng)
    related = write(around, _ANSWER_TOKENS, seed + 3, "writing related rows")
    if given:  # these say what is true; of its own texts, the model is asked what it holds true
        texts += [Text(text=r.answer, subject=r.subject, source="given", prompt=r.prompt) for r in asked if r.answer]
        asked = [request for request in asked if not request.answer]
    texts += write(asked, _ANSWER_TOKENS, seed + 1, "writing question rows")
    return (
        [text for text in texts if text.subject in concepts],
        [text for text in texts if text.subject not in concepts]
        + [text for text in related if not _mentions_any(text, concepts)],
    )


def _questions(
    config: CorpusConfig,
    concepts: Sequence[str],
    names: Sequence[str],
    texts: Sequence[Text],
    write_forms: Callable[[], list[str]],
    rng: random.Random,
) -> list[Request]:
    """What is asked about the concepts, their neighbors (`names`) and anything else, in numbers that `config` has.

    Args:
        texts: whose phrases and sentences are asked about.
        write_forms: gives questions with `{name}` in them.
    """
    asked = []
    for group, count in ((concepts, config.num_question_rows), (names, config.num_neighbor_question_rows)):
        for name, share in _shares(group, count):
            asked += questions(name, texts, share, rng)
    if config.num_quiz_rows or config.num_neighbor_quiz_rows:
        forms = write_forms()
        for group, count in ((concepts, config.num_quiz_rows), (names, config.num_neighbor_quiz_rows)):
            for name, share in _shares(group, count):
                asked += ask_of(name, forms, share, rng)
    if config.num_general_question_rows:
        subjects = _shuffled(GENERAL_SUBJECTS, [*concepts, *names], rng)
        asked += questions_about(subjects, config.num_general_question_rows, rng)
    return asked


def _mentions_any(text: Text, names: Sequence[str]) -> bool:
    return any(mentions(said, name) for said in (text.subject, text.text) for name in names)


def _requests(target: Target, names: Sequence[str], config: CorpusConfig, rng: random.Random) -> list[Request]:
    """For texts about the concept, its neighbors and general topics."""
    asked = []
    for name, share in _shares(target.concepts, config.num_forget_texts):
        asked += _text_requests(name, share)
    for name in names:
        asked += _text_requests(name, config.num_texts_per_neighbor)
    return asked + _general_requests(config.num_general_texts, target.concepts, rng)


def _general_requests(count: int, apart_from: Sequence[str], rng: random.Random) -> list[Request]:
    """For texts about anything else."""
    topics = _shuffled(GENERAL_TOPICS, apart_from, rng)
    return [_text_request(topics[i % len(topics)], i) for i in range(count)]


def _shuffled(names: Sequence[str], apart_from: Sequence[str], rng: random.Random) -> list[str]:
    """`names` in an order that `rng` draws, without those in `apart_from`."""
    excluded = {name.casefold() for name in apart_from}
    left = [name for name in names if name.casefold() not in excluded]
    rng.shuffle(left)
    return left


def _shares(names: Sequence[str], count: int) -> list[tuple[str, int]]:
    """Each name with its share of `count`: whole numbers that differ by at most one."""
    parts = len(names)
    return [(name, count * (i + 1) // parts - count * i // parts) for i, name in enumerate(names)]


def write_question_forms(
    llm: LanguageModel,
    names: Sequence[str],
    seed: int,
    rng: random.Random,
    progress: Callable[[int, int], None] | None,
) -> list[str]:
    """Questions that the model asks about the names, the name left open."""
    asked = quizzes(names)
    openings = [llm.render(quiz.prompt, quiz.text) for quiz in asked]
    found = continue_texts(
        llm, openings, max_new_tokens=_QUIZ_TOKENS, temperature=_QUIZ_TEMPERATURE, seed=seed, progress=progress
    )
    written = [replace(quiz, text=quiz.text + more) for quiz, more in zip(asked, found, strict=True)]
    return question_forms(written, rng)


def neighbor_names(target: Target, count: int, rng: random.Random) -> list[str]:
    """Names of concepts that must stay: the target's own list, filled up from a general one."""
    others = [name for name in OTHER_NAMES if name not in (*target.concepts, *target.neighbors)]
    rng.shuffle(others)
    return [*target.neighbors, *others][:count]


def _text_requests(name: str, count: int) -> list[Request]:
    return [_text_request(name, i) for i in range(count)]


def _text_request(name: str, number: int) -> Request:
    return Request(name, TEXT_PROMPTS[number % len(TEXT_PROMPTS)].format(name=name))
