"""Answers and scored texts from one reading are those of `generate` and `token_logprobs`."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from atu.errors import UserError
from atu.evaluation.answering import answer_and_score
from atu.evaluation.generate import Generation, Prompt, generate
from atu.evaluation.likelihood import Completion, token_logprobs
from atu.models.language_model import LanguageModel

QUESTIONS = ("Who wrote it?", "Where?", "Who wrote the play about the prince of Denmark?", "Who wrote it then?")


def prompts_of(llm: LanguageModel) -> list[Prompt]:
    return [Prompt(ids=tuple(llm.encode(llm.render(question))), max_new_tokens=5) for question in QUESTIONS]


def texts_of(prompts: list[Prompt]) -> dict[int, Completion]:
    """Texts of several lengths, none behind the third prompt."""
    ends = {0: (10, 11, 12), 1: (13,), 3: (14, 15)}
    return {i: Completion(prompt=prompts[i].ids, ids=ids) for i, ids in ends.items()}


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_both_are_what_they_are_by_themselves(tiny_llm: LanguageModel, batch_size: int) -> None:
    prompts = prompts_of(tiny_llm)
    texts = texts_of(prompts)
    answers, logprobs = answer_and_score(tiny_llm, prompts, lambda i, _: texts.get(i), batch_size=batch_size)
    assert answers == generate(tiny_llm, prompts, batch_size=100)
    expected = token_logprobs(tiny_llm, list(texts.values()), batch_size=100)
    assert logprobs.keys() == texts.keys()
    for i, row in zip(texts, expected, strict=True):
        assert logprobs[i] == pytest.approx(row, abs=1e-4)


def test_an_answer_may_be_the_text_that_is_scored(tiny_llm: LanguageModel) -> None:
    prompts = prompts_of(tiny_llm)

    def itself(i: int, answer: Generation) -> Completion | None:
        return Completion(prompt=prompts[i].ids, ids=answer.ids) if answer.ids else None

    answers, logprobs = answer_and_score(tiny_llm, prompts, itself, batch_size=100)
    assert logprobs
    for i, row in logprobs.items():
        [expected] = token_logprobs(tiny_llm, [Completion(prompt=prompts[i].ids, ids=answers[i].ids)], batch_size=1)
        assert row == pytest.approx(expected, abs=1e-4)


def test_prompts_are_read_once(tiny_llm: LanguageModel) -> None:
    """Passes over more than one token: the prompt, and its text without the last token."""
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))
    widths: list[int] = []

    def count(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        widths.append(kwargs["input_ids"].shape[1])

    llm.model.register_forward_pre_hook(count, with_kwargs=True)
    [prompt, *_] = prompts_of(llm)
    text = Completion(prompt=prompt.ids, ids=(10, 11, 12, 13))
    answer_and_score(llm, [prompt], lambda *_: text, batch_size=1)
    assert widths.count(len(prompt.ids)) == 1
    assert [width for width in widths if 1 < width != len(prompt.ids)] == [3]


def test_out_of_memory_halves_the_batch(tiny_llm: LanguageModel) -> None:
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))
    times = 0

    def run_out(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        nonlocal times
        if len(kwargs["input_ids"]) > 1 and kwargs["input_ids"].shape[1] == 2:  # while texts are scored
            times += 1
            raise torch.OutOfMemoryError

    llm.model.register_forward_pre_hook(run_out, with_kwargs=True)
    prompts = prompts_of(llm)
    texts = {i: Completion(prompt=prompt.ids, ids=(10, 11, 12)) for i, prompt in enumerate(prompts)}
    answers, logprobs = answer_and_score(llm, prompts, lambda i, _: texts[i], batch_size=100)
    assert times == 2  # of four rows, and of two
    assert answers == generate(tiny_llm, prompts, batch_size=100)
    expected = token_logprobs(tiny_llm, list(texts.values()), batch_size=100)
    for i, row in enumerate(expected):
        assert logprobs[i] == pytest.approx(row, abs=1e-4)


def test_a_text_beyond_the_context_is_refused(tiny_llm: LanguageModel) -> None:
    [prompt, *_] = prompts_of(tiny_llm)
    text = Completion(prompt=prompt.ids, ids=(6,) * 512)
    with pytest.raises(UserError, match="reads at most 512 tokens"):
        answer_and_score(tiny_llm, [prompt], lambda *_: text, batch_size=1)
