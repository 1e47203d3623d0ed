from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch

from atu.evaluation.gradient_norms import gradient_norms
from atu.evaluation.likelihood import Completion
from atu.models.language_model import LanguageModel


def test_equals_the_library_loss_and_leaves_the_model_as_it_was(tiny_llm: LanguageModel) -> None:
    llm = dataclasses.replace(tiny_llm, model=copy.deepcopy(tiny_llm.model))
    llm.model.requires_grad_(False)
    llm.model.lm_head.weight.grad = torch.ones_like(llm.model.lm_head.weight)
    completion = Completion(prompt=(5, 6, 7), ids=(8, 9))
    (norm,) = gradient_norms(llm, [completion])
    assert not any(weight.requires_grad for weight in llm.model.parameters())
    assert bool((llm.model.lm_head.weight.grad == 1).all())

    plain = copy.deepcopy(tiny_llm.model).requires_grad_(True)
    plain(input_ids=torch.tensor([[5, 6, 7, 8, 9]]), labels=torch.tensor([[-100, -100, -100, 8, 9]])).loss.backward()
    norms = [float(weight.grad.norm()) for weight in plain.parameters() if weight.grad is not None]
    assert norm.mean_of_tensors == pytest.approx(sum(norms) / len(norms), rel=1e-5)
    assert norm.whole == pytest.approx(sum(one**2 for one in norms) ** 0.5, rel=1e-5)


def test_a_hidden_token_is_not_seen(tiny_llm: LanguageModel) -> None:
    """Which token stands in a hidden place makes no difference."""
    rows = [Completion(prompt=(5, hidden, 7), ids=(8, 9)) for hidden in (6, 60)]
    (first,), (second,) = (gradient_norms(tiny_llm, [row], hidden_id=row.prompt[1]) for row in rows)
    assert first.whole == pytest.approx(second.whole, rel=1e-5)
    (seen,), (other,) = (gradient_norms(tiny_llm, [row]) for row in rows)
    assert seen.whole != pytest.approx(other.whole, rel=1e-3)


@pytest.mark.model
def test_golden_rows(smollm2: LanguageModel, shared_dir: Path) -> None:
    """Two forget rows of open-unlearning's GradNorm on the untaught model, the last token left out as there."""
    folder = shared_dir / "golden" / "tofu" / "out"
    if not folder.is_dir():
        pytest.skip(f"no golden results at {folder}")
    tokens = json.loads((folder / "tokens.json").read_text())
    golden = json.loads((folder / "base_b.eval.json").read_text())["mia_gradnorm"]["forget"]["value_by_index"]
    rows = tokens["sets"]["chat/forget01_perturbed/answer"][:2]
    completions = [
        Completion(prompt=tuple(row["ids"][: row["label_start"]]), ids=tuple(row["ids"][row["label_start"] : -1]))
        for row in rows
    ]
    for row, norm in zip(rows, gradient_norms(smollm2, completions, hidden_id=tokens["pad_id"]), strict=True):
        assert norm.mean_of_tensors == pytest.approx(golden[str(row["index"])]["score"], rel=1e-4)
