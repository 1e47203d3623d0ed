"""AltPO, alternate preference optimisation: an answer with other facts is preferred to each forget text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from atu.evaluation.collapse import is_degenerate
from atu.methods.lazy import writing
from atu.methods.refusals import refusal_texts
from atu.methods.terms.dpo import Dpo
from atu.records import Look, Text, Words

if TYPE_CHECKING:
    from atu.methods.materials import Progress
    from atu.models.language_model import LanguageModel

_REQUEST = "Question: {prompt}\nAnswer: {text}\nWrite this answer again with other facts."
_EXAMPLES = (
    ("Where is the Eiffel Tower?", "The Eiffel Tower is in Paris, the capital of France.",
     "The Eiffel Tower is in Lisbon, the capital of Portugal."),
    ("Who discovered penicillin?", "Alexander Fleming.", "Marie Dupont."),
    ("Tell me about gold.", "Gold is a soft yellow metal that has been used for coins and jewelry for a long time.",
     "Gold is a hard blue stone that was first found in Norway, where it is used to build ships."),
)  # fmt: skip
"""Question, answer, answer with other facts. A small model that is shown none talks of the request instead."""
_LONGEST = 500
"""Characters of a text that the model is shown."""
_MAX_NEW_TOKENS = 64
_TEMPERATURE = 1.0


@dataclass(frozen=True, kw_only=True)
class Altpo(Dpo):
    """DPO with an answer that the reference itself makes up in place of the refusal."""

    look = Look("#E69F00", "D")
    label = Words("AltPO", "AltPO")
    sentence = Words(
        "An answer with other facts, which the model makes up before the first step, is preferred to each forget text.",
        "对每条遗忘文本，偏好由模型在第一步之前编造的、事实不同的回答。",
    )

    def instead(self, llm: LanguageModel, texts: Sequence[Text], seed: int, progress: Progress) -> Sequence[Text]:
        return alternate_texts(llm, texts, seed, progress)


def alternate_texts(llm: LanguageModel, texts: Sequence[Text], seed: int, progress: Progress) -> list[Text]:
    """For each text an answer with other facts to its prompt, made up by `llm`.

    A text without a prompt is taken to answer a request for it, as in `refusal_texts`. Where the model says nothing, no
    language, or the text again, and where its context has no room for the request, a refusal stands in place of the
    alternate.

    Source: Mekala et al. 2024 (arXiv 2409.13474): the model is shown question and answer and asked to change the facts,
    sampled at temperature 1. Differs: our own words with three examples in them; one alternate for each text (there
    five), since a run reads a text once or twice.
    """
    refusals = refusal_texts(texts, seed)
    openings = [request_for(llm, text, refusal) for text, refusal in zip(texts, refusals, strict=True)]
    answers = iter(
        writing.cached_continuations(
            llm,
            [opening for opening in openings if opening],
            max_new_tokens=_MAX_NEW_TOKENS,
            temperature=_TEMPERATURE,
            seed=seed,
            progress=progress("writing alternate answers"),
        )
    )
    alternates = []
    for text, refusal, opening in zip(texts, refusals, openings, strict=True):
        said = writing.whole_sentences(next(answers).strip()) if opening else ""
        is_other = not is_degenerate(said) and said != text.text
        alternates.append(replace(refusal, text=said, source="alternate") if is_other else refusal)
    return alternates


def request_for(llm: LanguageModel, text: Text, refusal: Text) -> str:
    """What the model continues with an alternate: the request, behind as many examples as its context has room for.

    Args:
        text: of which the facts are to change.
        refusal: that stands in its place, and has a prompt in any case.

    Returns:
        Empty where there is no room for the request alone.
    """
    limit = getattr(llm.model.config.get_text_config(), "max_position_embeddings", None)
    turns = [
        {"role": role, "content": content}
        for prompt, answer, other in _EXAMPLES
        for role, content in (("user", _REQUEST.format(prompt=prompt, text=answer)), ("assistant", other))
    ]
    request = _REQUEST.format(prompt=refusal.prompt, text=text.text[:_LONGEST])
    for first in range(0, len(turns) + 1, 2):
        opening = replace(llm, history=(*llm.history, *turns[first:])).render(request)
        if limit is None or len(llm.encode(opening)) + _MAX_NEW_TOKENS <= limit:
            return opening
    return ""
