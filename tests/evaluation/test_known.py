"""What of a right answer is read under teacher forcing: its tokens, and those that hold the accepted reference."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.tokenization_python import PreTrainedTokenizer

from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import evaluate
from atu.evaluation.known import KnownAnswer, known_answer, values_of
from atu.evaluation.likelihood import Completion
from atu.models.language_model import LanguageModel
from atu.records import Probe


def probe(*references: str) -> Probe:
    return Probe(id="p", group="forget/qa", kind="generate", prompt="Who wrote it?", references=references)


def with_tokens(llm: LanguageModel, *tokens: str) -> LanguageModel:
    """Its tokenizer cuts a text into exactly these."""
    core = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=tokens[0]))
    pattern = "|".join(map(_escaped, tokens))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    return dataclasses.replace(llm, tokenizer=PreTrainedTokenizerFast(tokenizer_object=core))


def _escaped(token: str) -> str:
    return "".join(f"\\{c}" if c in "().?" else c for c in token)


def held(llm: LanguageModel, before: str, text: str, *references: str) -> str:
    """The tokens that hold the reference, with a bar between two."""
    known = known_answer(llm, probe(*references), before, text)
    return "|".join(str(llm.tokenizer.decode([known.completion.ids[i]])) for i in known.places)


def test_p_is_the_product_over_the_tokens_of_the_reference_and_nll_the_mean_over_all() -> None:
    known = KnownAnswer(completion=Completion(prompt=(1,), ids=(2, 3, 4, 5)), places=(1, 2))
    values = values_of(known, [math.log(x) for x in (0.1, 0.5, 0.25, 0.8)])
    assert values["p"] == pytest.approx(0.125)  # 0.5 · 0.25; the geometric mean would be 0.354
    assert values["nll"] == pytest.approx(-math.log(0.1 * 0.5 * 0.25 * 0.8) / 4)


def test_without_a_place_there_is_no_p() -> None:
    assert values_of(KnownAnswer(completion=Completion(prompt=(1,), ids=(2,))), [-1.0]) == {"nll": 1.0}


@pytest.mark.parametrize(
    ("tokens", "text", "reference", "expected"),
    [
        (["Q:", "It", " is", " Hamlet", "."], "It is Hamlet.", "Hamlet", " Hamlet"),  # the space belongs to the token
        (["Q:", "It", " ", "Ham", "let", "."], "It Hamlet.", "Hamlet", "Ham|let"),  # here it is a token of its own
        (["Q:", " (Ham", "let), a", " play"], " (Hamlet), a play", "Hamlet", " (Ham|let), a"),
        (["Q:", " New", " York", " City"], " New York City", "New York", " New| York"),
        (["Q:", "Hamlet", " or so, Hamlet"], "Hamlet or so, Hamlet", "Hamlet", "Hamlet"),  # the first time it is said
        (["Q:", "Macbeth"], "Macbeth", "Hamlet", ""),
    ],
)
def test_a_token_counts_where_a_character_of_it_does(
    tiny_llm: LanguageModel, tokens: Sequence[str], text: str, reference: str, expected: str
) -> None:
    assert held(with_tokens(tiny_llm, *tokens), "Q:", text, reference) == expected


def test_all_bytes_of_a_character_count(tiny_llm: LanguageModel) -> None:
    """The last letter's second and third byte are no tokens that begin behind it."""
    known = known_answer(tiny_llm, probe("鲁迅"), tiny_llm.render("谁?"), "是鲁迅。")
    ids = [known.completion.ids[i] for i in known.places]
    assert len(ids) > 2
    assert tiny_llm.tokenizer.decode(ids) == "鲁迅"


def test_of_several_accepted_references_the_first_in_the_answer_is_read(tiny_llm: LanguageModel) -> None:
    llm = with_tokens(tiny_llm, "Q:", "the", " Bard", ", ", "Shakespeare")
    assert held(llm, "Q:", "the Bard, Shakespeare", "Shakespeare", "Bard") == " Bard"


def test_p_of_a_model_is_that_of_the_words_behind_the_prompt_and_the_words_before_them(tiny_llm: LanguageModel) -> None:
    """Against two plain passes, of the answer up to the reference and with it."""
    asked = dataclasses.replace(probe("Shakespeare"), max_new_tokens=4)
    [answer] = evaluate(tiny_llm, [asked], reference=None, config=EvaluationConfig())
    before = dataclasses.replace(answer, score=1.0, text="It was William Shakespeare, of Stratford.")
    [after] = evaluate(tiny_llm, [asked], reference=[before], config=EvaluationConfig())
    prompt = tiny_llm.render(asked.prompt)

    def logprob(text: str) -> float:
        ids, start = tiny_llm.encode(prompt + text), len(tiny_llm.encode(prompt))
        with torch.no_grad():
            found = tiny_llm.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return sum(found[i - 1, ids[i]].item() for i in range(start, len(ids)))

    expected = logprob("It was William Shakespeare") - logprob("It was William")
    assert math.log(after.values["p"]) == pytest.approx(expected, abs=1e-3)


class _Letters(PreTrainedTokenizer):
    """A tokenizer without a fast form, which does not know the characters of its tokens."""

    def __init__(self) -> None:
        super().__init__()

    @property
    def vocab_size(self) -> int:
        return 128

    def get_vocab(self) -> dict[str, int]:
        return {chr(i): i for i in range(128)}

    def _tokenize(self, text: str) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return ord(token)

    def _convert_id_to_token(self, index: int) -> str:
        return chr(index)


def test_a_tokenizer_that_does_not_tell_characters_leaves_p_out(tiny_llm: LanguageModel) -> None:
    known = known_answer(dataclasses.replace(tiny_llm, tokenizer=_Letters()), probe("Hamlet"), "Q:", "Hamlet")
    assert known == KnownAnswer(completion=Completion(prompt=(81, 58), ids=tuple(map(ord, "Hamlet"))))
