"""The real model against the released RWKU evaluator's recorded numbers: same tokens, same log-probabilities.

The records come from another version of transformers with other batches and padding (golden/README.md).
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from atu.evaluation.generate import Generation, Prompt, generate
from atu.evaluation.likelihood import Completion, completion_nll, token_logprobs
from atu.models.language_model import LanguageModel

pytestmark = pytest.mark.model


def rows_of(shared_dir: Path, name: str, count: int) -> list[dict[str, Any]]:
    lines = (shared_dir / f"golden/1_Stephen_King/{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def test_greedy_answers(smollm2: LanguageModel, shared_dir: Path) -> None:
    rows = rows_of(shared_dir, "forget_level2", 6)
    llm = dataclasses.replace(smollm2, end_ids=(0, 2))  # the released code also stops at <|endoftext|>
    prompts = [Prompt(ids=tuple(llm.encode(row["prompt"])), max_new_tokens=30) for row in rows]
    for prompt, row in zip(prompts, rows, strict=True):
        digest = hashlib.sha256(",".join(map(str, prompt.ids)).encode()).hexdigest()
        assert digest == row["prompt_ids_sha256"]
    expected = [Generation(ids=tuple(row["new_ids"]), stop_id=row["stop_id"]) for row in rows]
    assert generate(llm, prompts, batch_size=4) == expected


def test_summed_log_probabilities_of_choices(smollm2: LanguageModel, shared_dir: Path) -> None:
    completions, expected = [], []
    for row in rows_of(shared_dir, "truthful", 2):
        prompt = smollm2.encode(row["prompt"])
        for choice in row["choices"]:
            whole = smollm2.encode(f"{row['prompt']} {choice['choice']}")
            completions.append(Completion(prompt=tuple(prompt), ids=tuple(whole[len(prompt) :])))
            expected.append(choice["logprob"])
    found = token_logprobs(smollm2, completions, batch_size=8)
    assert [sum(row) for row in found] == pytest.approx(expected, abs=1e-3)


def test_loss_of_texts(smollm2: LanguageModel, shared_dir: Path) -> None:
    rows = rows_of(shared_dir, "forget_mia", 2)
    texts = [tuple(smollm2.encode(row["text"])) for row in rows]
    completions = [Completion(prompt=ids[:1], ids=ids[1:]) for ids in texts]
    found = completion_nll(smollm2, completions, batch_size=2)
    assert found == pytest.approx([-row["loss"] for row in rows], rel=1e-5)
