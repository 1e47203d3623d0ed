"""Prompts that begin alike are read once, and nothing else changes."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import DynamicCache
from window_model import window_llm

from atu.evaluation import reading
from atu.evaluation.batching import eval_mode
from atu.evaluation.generate import Prompt, generate
from atu.evaluation.kv_cache import make_room
from atu.evaluation.likelihood import next_token_probabilities, token_statistics
from atu.evaluation.reading import continue_from, near_lengths, next_logits, read_prompts, reading_order
from atu.models.language_model import LanguageModel

HEAD_A, HEAD_B = tuple(range(10, 40)), tuple(range(50, 70))
PROMPTS = [
    (*HEAD_A, 100, 101, 102),
    (*HEAD_B, 110),
    (*HEAD_A, 103),
    (7, 8, 9),
    (*HEAD_B, 111, 112),
]


def plain_logits(llm: LanguageModel, prompt: tuple[int, ...]) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = llm.model(torch.tensor([prompt])).logits[0, -1]
    return logits


def forward_sizes(llm: LanguageModel) -> tuple[LanguageModel, list[tuple[int, ...]]]:
    """A copy of the model that notes the shape of the ids it reads."""
    llm = dataclasses.replace(llm, model=copy.deepcopy(llm.model))
    sizes: list[tuple[int, ...]] = []
    llm.model.register_forward_pre_hook(
        lambda module, args, kwargs: sizes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    return llm, sizes


def test_each_beginning_is_read_once(tiny_llm: LanguageModel) -> None:
    llm, sizes = forward_sizes(tiny_llm)
    with eval_mode(llm.model):
        found = read_prompts(llm, PROMPTS)
    # Three beginnings (30, 20 and 2 tokens), then the ends of all five (the longest has 3).
    assert sizes == [(3, 30), (5, 3)]
    for row, prompt in zip(found.logits, PROMPTS, strict=True):
        assert torch.allclose(row, plain_logits(tiny_llm, prompt), atol=1e-4)
    assert found.last[:, 0].tolist() == [len(prompt) - 1 for prompt in PROMPTS]


def test_prompts_without_anything_in_common_are_read_in_one_pass(tiny_llm: LanguageModel) -> None:
    llm, sizes = forward_sizes(tiny_llm)
    with eval_mode(llm.model):
        read_prompts(llm, [(7, 8, 9), (20, 21, 22, 23)])
    assert sizes == [(2, 4)]


def test_what_begins_alike_stands_together_and_the_short_come_first() -> None:
    assert reading_order(PROMPTS) == [3, 1, 4, 2, 0]


def test_prompts_of_very_different_lengths_are_read_apart(tiny_llm: LanguageModel) -> None:
    """Two short prompts in one go and a long one in another; the order stays, and the joined cache goes on."""
    llm, sizes = forward_sizes(tiny_llm)
    prompts = [tuple(range(20, 320)), (7, 8, 9), (60, 61, 62, 63)]
    with eval_mode(llm.model):
        found = read_prompts(llm, prompts)
        logits = next_logits(llm, prompts)
    assert sizes == 2 * [(2, 4), (1, 300)]
    assert torch.equal(logits, found.logits)
    assert found.mask.sum(1).tolist() == [300, 3, 4]
    for row, prompt in zip(logits, prompts, strict=True):
        assert torch.allclose(row, plain_logits(tiny_llm, prompt), atol=1e-4)
    keys = plain_cache(tiny_llm, prompts[1])
    assert torch.allclose(found.cache.layers[2].keys[1, :, -3:], keys, atol=1e-4)


def plain_cache(llm: LanguageModel, prompt: tuple[int, ...]) -> torch.Tensor:
    """Keys of the last layer after one unpadded pass."""
    with torch.no_grad():
        _, cache = continue_from(llm, None, input_ids=torch.tensor([prompt]))
    keys: torch.Tensor = cache.layers[2].keys[0]
    return keys


def test_a_short_prompt_takes_nothing_from_what_long_ones_share(tiny_llm: LanguageModel) -> None:
    """It shares all of its 10 tokens with them, and they share 100 with each other."""
    llm, sizes = forward_sizes(tiny_llm)
    head = tuple(range(10, 110))
    with eval_mode(llm.model):
        next_logits(llm, [(*head, 120, 121), head[:10], (*head, 130)])
    assert (1, 100) in sizes or (2, 100) in sizes


def test_caches_of_a_sliding_window_are_not_put_together(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts far below the window, where a part a prompt would be the cheapest."""
    monkeypatch.setattr(reading, "_PASS_COST", {"cpu": 0, "other": 0})
    llm = window_llm(tiny_folder, window=200)
    prompts = [Prompt(ids=tuple(range(20, 20 + length)), max_new_tokens=8) for length in (60, 5, 30)]
    assert generate(llm, prompts, batch_size=3) == generate(llm, prompts, batch_size=1)
    assert reading._parts(llm, [prompt.ids for prompt in prompts]) == [[0, 1, 2]]


def test_texts_of_near_lengths_go_together(tiny_llm: LanguageModel) -> None:
    """A pass costs as much as 64 tokens: 3 texts wait 20 tokens each for the next, 4 would wait 30 each."""
    assert near_lengths(tiny_llm, [50, 10, 10, 10, 30]) == [[1, 2, 3, 4], [0]]


@pytest.mark.parametrize("kept", [[0, 2], [1, 2], [0, 1], [2, 0], [1, 1]])
def test_a_cache_with_room_is_the_same_cache(kept: list[int]) -> None:
    """Two tokens into the room, two beyond it, and rows taken out between."""
    torch.manual_seed(0)
    plain, roomy = DynamicCache(), DynamicCache()
    states = torch.randn(6, 3, 2, 5, 4)  # step, batch, heads, positions, width
    for cache in (plain, roomy):
        cache.update(states[0], states[1], 0)
    make_room(roomy, 2)
    for step in range(4):
        new = states[2 + step, :, :, :1][: 3 if step < 2 else 2]
        expected, found = (cache.update(new, -new, 0) for cache in (plain, roomy))
        assert all(torch.equal(left, right) for left, right in zip(expected, found, strict=True))
        if step == 1:
            for cache in (plain, roomy):
                cache.batch_select_indices(torch.tensor(kept))
    assert roomy.get_seq_length() == plain.get_seq_length() == 9


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_probabilities_of_the_next_token(tiny_llm: LanguageModel, batch_size: int) -> None:
    candidates = [(1, 2), (3, 4), (5, 6), (7, 8), (9, 10)]
    found = next_token_probabilities(tiny_llm, PROMPTS, candidates, batch_size=batch_size)
    for row, prompt, tokens in zip(found, PROMPTS, candidates, strict=True):
        expected = plain_logits(tiny_llm, prompt).softmax(-1)[list(tokens)].tolist()
        assert row == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_statistics_of_texts(tiny_llm: LanguageModel, batch_size: int) -> None:
    """The definitions, over one unpadded pass: log p, its mean and its standard deviation under p."""
    found = token_statistics(tiny_llm, PROMPTS, batch_size=batch_size)
    for row, text in zip(found, PROMPTS, strict=True):
        with torch.no_grad():
            logprobs = tiny_llm.model(torch.tensor([text])).logits[0, :-1].double().log_softmax(-1)
        p = logprobs.exp()
        means = (p * logprobs).sum(-1)
        spreads = (p * (logprobs - means[:, None]) ** 2).sum(-1).sqrt()
        picked = [logprobs[place, token].item() for place, token in enumerate(text[1:])]
        assert row.logprobs == pytest.approx(picked, abs=1e-4)
        assert row.means == pytest.approx(means.tolist(), abs=1e-4)
        assert row.spreads == pytest.approx(spreads.tolist(), abs=1e-3)
