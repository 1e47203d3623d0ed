"""Prompts of which attention does not see a token: what plain transformers give with such a mask."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from atu.evaluation import reading
from atu.evaluation.generate import Prompt, generate
from atu.evaluation.likelihood import Completion, completion_statistics, token_logprobs
from atu.models.language_model import LanguageModel

HIDDEN = 2
COMPLETIONS = [
    Completion(prompt=(1, 40, 2, 60, 61), ids=(70, 2, 71, 72)),
    Completion(prompt=(1, 40, 2, 60, 61), ids=(90,)),
    Completion(prompt=(1, 40, 2, 60, 62, 2, 63), ids=(80, 81)),
    Completion(prompt=(2, 200, 201), ids=(80, 2)),
    Completion(prompt=(2, 210, 211), ids=(80, 2, 99)),
]


def logits_alone(llm: LanguageModel, ids: list[int]) -> Tensor:
    tokens = torch.tensor([ids])
    with torch.no_grad():
        found: Tensor = llm.model(input_ids=tokens, attention_mask=(tokens != HIDDEN).long()).logits[0]
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_statistics_are_those_of_the_masked_text_alone(tiny_llm: LanguageModel, batch_size: int) -> None:
    found = completion_statistics(tiny_llm, COMPLETIONS, batch_size=batch_size, hidden_id=HIDDEN)
    for completion, statistics in zip(COMPLETIONS, found, strict=True):
        logprobs = logits_alone(tiny_llm, [*completion.prompt, *completion.ids]).double().log_softmax(-1)
        logprobs = logprobs[len(completion.prompt) - 1 : -1]
        targets = torch.tensor(completion.ids)
        means = (logprobs.exp() * logprobs).sum(-1)
        spreads = ((logprobs.exp() * logprobs.square()).sum(-1) - means.square()).sqrt()
        picked = logprobs.gather(-1, targets[:, None])[:, 0]
        for name, expected in (("logprobs", picked), ("means", means), ("spreads", spreads)):
            assert getattr(statistics, name) == pytest.approx(expected.tolist(), abs=2e-5)
        assert statistics.right == tuple((logprobs.argmax(-1) == targets).tolist())


def test_a_hidden_token_changes_what_follows_it(tiny_llm: LanguageModel) -> None:
    hidden, seen = (token_logprobs(tiny_llm, COMPLETIONS, batch_size=9, hidden_id=one) for one in (HIDDEN, None))
    assert all(abs(a[0] - b[0]) > 1e-4 for a, b in zip(hidden, seen, strict=True))


def test_a_model_that_cannot_share_gives_the_same(tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = token_logprobs(tiny_llm, COMPLETIONS, batch_size=9, hidden_id=HIDDEN)
    for module in ("reading", "likelihood", "generate"):
        monkeypatch.setattr(f"atu.evaluation.{module}.shares", lambda llm: False)
    alone = token_logprobs(tiny_llm, COMPLETIONS, batch_size=9, hidden_id=HIDDEN)
    for one, other in zip(alone, shared, strict=True):
        assert one == pytest.approx(other, abs=2e-5)


@pytest.mark.parametrize("batch_size", [1, 100])
def test_texts_are_those_of_transformers_generate(tiny_llm: LanguageModel, batch_size: int) -> None:
    """Its positions skip what the mask hides."""
    prompts = [Prompt(ids=prompt, max_new_tokens=6) for prompt in {one.prompt: None for one in COMPLETIONS}]
    found = generate(tiny_llm, prompts, batch_size=batch_size, hidden_id=HIDDEN)
    for prompt, generation in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt.ids])
        mask = (ids != HIDDEN).long()
        new = tiny_llm.model.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False, pad_token_id=HIDDEN)
        expected = [token for token in new[0, len(prompt.ids) :].tolist() if token not in tiny_llm.end_ids]
        assert list(generation.ids) == expected


def test_positions_are_counted_in_one_of_two_ways(tiny_llm: LanguageModel) -> None:
    prompts = [one.prompt for one in COMPLETIONS]
    for is_skipped, last in ((True, [3, 3, 4, 1, 1]), (False, [4, 4, 6, 2, 2])):
        hidden = reading.Hidden(token=HIDDEN, is_skipped=is_skipped)
        found = reading.read_prompts(tiny_llm, prompts, hidden=hidden)
        assert found.last[:, 0].tolist() == last
