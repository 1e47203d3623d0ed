"""Models that keep more than keys and values of what they have read, or only a window of them: the same answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from window_model import window_llm

from atu.evaluation.answering import answer_and_score
from atu.evaluation.batching import eval_mode
from atu.evaluation.generate import Prompt, generate
from atu.evaluation.likelihood import Completion, next_token_probabilities, token_logprobs
from atu.models.language_model import LanguageModel, wrap

HEAD = tuple(range(30, 55))
PROMPTS = [(*HEAD, 100, 101), (7, 8, 9), (*HEAD, 102), (*HEAD[:20], 110, 111, 112, 113), (*HEAD, 103, 104)]
LINEAR = {
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
}
KINDS: dict[str, dict[str, Any]] = {
    "qwen3_5_text": LINEAR,  # linear and full attention by turns
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_multiple_of": 16},
    "mamba": {"state_size": 8},  # no attention at all
    "recurrent_gemma": {"lru_width": 64, "attention_window_size": 16, "block_types": ["recurrent", "attention"]},
    "gemma3_text": {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
    "gpt_oss": {"sliding_window": 16, "num_local_experts": 4, "layer_types": ["sliding_attention", "full_attention"]},
}


@pytest.fixture(scope="module")
def build(tiny_folder: Path) -> Callable[[str], LanguageModel]:
    """A random model of a family, with the tiny tokenizer."""

    def build(kind: str) -> LanguageModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            config = AutoConfig.for_model(
                kind,
                **{
                    "vocab_size": 400,
                    "hidden_size": 64,
                    "intermediate_size": 128,
                    "num_hidden_layers": 2,
                    "num_attention_heads": 4,
                    "num_key_value_heads": 2,
                    "head_dim": 16,
                    "max_position_embeddings": 512,
                    "initializer_range": 0.2,
                    "bos_token_id": 1,
                    "eos_token_id": 2,
                    "pad_token_id": 2,
                    **KINDS[kind],
                },
            )
            model = AutoModelForCausalLM.from_config(config).float().eval()
        return wrap(model, AutoTokenizer.from_pretrained(tiny_folder), label=kind)

    return build


def greedy(llm: LanguageModel, prompt: tuple[int, ...], count: int) -> tuple[int, ...]:
    """By its definition: the likeliest token, over and over, each from a pass over all before it."""
    ids = list(prompt)
    with eval_mode(llm.model):
        for _ in range(count):
            best = int(llm.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1].argmax())
            if best in llm.end_ids:
                break
            ids.append(best)
    return tuple(ids[len(prompt) :])


def logprobs(llm: LanguageModel, prompt: tuple[int, ...], ids: tuple[int, ...]) -> list[float]:
    """The definition: log-softmax over one pass without padding."""
    with eval_mode(llm.model):
        rows = llm.model(input_ids=torch.tensor([[*prompt, *ids]]), use_cache=False).logits[0].log_softmax(-1)
    return [rows[len(prompt) + place - 1, token].item() for place, token in enumerate(ids)]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_and_scores_are_those_of_each_prompt_alone(kind: str, build: Callable[[str], LanguageModel]) -> None:
    llm = build(kind)
    budgets = (12, 3, 12, 7, 12)
    expected = [greedy(llm, prompt, budget) for prompt, budget in zip(PROMPTS, budgets, strict=True)]
    prompts = [Prompt(ids=ids, max_new_tokens=budget) for ids, budget in zip(PROMPTS, budgets, strict=True)]
    assert [row.ids for row in generate(llm, prompts, batch_size=5)] == expected
    ends = [(60, 61, 62, 63), (64,), (65, 66), (67, 68, 69), (60, 61)]
    completions = [Completion(prompt=ids, ids=end) for ids, end in zip(PROMPTS, ends, strict=True)]
    answers, scored = answer_and_score(llm, prompts, lambda i, _: completions[i], batch_size=5)
    assert [row.ids for row in answers] == expected
    for i, found in enumerate(token_logprobs(llm, completions, batch_size=5)):
        alone = logprobs(llm, PROMPTS[i], ends[i])
        assert found == pytest.approx(alone, abs=1e-4)
        assert scored[i] == pytest.approx(alone, abs=1e-4)
        [next_one] = next_token_probabilities(llm, [PROMPTS[i]], [ends[i][:1]], batch_size=1)[0]
        assert next_one == pytest.approx(torch.tensor(alone[0]).exp().item(), abs=1e-5)


def test_one_line_says_that_prompts_are_not_shared(
    build: Callable[[str], LanguageModel], capsys: pytest.CaptureFixture[str]
) -> None:
    llm = build("qwen3_5_text")
    for _ in range(2):
        next_token_probabilities(llm, PROMPTS, [(1, 2)] * len(PROMPTS), batch_size=5)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert "qwen3_5_text (Qwen3_5ForCausalLM)" in line
    assert "slower" in line


def test_padding_between_beginning_and_end_takes_no_place_of_a_window(tiny_folder: Path) -> None:
    """Two pairs of prompts, each far below the window; put together they are wider than it, and so are the answers."""
    llm = window_llm(tiny_folder, window=70)
    short, long = tuple(range(20, 45)), tuple(range(50, 75))
    prompts = [(*short, *range(100, 125)), (*short, *range(130, 155)), (*long, 90), (*long, 91)]
    expected = [greedy(llm, prompt, 30) for prompt in prompts]
    asked = [Prompt(ids=ids, max_new_tokens=30) for ids in prompts]
    assert [row.ids for row in generate(llm, asked, batch_size=4)] == expected
