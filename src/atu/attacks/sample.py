"""Sampling: greedy answers hide what a few draws give away.

Source: leak@k (arXiv 2511.04934). The expected best of k draws is estimated without bias from all n draws, as
pass@k is (Chen et al. 2021, arXiv 2107.03374, equation 1).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import comb

import torch

from atu.attacks.config import ModelName
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.evaluation.batching import eval_mode, in_batches
from atu.evaluation.collapse import is_degenerate
from atu.evaluation.evaluate import decode_answer
from atu.evaluation.generate import until
from atu.evaluation.scorers import recall_lcs
from atu.models.language_model import LanguageModel
from atu.records import AttackRow, Probe

TEMPERATURE, TOP_P = 1.0, 0.9


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """One unit for each seed and model."""
    return [_unit(subject, model, seed) for seed in seeds for model in subject.compared]


def best_of(scores: Sequence[float], k: int) -> float:
    """Expected maximum of `k` of the scores drawn without putting back, 1 <= k <= len(scores)."""
    ranked = sorted(scores)
    # The i-th smallest is the maximum of C(i - 1, k - 1) of the C(n, k) choices.
    return sum(score * comb(place, k - 1) for place, score in enumerate(ranked)) / comb(len(ranked), k)


def draw(
    llm: LanguageModel, prompts: Sequence[Sequence[int]], *, max_new_tokens: Sequence[int], batch_size: int, seed: int
) -> list[list[int]]:
    """One answer to each prompt, sampled at T = 1 from the likeliest tokens that hold 90% of the probability.

    New tokens up to the end of the answer. Depends on the batch size, as padding and draws do.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    batches = 0

    def work(chosen: Sequence[int]) -> list[list[int]]:
        nonlocal batches
        batches += 1
        torch.manual_seed(seed * 1_000_003 + batches)
        width, length = max(len(prompts[i]) for i in chosen), max(max_new_tokens[i] for i in chosen)
        ids = torch.tensor([[llm.pad_id] * (width - len(prompts[i])) + list(prompts[i]) for i in chosen])
        mask = torch.tensor([[0] * (width - len(prompts[i])) + [1] * len(prompts[i]) for i in chosen])
        out = llm.model.generate(
            input_ids=ids.to(llm.device),
            attention_mask=mask.to(llm.device),
            do_sample=True,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            top_k=0,
            max_new_tokens=length,
            eos_token_id=list(llm.end_ids),
            pad_token_id=llm.pad_id,
        )
        new = out[:, width:].tolist()
        return [list(until(row[: max_new_tokens[i]], llm.end_ids)) for i, row in zip(chosen, new, strict=True)]

    with eval_mode(llm.model), torch.random.fork_rng():
        answers = in_batches(order, work, batch_size=batch_size)
    by_index = dict(zip(order, answers, strict=True))
    return [by_index[i] for i in range(len(prompts))]


def _unit(subject: Subject, model: ModelName, seed: int) -> Unit:
    setting = labelled(f"T {TEMPERATURE:g}, top-p {TOP_P:g}", model, seed)

    def run() -> list[AttackRow]:
        report = Reporter(subject, "sample", setting, model, seed)
        llm, counts = subject.models[model], subject.budget.sample_counts
        probes = _choose(subject, seed)
        prompts = [llm.encode(llm.render(probe.prompt, probe.answer_prefix)) for probe in probes]
        times = counts[-1]
        drawn = draw(
            llm,
            [prompt for prompt in prompts for _ in range(times)],
            max_new_tokens=[probe.max_new_tokens for probe in probes for _ in range(times)],
            batch_size=2 * subject.evaluation.batch_size,
            seed=seed,
        )
        texts = [
            [decode_answer(llm, prompt, ids) for ids in drawn[i * times : (i + 1) * times]]
            for i, prompt in enumerate(prompts)
        ]
        scores = [
            [subject.benchmark.score(probe, text) for text in said] for probe, said in zip(probes, texts, strict=True)
        ]
        recalls = [[_recall(probe, text) for text in said] for probe, said in zip(probes, texts, strict=True)]
        before, after = (
            [subject.plain_answers(name)[probe.id].score for probe in probes] for name in ("original", "unlearned")
        )
        degenerate = sum(is_degenerate(text) for said in texts for text in said) / len(drawn)
        rows = []
        for k in counts:
            best = [best_of(row, k) for row in scores]
            rows.append(report.measured("forget/all", best, k, before=before, after=after, degenerate=degenerate))
            rows.append(report.measured("forget/recall", [best_of(row, k) for row in recalls], k))
        return rows

    return Unit("sample", setting, seed, run)


def _choose(subject: Subject, seed: int) -> list[Probe]:
    """Questions about the target, at most as many as the budget has, in their order."""
    probes = subject.group("forget")
    count = min(subject.budget.max_sampled, len(probes))
    return [probes[i] for i in sorted(random.Random(f"sample {seed}").sample(range(len(probes)), count))]


def _recall(probe: Probe, text: str) -> float:
    return max(recall_lcs(text, reference) for reference in probe.references)
