"""Token log-probabilities: equal to a plain forward pass over the whole text."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from atu.errors import UserError
from atu.evaluation import likelihood
from atu.evaluation.likelihood import Completion, completion_nll, token_logprobs
from atu.models.language_model import LanguageModel


def completions_of(llm: LanguageModel) -> list[Completion]:
    """Two prompts with several completions each, a third with one; lengths 1 to 17."""
    texts = {
        "Who wrote Hamlet?": ["William Shakespeare.", "J", "Nobody knows who wrote it"],
        "What is the capital of Japan?": ["Tokyo", "The capital of Japan is Paris."],
        "x": ["yes"],
    }
    return [
        Completion(prompt=tuple(llm.encode(llm.render(question))), ids=tuple(llm.encode(answer)))
        for question, answers in texts.items()
        for answer in answers
    ]


def plain_logprobs(llm: LanguageModel, completion: Completion) -> list[float]:
    """The definition: log-softmax over one unpadded forward pass of prompt and completion."""
    ids = torch.tensor([[*completion.prompt, *completion.ids]])
    with torch.no_grad():
        logprobs = llm.model(ids).logits[0].log_softmax(-1)
    start = len(completion.prompt)
    return [logprobs[start + i - 1, token].item() for i, token in enumerate(completion.ids)]


@pytest.mark.parametrize("batch_size", [1, 2, 4, 100])
def test_equals_the_plain_forward_pass(tiny_llm: LanguageModel, batch_size: int) -> None:
    completions = completions_of(tiny_llm)
    found = token_logprobs(tiny_llm, completions, batch_size=batch_size)
    assert [len(row) for row in found] == [len(completion.ids) for completion in completions]
    for row, completion in zip(found, completions, strict=True):
        assert row == pytest.approx(plain_logprobs(tiny_llm, completion), abs=1e-4)


def test_nll_is_the_negative_mean(tiny_llm: LanguageModel) -> None:
    completions = completions_of(tiny_llm)
    expected = [-sum(row) / len(row) for row in (plain_logprobs(tiny_llm, c) for c in completions)]
    assert completion_nll(tiny_llm, completions, batch_size=4) == pytest.approx(expected, abs=1e-4)


def test_completions_of_one_prompt_share_its_forward_pass(tiny_llm: LanguageModel) -> None:
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))
    sizes: list[tuple[int, ...]] = []
    llm.model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    prompt = tuple(llm.encode("Who wrote it?"))
    choices = [Completion(prompt=prompt, ids=(token, 9)) for token in (10, 11, 12, 13)]
    token_logprobs(llm, choices, batch_size=4)
    assert sizes == [(1, len(prompt)), (4, 1)]


def test_long_completions_go_in_smaller_batches(tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))
    completions = completions_of(llm)
    whole = token_logprobs(llm, completions, batch_size=100)
    longest = max(len(completion.ids) for completion in completions)
    budget = 2 * llm.model.config.vocab_size * longest
    monkeypatch.setattr(likelihood, "LOGITS_BUDGET", budget)
    sizes: list[int] = []
    llm.model.register_forward_hook(lambda module, args, output: sizes.append(output.logits.numel()))
    found = token_logprobs(llm, completions, batch_size=100)
    assert len(sizes) > 2  # the prompts, and the completions in several parts
    assert all(size <= budget for size in sizes)
    for row, expected in zip(found, whole, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)


def test_many_completions_of_one_prompt_are_scored_in_parts(
    tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))
    prompt = tuple(llm.encode("Who wrote it?"))
    choices = [Completion(prompt=prompt, ids=(token, 9)) for token in (10, 11, 12, 13)]
    whole = token_logprobs(llm, choices, batch_size=4)
    monkeypatch.setattr(likelihood, "LOGITS_BUDGET", 3 * 2 * llm.model.config.vocab_size)
    sizes: list[int] = []
    llm.model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    found = token_logprobs(llm, choices, batch_size=4)
    assert sizes == [1, 3, 1]  # the prompt, three of them, the fourth
    for row, expected in zip(found, whole, strict=True):
        assert row == pytest.approx(expected, abs=1e-4)


def test_out_of_memory_halves_the_batch(tiny_llm: LanguageModel) -> None:
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))

    def run_out(module: object, args: object, kwargs: dict[str, torch.Tensor]) -> None:
        if len(kwargs["input_ids"]) > 2:
            raise torch.OutOfMemoryError

    llm.model.register_forward_pre_hook(run_out, with_kwargs=True)
    completions = completions_of(llm)
    found = token_logprobs(llm, completions, batch_size=100)
    for row, expected in zip(found, token_logprobs(tiny_llm, completions, batch_size=100), strict=True):
        assert row == pytest.approx(expected, abs=1e-4)


def test_nan_is_an_error_that_names_the_prompt(tiny_llm: LanguageModel) -> None:
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))
    with torch.no_grad():
        llm.model.get_output_embeddings().weight[0] = float("inf")
    with pytest.raises(UserError, match="NaN or infinite logits for the prompt"):
        token_logprobs(llm, completions_of(llm), batch_size=4)


def test_a_text_beyond_the_context_is_refused(tiny_llm: LanguageModel) -> None:
    with pytest.raises(UserError, match="reads at most 512 tokens"):
        token_logprobs(tiny_llm, [Completion(prompt=(5,), ids=(6,) * 512)], batch_size=1)


def test_nothing_to_score(tiny_llm: LanguageModel) -> None:
    assert completion_nll(tiny_llm, [], batch_size=4) == []
