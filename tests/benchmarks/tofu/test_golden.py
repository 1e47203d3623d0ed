"""Our released scoring on real models against the reference implementation's output, row by row.

A few rows of each log; `make golden` takes all of them (minutes). Tolerances are those of the folder's README: losses
lie above by up to 2e-4, since the reference implementation sums over a strided vocabulary, and never below.
"""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from golden_tofu import LOGS, compare_log, probes_of, tuned

from atu.benchmarks import open_unlearning
from atu.benchmarks.tofu import released
from atu.benchmarks.tofu.benchmark import TofuBenchmark
from atu.benchmarks.tofu.config import TofuConfig
from atu.benchmarks.tofu.reader import TofuData
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.likelihood import token_logprobs
from atu.models.language_model import LanguageModel

pytestmark = pytest.mark.model
FEW = {
    "taught_a": {"forget": 1, "world_facts": 1},
    "taught_b": {"members": 1, "others": 1},
    "taught_plain": {"world_facts": 2},
}


@pytest.fixture(scope="module")
def taught(smollm2: LanguageModel, tofu_golden: Path) -> LanguageModel:
    """The model that knows the authors: a copy of ours with the reference run's LoRA added."""
    return tuned(smollm2, tofu_golden / "models" / "taught-lora.safetensors")


def test_tokens(smollm2: LanguageModel, shared_dir: Path, tofu_golden: Path) -> None:
    """Those of every row, in both forms, and where the scored ones begin."""
    data = TofuData(shared_dir / "tofu")
    sets: dict[str, list[dict[str, Any]]] = json.loads((tofu_golden / "out" / "tokens.json").read_text())["sets"]
    count = 0
    for name, rows in sets.items():
        form, file, column = name.split("/")
        for expected in rows:
            row = data.rows(file)[expected["index"]]
            answers = {"answer": [row.answer], "paraphrased_answer": [row.paraphrased_answer]}
            answers["perturbed_answer"] = list(row.perturbed_answers)
            for answer, one in zip(answers[column], expected.get("answers", [expected]), strict=True):
                found = released.completion(smollm2, row.question, answer, form)
                assert [*found.prompt, *found.ids] == one["ids"]
                assert len(found.prompt) == one["label_start"]
                count += 1
            if "prompt_ids" in expected:
                asked = released.prompt(smollm2, row.question, form, 200)
                assert list(asked.ids) == expected["prompt_ids"]
    assert count == 432


@pytest.mark.parametrize("name", FEW)
def test_rows(name: str, taught: LanguageModel, shared_dir: Path, tofu_golden: Path) -> None:
    template = LOGS[name].template
    judge = TofuBenchmark(TofuConfig(split="forget01", data_dir=str(shared_dir / "tofu"), template=template))
    config = EvaluationConfig(scoring="released", batch_size=8)
    answers = judge.ask(taught, probes_of(judge, FEW[name]), reference=None, as_loaded=False, config=config)
    agreement = compare_log(read(tofu_golden, name), answers["released"])
    assert agreement.faults == []
    assert agreement.numbers >= 8
    assert agreement.other_texts == 0


@pytest.mark.parametrize(("name", "pad"), [("base_a", None), ("base_padneos", "<|endoftext|>")])
def test_a_pad_token_that_is_the_end_of_turn_is_hidden(
    name: str, pad: str | None, smollm2: LanguageModel, shared_dir: Path, tofu_golden: Path
) -> None:
    """The two logs differ by 0.04 to 0.21 nats a row."""
    tokenizer = copy.deepcopy(smollm2.tokenizer)
    tokenizer.pad_token = pad or tokenizer.pad_token
    llm = replace(smollm2, tokenizer=tokenizer)
    rows = TofuData(shared_dir / "tofu").rows("forget01_perturbed")[:3]
    asked = [released.completion(llm, row.question, row.answer, None) for row in rows]
    hidden_id = open_unlearning.hidden_id(llm)
    found = token_logprobs(llm, asked, batch_size=3, hidden_id=hidden_id)
    expected = read(tofu_golden, name)["forget_Q_A_Prob"]["value_by_index"]
    for number, logprobs in enumerate(found):
        loss = expected[str(number)]["avg_loss"]
        assert loss - 2e-6 <= -fmean(logprobs) <= loss + 2e-4


def read(golden: Path, name: str) -> dict[str, Any]:
    log: dict[str, Any] = json.loads((golden / "out" / f"{name}.eval.json").read_text())
    return log
