"""What must stay: the model's own answers on anything else."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product

from atu.benchmarks.generated import GENERAL_SUBJECTS, TEXT_PROMPTS
from atu.benchmarks.questions import QUESTION_FORMS
from atu.errors import UserError
from atu.evaluation.collapse import is_degenerate
from atu.evaluation.generate import Prompt, generate
from atu.models.language_model import LanguageModel
from atu.models.thinking import without_thought
from atu.records import Text
from atu.storage.cache import cached_json
from atu.storage.files import content_key

_PER_SUBJECT = 4
_MAX_NEW_TOKENS = 40
_BATCH_SIZE = 32


def general_texts(
    llm: LanguageModel, seed: int, frames: Sequence[str], progress: Callable[[int, int], None] | None
) -> list[Text]:
    """What `llm` itself answers, greedily, on common topics and well-known names; found again in the cache
    where the weights are known.

    One text and three short answers a subject. No benchmark's probe goes in.

    Args:
        frames: what stands around a question, with `{query}` in it; those of the taught ones, so that a frame is no
            sign of a taught fact.

    Raises:
        UserError: the model writes nothing that can be used.
    """
    asked = _requests(seed, frames)
    key = content_key({"model": llm.reading_key, "asked": asked, "max_new_tokens": _MAX_NEW_TOKENS})
    write = partial(_write, llm, asked, progress)
    rows = cached_json("general", key, write) if llm.reading_key else write()
    return [Text(**row) for row in rows]


def _write(
    llm: LanguageModel, asked: Sequence[tuple[str, str]], progress: Callable[[int, int], None] | None
) -> list[dict[str, str]]:
    """The answers that can be used, as rows of `Text`.

    Raises:
        UserError: there are none.
    """
    prompts = [Prompt(ids=tuple(llm.encode(llm.render(prompt))), max_new_tokens=_MAX_NEW_TOKENS) for _, prompt in asked]
    found = generate(llm, prompts, batch_size=_BATCH_SIZE, progress=progress)
    texts = []
    for (subject, prompt), ids, generation in zip(asked, prompts, found, strict=True):
        said = without_thought(llm, ids.ids, generation.ids)
        answer = str(llm.tokenizer.decode(said, skip_special_tokens=True)).strip()
        if not is_degenerate(answer):
            texts.append({"text": answer, "subject": subject, "source": "generated", "prompt": prompt})
    if not texts:
        raise UserError(
            f"All that '{llm.label}' writes on general topics is degenerate, so nothing can be held by it: choose a "
            "model that can write, or set recipe.general_weight=0."
        )
    return texts


def _requests(seed: int, frames: Sequence[str]) -> list[tuple[str, str]]:
    """(subject, prompt) pairs."""
    rng = random.Random(seed)
    asked = []
    for subject in GENERAL_SUBJECTS:
        asked.append((subject, rng.choice(TEXT_PROMPTS).format(name=subject)))
        framed = rng.sample(list(product(frames, QUESTION_FORMS)), _PER_SUBJECT - 1)
        asked += [(subject, frame.format(query=form.format(phrase=subject))) for frame, form in framed]
    return asked
