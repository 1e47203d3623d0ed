"""A direction that was added is found and taken away."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from constructed import subject
from torch import Tensor, nn

from atu.attacks import ablate
from atu.attacks.ablate import difference_directions, without_directions
from atu.models.language_model import LanguageModel

LAYER = 2


def with_junk(llm: LanguageModel) -> LanguageModel:
    """The same model with one constant direction added to the hidden states after block 2."""
    llm = replace(llm, model=copy.deepcopy(llm.model))
    junk = torch.randn(64, generator=torch.Generator().manual_seed(0)) * 30

    def add(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output + junk

    llm.model.model.layers[LAYER - 1].register_forward_hook(add)
    return llm


def test_one_junk_direction_at_a_layer_is_recovered_by_ablation(knowing: LanguageModel) -> None:
    tested = subject(knowing, with_junk(knowing))
    assert not any(answer.score for answer in tested.plain_answers("unlearned").values())
    (unit,) = ablate.units(tested, [0])
    rows = {row.step: row for row in unit.run() if row.group == "forget/all"}
    assert set(rows) == {1, 2, 3, None}
    best = rows[LAYER]
    assert best.recovered is not None
    assert best.recovered >= 0.9
    assert rows[1].recovered == 0.0  # below the junk there is nothing to take away


def test_the_first_direction_is_the_mean_difference() -> None:
    original = torch.zeros(2, 3)
    unlearned = torch.tensor([[3.0, 1.0, 0.0], [3.0, -1.0, 0.0]])
    directions = difference_directions(original, unlearned, 4)
    # The mean is (3, 0, 0); what is left of the rows, (0, 1, 0) and (0, -1, 0), spans one more.
    assert torch.allclose(directions.abs(), torch.eye(3)[:2], atol=1e-6)
    assert len(difference_directions(original, unlearned, 1)) == 1


def test_an_ablated_direction_has_the_originals_mean_component() -> None:
    edit = without_directions(torch.tensor([[1.0, 0.0]]), torch.tensor([0.5]))
    found = edit(torch.tensor([[[7.0, 3.0], [-2.0, 1.0]]]))
    assert found.tolist() == [[[0.5, 3.0], [0.5, 1.0]]]


def test_models_without_a_difference_are_not_touched(knowing: LanguageModel) -> None:
    directions = difference_directions(torch.ones(3, 4), torch.ones(3, 4), 1)
    hidden = torch.randn(1, 2, 4)
    assert torch.equal(without_directions(directions, torch.zeros(1))(hidden), hidden)


def test_the_attack_leaves_no_edit_behind(knowing: LanguageModel) -> None:
    tested = subject(knowing, with_junk(knowing))
    llm = tested.unlearned
    ids = torch.tensor([llm.encode("What?")])
    before = llm.model(ids).logits
    for unit in ablate.units(tested, [0]):
        unit.run()
    assert torch.equal(llm.model(ids).logits, before)


@pytest.mark.parametrize(("depth", "count", "layers"), [(3, 2, [2, 3]), (3, 9, [1, 2, 3])])
def test_layers_are_spread_over_the_depth(tiny_llm: LanguageModel, depth: int, count: int, layers: list[int]) -> None:
    assert tiny_llm.model.config.num_hidden_layers == depth
    assert ablate.spread_layers(tiny_llm, count) == layers
