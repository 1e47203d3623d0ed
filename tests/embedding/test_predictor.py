"""The predictor may not see what it should predict, nor padding."""

from __future__ import annotations

import pytest
import torch

from atu.embedding.config import PredictorConfig
from atu.embedding.predictor import Predictor, build_predictor
from atu.errors import UserError

CONFIG = PredictorConfig(name="test", hidden_dim=32, num_heads=4, num_layers=2)
RELEASED = PredictorConfig(name="test", hidden_dim=32, num_heads=4, num_layers=2, causal=False)


def _build(config: PredictorConfig) -> Predictor:
    return build_predictor(config, d_llm=16, d_enc=8, seed=0).eval()


def _states(batch: int = 2, width: int = 12) -> torch.Tensor:
    return torch.randn(batch, width, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_changing_the_future_changes_nothing_before_it() -> None:
    predictor, hidden = _build(CONFIG), _states()
    is_token = torch.ones(2, 12, dtype=torch.bool)
    changed = hidden.clone()
    changed[:, 7:] = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2))
    before, after = predictor(hidden, is_token), predictor(changed, is_token)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:], atol=1e-3)


@torch.no_grad()
def test_the_released_predictor_does_read_the_future() -> None:
    predictor, hidden = _build(RELEASED), _states()
    is_token = torch.ones(2, 12, dtype=torch.bool)
    changed = hidden.clone()
    changed[:, 7:] = torch.randn(2, 5, 16, generator=torch.Generator().manual_seed(2))
    gap = (predictor(hidden, is_token) - predictor(changed, is_token))[:, :7].abs().max()
    assert gap > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("config", [CONFIG, RELEASED], ids=["causal", "released"])
def test_padding_changes_nothing(config: PredictorConfig) -> None:
    predictor, hidden = _build(config), _states(batch=1)
    is_token = torch.ones(1, 12, dtype=torch.bool)
    padded = torch.cat([hidden, torch.full((1, 5, 16), 99.0)], dim=1)
    mask = torch.cat([is_token, torch.zeros(1, 5, dtype=torch.bool)], dim=1)
    assert torch.allclose(predictor(hidden, is_token), predictor(padded, mask)[:, :12], atol=1e-5)


@torch.no_grad()
def test_predictions_have_unit_length_at_single_position() -> None:
    predicted = _build(CONFIG)(_states(width=1), torch.ones(2, 1, dtype=torch.bool))
    assert torch.allclose(predicted.norm(dim=-1), torch.ones(2, 1))


def test_same_seed_same_weights_and_no_effect_on_the_global_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = _build(CONFIG)
    assert torch.equal(torch.rand(1), expected)
    second = _build(CONFIG)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(UserError, match="hidden_dim"):
        PredictorConfig(name="bad", hidden_dim=30, num_heads=4)
