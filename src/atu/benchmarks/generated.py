"""The model writes its own corpus: from a concept's name and one sentence to texts about it and about others.

Only names and fixed question forms go in; a benchmark's probes are never seen here.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

import torch

from atu.benchmarks.config import CorpusConfig
from atu.evaluation.batching import in_batches, judged
from atu.evaluation.collapse import is_degenerate
from atu.models.language_model import LanguageModel
from atu.records import Target, Text
from atu.results.files import cache_root, content_key, read_json, write_json_atomic

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
QUESTION_FORMS = (
    "Who is {phrase}?",
    "What is {phrase}?",
    "Who wrote {phrase}?",
    "Who created {phrase}?",
    "Where is {phrase}?",
    "When was {phrase}?",
    "What is {phrase} famous for?",
    "Which country is connected with {phrase}?",
    "Name something connected with {phrase}.",
    "Please complete the blank in the following sentence: {phrase} is ___.",
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
_BATCH_SIZE = 64
_ANSWER_TOKENS = 32
"""Length of an answer to a question; the texts have `max_new_tokens`."""
_TOP_K = 50
"""Without it a small model's tail puts nonsense into every other text."""
_STARTS_SENTENCE = re.compile(r"(^|[.!?:\n][\"”')]*)\s*$")
_PHRASE = re.compile(r"\b[A-Z]\w+(?:(?: of| the| and| de| von)* [A-Z]\w+)*")


def cached_corpus(
    llm: LanguageModel, target: Target, config: CorpusConfig, *, seed: int, progress: Progress
) -> tuple[list[Text], list[Text]]:
    """`write_corpus`, found again in the cache for the same model, target, settings and seed.

    A model without a checksum writes it each time.
    """
    if not llm.provenance.get("sha256"):
        return write_corpus(llm, target, config, seed=seed, progress=progress)
    parts = {
        "model": dict(llm.provenance),
        "target": asdict(target),
        "config": asdict(config),
        "seed": seed,
        "prompts": [*TEXT_PROMPTS, *QUESTION_FORMS, *GENERAL_TOPICS, *OTHER_NAMES],
    }
    path = cache_root() / "corpora" / f"{content_key(parts)}.json"
    if path.is_file():
        stored = read_json(path)
        return [Text(**row) for row in stored["forget"]], [Text(**row) for row in stored["retain"]]
    forget, retain = write_corpus(llm, target, config, seed=seed, progress=progress)
    rows = {"forget": [asdict(text) for text in forget], "retain": [asdict(text) for text in retain]}
    write_json_atomic(path, rows)
    return forget, retain


def write_corpus(
    llm: LanguageModel, target: Target, config: CorpusConfig, *, seed: int, progress: Progress
) -> tuple[list[Text], list[Text]]:
    """Texts about the concept and texts about anything else, written by `llm` at a fixed seed.

    Returns:
        (forget, retain). Forget holds `num_forget_texts` texts and `num_question_rows` answers to questions about
        phrases that are frequent in them and rare elsewhere; retain the same about the neighbours, and texts on
        general topics. Degenerate and empty ones are left out, so there may be fewer.
    """
    chance = random.Random(seed)
    names = neighbor_names(target, config.num_neighbors, chance)
    asked = [(target.name, q) for q in _text_prompts(target.name, config.num_forget_texts)]
    for name in names:
        asked += [(name, q) for q in _text_prompts(name, config.num_texts_per_neighbor)]
    general = [topic for topic in GENERAL_TOPICS if topic.casefold() != target.name.casefold()]
    chance.shuffle(general)
    for i in range(config.num_general_texts):
        topic = general[i % len(general)]
        asked.append((topic, TEXT_PROMPTS[i % len(TEXT_PROMPTS)].format(name=topic)))
    texts = _ask(llm, asked, config, config.max_new_tokens, seed, progress("writing the corpus"))

    forget = [text for text in texts if text.subject == target.name]
    retain = [text for text in texts if text.subject != target.name]
    of_names = [text for text in retain if text.subject in names]
    questions = _questions(target.name, forget, retain, config.num_question_rows, chance)
    if of_names:
        questions += _questions(None, of_names, forget, config.num_question_rows, chance)
    answers = _ask(llm, questions, config, _ANSWER_TOKENS, seed + 1, progress("writing question rows"))
    forget += [answer for answer in answers if answer.subject == target.name]
    retain += [answer for answer in answers if answer.subject != target.name]
    return forget, retain


def neighbor_names(target: Target, count: int, chance: random.Random) -> list[str]:
    """Names of concepts that must stay: the target's own list, filled up from a general one."""
    others = [name for name in OTHER_NAMES if name != target.name and name not in target.neighbors]
    chance.shuffle(others)
    return [*target.neighbors, *others][:count]


def frequent_phrases(texts: Sequence[str], others: Sequence[str]) -> list[str]:
    """Capitalised phrases in at least 2 of `texts` that are at least 4 times rarer in `others`, most frequent first.

    A single word at the start of a sentence does not count: there any word has a capital.
    """
    here, there = _phrase_counts(texts), _phrase_counts(others)
    chosen = [
        phrase
        for phrase, count in here.items()
        if count >= 2 and count / len(texts) >= 4 * there[phrase] / max(len(others), 1)
    ]
    return sorted(chosen, key=lambda phrase: (-here[phrase], phrase))


def _phrase_counts(texts: Sequence[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        found = _PHRASE.finditer(text)
        counts.update({m[0] for m in found if " " in m[0] or not _STARTS_SENTENCE.search(text[: m.start()])})
    return counts


def _text_prompts(name: str, count: int) -> list[str]:
    return [TEXT_PROMPTS[i % len(TEXT_PROMPTS)].format(name=name) for i in range(count)]


def _questions(
    subject: str | None, texts: Sequence[Text], others: Sequence[Text], count: int, chance: random.Random
) -> list[tuple[str, str]]:
    """(subject, question) pairs: the fixed forms filled with phrases, the most frequent phrases first."""
    phrases = frequent_phrases([t.text for t in texts], [t.text for t in others])
    if subject is not None:
        phrases = [subject, *(phrase for phrase in phrases if phrase != subject)]
    phrases = phrases[: max(1, count // 2)]
    forms = {phrase: chance.sample(QUESTION_FORMS, len(QUESTION_FORMS)) for phrase in phrases}
    pairs = [(phrase, forms[phrase][turn]) for turn in range(len(QUESTION_FORMS)) for phrase in phrases]
    return [(subject or phrase, form.format(phrase=phrase)) for phrase, form in pairs[:count]]


def _ask(
    llm: LanguageModel,
    asked: Sequence[tuple[str, str]],
    config: CorpusConfig,
    max_new_tokens: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> list[Text]:
    """Sampled answers to (subject, prompt) pairs, whole sentences only, in the order asked."""
    ids = [llm.encode(llm.render(prompt)) for _, prompt in asked]
    order = sorted(range(len(asked)), key=lambda i: len(ids[i]))
    batches = 0

    def work(chosen: Sequence[int]) -> list[str]:
        nonlocal batches
        batches += 1
        torch.manual_seed(seed * 1_009 + batches)
        return _sample(llm, [ids[i] for i in chosen], config.temperature, max_new_tokens)

    with judged(llm.model), torch.random.fork_rng():
        answers = in_batches(order, work, batch_size=_BATCH_SIZE, progress=progress)
    by_index = dict(zip(order, answers, strict=True))
    texts = [
        Text(text=_whole_sentences(by_index[i]), subject=subject, source="generated", prompt=prompt)
        for i, (subject, prompt) in enumerate(asked)
    ]
    return [text for text in texts if not is_degenerate(text.text)]


def _sample(llm: LanguageModel, ids: Sequence[Sequence[int]], temperature: float, max_new_tokens: int) -> list[str]:
    width = max(map(len, ids))
    input_ids = torch.tensor([[llm.pad_id] * (width - len(row)) + list(row) for row in ids], device=llm.device)
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids], device=llm.device)
    out = llm.model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        do_sample=True,
        temperature=temperature,
        top_k=_TOP_K,
        max_new_tokens=max_new_tokens,
        eos_token_id=list(llm.end_ids),
        pad_token_id=llm.pad_id,
    )
    new = out[:, input_ids.shape[1] :]
    return [str(text).strip() for text in llm.tokenizer.batch_decode(new, skip_special_tokens=True)]


def _whole_sentences(text: str) -> str:
    """Cut a text that ran into its token limit after its last full sentence, when it has one."""
    end = max(text.rfind(mark) for mark in ".!?")
    return text[: end + 1] if end > 0 else text
