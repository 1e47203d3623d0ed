"""What open-unlearning does with any benchmark's texts, for the scoring `released` of those that it has.

Read from https://github.com/locuslab/open-unlearning at d3d7cf9e (24 December 2025), with transformers 4.45.1.
"""

from __future__ import annotations

from collections.abc import Sequence

from atu.models.language_model import LanguageModel


def decoded(llm: LanguageModel, ids: Sequence[int]) -> str:
    """The text of tokens without special ones, and without a space before punctuation and n't, 'm, 's, 've, 're.

    Transformers 5 leaves such spaces alone for most tokenizers, even where it is asked to take them away.
    """
    text = llm.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(llm.tokenizer.clean_up_tokenization(text))


def ground_truth(llm: LanguageModel, prompt: Sequence[int], labels: Sequence[int]) -> str:
    """The true answer that a generated one is compared with.

    Args:
        prompt: tokens that are given to the model; wherever their text stands in the labels' it is taken away.
        labels: tokens of the answer, or of the whole conversation.
    """
    return decoded(llm, labels).replace(decoded(llm, prompt), "").strip()


def cut_answer(llm: LanguageModel, text: str, stop_words: Sequence[str] = ()) -> str:
    """A generated text up to the first end token written out as text, and to the first of the stop words, stripped."""
    end = llm.tokenizer.eos_token_id
    words = [llm.tokenizer.decode([end]) if isinstance(end, int) else "", *stop_words]
    for word in filter(None, words):
        text = text.split(word)[0]
    return text.strip()


def end_ids(llm: LanguageModel) -> tuple[int, ...]:
    """Tokens at which generation ends: those of the model's generation config alone."""
    config = llm.model.generation_config
    listed = None if config is None else config.eos_token_id
    return tuple(listed) if isinstance(listed, list) else () if listed is None else (listed,)


def hidden_id(llm: LanguageModel) -> int | None:
    """The token that attention does not see, wherever it stands: padding, for which the end token is taken if need be.

    The mask is made of the padded ids, so with one token for both the ends of earlier turns are hidden too.
    """
    found = (llm.tokenizer.pad_token_id, llm.tokenizer.eos_token_id)
    return next((token for token in found if isinstance(token, int)), None)
