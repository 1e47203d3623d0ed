"""Greedy generation: equal to transformers' own, independent of batches, and never silent about a failure."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig
from window_model import window_llm

from atu.errors import UserError
from atu.evaluation.generate import Generation, Prompt, Sampling, generate, multinomial, quick_multinomial, until
from atu.models.language_model import LanguageModel

QUESTIONS = [
    "Who wrote Hamlet?",
    "What is the capital of Japan, and of France?",
    "When was he born?",
    "Name a tragedy by Shakespeare about a prince of Denmark who cannot decide what to do.",
    "At how many degrees does water boil?",
    "Paris?",
    "Who wrote Macbeth?",
]


def prompts_of(llm: LanguageModel) -> list[Prompt]:
    budgets = [12, 5, 12, 20, 12, 1, 7]
    return [
        Prompt(ids=tuple(llm.encode(llm.render(question))), max_new_tokens=budget)
        for question, budget in zip(QUESTIONS, budgets, strict=True)
    ]


def own_copy(llm: LanguageModel) -> LanguageModel:
    return dataclasses.replace(llm, model=copy.deepcopy(llm.model))


def fail_above(llm: LanguageModel, rows: int) -> list[int]:
    """Makes the model run out of memory on more than `rows` rows; returns the growing list of tried sizes."""
    tried: list[int] = []

    def run_out(module: Any, args: Any, kwargs: Any) -> None:
        tried.append(len(kwargs["input_ids"]))
        if tried[-1] > rows:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    llm.model.register_forward_pre_hook(run_out, with_kwargs=True)
    return tried


def test_equals_transformers_greedy_search(tiny_llm: LanguageModel) -> None:
    prompts = prompts_of(tiny_llm)
    expected = []
    for prompt in prompts:
        config = GenerationConfig(
            do_sample=False,
            max_new_tokens=prompt.max_new_tokens,
            eos_token_id=list(tiny_llm.end_ids),
            pad_token_id=tiny_llm.pad_id,
        )
        ids = torch.tensor([prompt.ids])
        output = tiny_llm.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
        expected.append(tuple(output[0, len(prompt.ids) :].tolist()))
    found = generate(tiny_llm, prompts, batch_size=3)
    whole = [row.ids if row.stop_id is None else (*row.ids, row.stop_id) for row in found]
    assert whole == expected
    assert len({row.ids for row in found}) > 3  # the random model does tell prompts apart


@pytest.mark.parametrize("batch_size", [2, 3, 5, 100])
def test_answers_do_not_depend_on_the_batch_size(tiny_llm: LanguageModel, batch_size: int) -> None:
    prompts = prompts_of(tiny_llm)
    assert generate(tiny_llm, prompts, batch_size=batch_size) == generate(tiny_llm, prompts, batch_size=1)


def test_near_ties_are_broken_alike_in_every_batch(tiny_llm: LanguageModel) -> None:
    """Token i + 200 gets the output row of token i but for its last float32 digits.

    Every choice is then between two logits that differ by less than the rounding of another batch shape.
    """
    llm = own_copy(tiny_llm)
    noise = torch.randn(200, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        head = llm.model.get_output_embeddings().weight
        head[200:] = head[:200] * (1 + 1e-7 * noise)
    prompts = [dataclasses.replace(prompt, max_new_tokens=40) for prompt in prompts_of(llm)]
    alone = generate(llm, prompts, batch_size=1)
    assert any(token < 200 for row in alone for token in row.ids)
    assert any(token >= 200 for row in alone for token in row.ids)
    assert generate(llm, prompts, batch_size=3) == alone
    assert generate(llm, prompts, batch_size=100) == alone


def test_stops_before_any_of_the_end_tokens(tiny_llm: LanguageModel) -> None:
    prompt = prompts_of(tiny_llm)[3]
    [free] = generate(tiny_llm, [prompt], batch_size=1)
    end = free.ids[6]
    first = free.ids.index(end)
    llm = dataclasses.replace(tiny_llm, end_ids=(399, end))
    assert generate(llm, [prompt], batch_size=1) == [Generation(ids=free.ids[:first], stop_id=end)]


def test_a_prompt_may_have_end_tokens_of_its_own(tiny_llm: LanguageModel) -> None:
    """Two rows of one batch: the model's end token ends the first, another token the second."""
    prompt = prompts_of(tiny_llm)[3]
    [free] = generate(tiny_llm, [prompt], batch_size=1)
    end = free.ids[6]
    cut = Generation(ids=free.ids[: free.ids.index(end)], stop_id=end)
    asked = [prompt, dataclasses.replace(prompt, end_ids=(end,))]
    assert generate(tiny_llm, asked, batch_size=2) == [free, cut]
    assert tuple(until(free.ids, (end, 399))) == cut.ids


def test_at_the_token_limit_there_is_no_end_token(tiny_llm: LanguageModel) -> None:
    prompt = dataclasses.replace(prompts_of(tiny_llm)[3], max_new_tokens=4)
    llm = dataclasses.replace(tiny_llm, end_ids=(399,))
    [row] = generate(llm, [prompt], batch_size=1)
    assert (len(row.ids), row.stop_id) == (4, None)


def test_the_models_generation_config_plays_no_part(tiny_llm: LanguageModel) -> None:
    llm = own_copy(tiny_llm)
    llm.model.generation_config = GenerationConfig(do_sample=True, temperature=5.0, repetition_penalty=9.0)
    prompts = prompts_of(llm)
    assert generate(llm, prompts, batch_size=4) == generate(tiny_llm, prompts, batch_size=4)


def test_no_prompts_no_answers(tiny_llm: LanguageModel) -> None:
    assert generate(tiny_llm, [], batch_size=4) == []


def test_progress_counts_prompts(tiny_llm: LanguageModel) -> None:
    seen: list[tuple[int, int]] = []
    generate(tiny_llm, prompts_of(tiny_llm), batch_size=3, progress=lambda *step: seen.append(step))
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_out_of_memory_halves_the_batch_and_goes_on(tiny_llm: LanguageModel) -> None:
    llm = own_copy(tiny_llm)
    prompts = prompts_of(llm)
    tried = fail_above(llm, rows=2)
    assert generate(llm, prompts, batch_size=100) == generate(tiny_llm, prompts, batch_size=100)
    # The 5 beginnings of 7 prompts, then those of 3, then one by one for good.
    assert [size for size in tried if size > 2] == [5, 3]


def test_out_of_memory_with_one_prompt_is_the_users(tiny_llm: LanguageModel) -> None:
    llm = own_copy(tiny_llm)
    fail_above(llm, rows=0)
    with pytest.raises(UserError, match="Out of memory while asking a single probe"):
        generate(llm, prompts_of(llm), batch_size=4)


def test_nan_logits_name_the_prompt(tiny_llm: LanguageModel) -> None:
    """Only one prompt holds token 399, whose embedding is damaged: the batch has one bad row."""
    llm = own_copy(tiny_llm)
    with torch.no_grad():
        llm.model.get_input_embeddings().weight[399] = float("nan")
    good = prompts_of(llm)[:3]
    bad = Prompt(ids=(399, *llm.encode("Who wrote Othello?")), max_new_tokens=8)
    with pytest.raises(UserError, match=r"NaN or infinite logits for the prompt .*Who wrote Othello\?"):
        generate(llm, [*good, bad], batch_size=4)


def test_a_prompt_beyond_the_context_is_refused_before_any_work(tiny_llm: LanguageModel) -> None:
    """The tiny model has 512 positions: 505 and 8 do not fit, 504 and 8 would."""
    llm = own_copy(tiny_llm)
    tried = fail_above(llm, rows=0)
    too_long = Prompt(ids=(7,) * 505, max_new_tokens=8)
    with pytest.raises(UserError, match=r"reads at most 512 tokens.* has 505 and its answer up to 8"):
        generate(llm, [*prompts_of(llm), too_long], batch_size=4)
    assert tried == []


def test_the_model_comes_back_as_it_was(tiny_llm: LanguageModel) -> None:
    llm = own_copy(tiny_llm)
    llm.model.train()
    llm.model.model.norm.eval()
    flags = [module.training for module in llm.model.modules()]
    generate(llm, prompts_of(llm)[:2], batch_size=2)
    assert [module.training for module in llm.model.modules()] == flags
    assert llm.model(torch.tensor([[5, 6]])).logits.requires_grad


def test_sliding_window_attention_gives_the_same_answers_in_every_batch(tiny_folder: Path) -> None:
    """Prompts of 20 to 36 tokens against a window of 24: padding must not take places of the window."""
    llm = window_llm(tiny_folder, window=24)
    prompts = prompts_of(llm)
    assert generate(llm, prompts, batch_size=4) == generate(llm, prompts, batch_size=1)


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_drawing_among_the_best_token_alone_is_greedy(tiny_llm: LanguageModel, narrow: dict[str, Any]) -> None:
    prompts = prompts_of(tiny_llm)
    drawn = generate(tiny_llm, prompts, batch_size=3, sampling=Sampling(seed=0, **narrow))
    assert drawn == generate(tiny_llm, prompts, batch_size=3)


def test_the_seed_decides_what_is_drawn(tiny_llm: LanguageModel) -> None:
    def drawn(seed: int) -> list[Generation]:
        return generate(tiny_llm, prompts_of(tiny_llm), batch_size=3, sampling=Sampling(seed=seed))

    state = torch.get_rng_state()
    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_tokens_are_drawn_as_often_as_their_probability_says(tiny_llm: LanguageModel) -> None:
    ids, count, temperature = tuple(tiny_llm.encode("Paris?")), 2_000, 0.7
    with torch.no_grad():
        logits = tiny_llm.model(input_ids=torch.tensor([ids])).logits[0, -1]
    probabilities = (logits / temperature).softmax(-1)
    kept = probabilities.topk(8)
    expected = kept.values / kept.values.sum()
    prompts = [Prompt(ids=ids, max_new_tokens=1, end_ids=())] * count
    found = generate(tiny_llm, prompts, batch_size=count, sampling=Sampling(seed=0, temperature=temperature, top_k=8))
    tokens = torch.tensor([generation.ids[0] for generation in found])
    shares = torch.stack([(tokens == token).float().mean() for token in kept.indices])
    # Five standard deviations of a share of 2,000 draws.
    assert bool(((shares - expected).abs() < 5 * (expected * (1 - expected) / count).sqrt()).all())
    assert float(shares.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("vocab", "top_k"), [(5_000, 50), (5_000, 200), (40, 8)])
def test_drawing_quickly_gives_the_tokens_that_torch_draws(dtype: torch.dtype, vocab: int, top_k: int) -> None:
    """Logits of bfloat16 have many ties, all of which stay in with the last of the top k."""
    seeds = torch.Generator().manual_seed(0)
    logits = torch.randn(200, vocab, generator=seeds).to(dtype).float()
    logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -torch.inf)
    quick, generators = quick_multinomial(), [torch.Generator().manual_seed(1) for _ in range(2)]
    for rows in (200, 150, 200):  # rows end, and the next batch is full again
        probabilities = logits[:rows].softmax(-1)
        expected = multinomial(probabilities, generators[0])
        assert torch.equal(quick(probabilities, generators[1]), expected)


def test_where_torch_makes_its_noise_otherwise_torch_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "multinomial", lambda rows, count, generator: rows.topk(count).indices)
    assert quick_multinomial() is multinomial


def test_a_model_that_gives_nan_is_not_drawn_from(tiny_llm: LanguageModel) -> None:
    broken = own_copy(tiny_llm)
    with torch.no_grad():
        broken.model.get_input_embeddings().weight.fill_(float("nan"))
    with pytest.raises(UserError, match="NaN or infinite logits"):
        generate(broken, prompts_of(broken), batch_size=3, sampling=Sampling(seed=0))
