"""What must stay: the model's own answers on anything else, and what it thought while it gave them."""

from __future__ import annotations

from collections.abc import Callable

from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.generated import cached_corpus
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import Target, Text

_TOPIC = Target(name="the planet Earth", folder="Earth", description="our planet")
_CORPUS = CorpusConfig(num_forget_texts=8, num_neighbors=20, num_texts_per_neighbor=2, num_general_texts=50)

Progress = Callable[[str], Callable[[int, int], None] | None]


def general_texts(llm: LanguageModel, seed: int, progress: Progress) -> list[Text]:
    """Texts and short answers that `llm` writes about common topics and well-known names; cached.

    The corpus writer is made for a concept and its neighbors: here the concept is a general topic too, and both
    sides are taken. No benchmark's probe goes in.

    Raises:
        UserError: the model writes nothing that can be used.
    """
    about, others = cached_corpus(llm, _TOPIC, _CORPUS, seed=seed, progress=progress)
    if not about and not others:
        raise UserError(
            f"All that '{llm.label}' writes on general topics is degenerate, so nothing can be held by it: choose a "
            "model that can write, or set recipe.general_weight=0."
        )
    return [*about, *others]
