"""SatImp: values by hand, and the two kinds of token that it leaves alone."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_training import STAGE, first_forget_tokens, own_llm, unlearning

from atu.methods.terms.satimp import satimp_loss
from atu.methods.terms.wga import wga_loss

LN2 = math.log(2)


def test_each_token_has_both_weights() -> None:
    # p = 1/2: 1/4 * 1/2 * ln 2; p = 1/4: 1/16 * 3/4 * 2 ln 2; minus their mean
    value = satimp_loss(torch.tensor([LN2, 2 * LN2]), 2.0, 1.0)
    assert value.item() == pytest.approx(-(1 / 8 + 3 / 32) / 2 * LN2)


def test_without_importance_it_is_wga() -> None:
    nll = torch.tensor([0.0, 1e-3, LN2, 5.0])
    assert satimp_loss(nll, 5.0, 0.0).item() == pytest.approx(wga_loss(nll, 5.0).item())


def test_neither_the_forgotten_nor_the_certain_are_pushed() -> None:
    nll = torch.tensor([0.0, LN2, 200.0], requires_grad=True)
    satimp_loss(nll, 5.0, 0.1).backward()
    assert nll.grad is not None
    assert nll.grad.tolist() == pytest.approx([0.0, -(2**-5.1) / 3, 0.0], rel=1e-4)


def test_a_nearly_certain_token_keeps_its_small_weight() -> None:
    # 1 - p = 1e-9 is lost where p = exp(-1e-9) is rounded to 1: weight sqrt(1e-9), not 0
    nll = torch.tensor([1e-9], requires_grad=True)
    satimp_loss(nll, 1.0, 0.5).backward()
    assert nll.grad is not None
    assert nll.grad.item() == pytest.approx(-math.sqrt(1e-9), rel=1e-4)


def test_without_tokens_it_is_zero_and_moves_nothing() -> None:
    nll = torch.zeros(0, requires_grad=True)
    loss = satimp_loss(nll, 5.0, 0.1)
    loss.backward()
    assert loss.item() == 0.0


@torch.no_grad()
def test_the_term_is_that_of_open_unlearning_on_the_forget_texts(tiny_folder: Path, tiny_encoder: Path) -> None:
    ours = unlearning(own_llm(tiny_folder), tiny_encoder, satimp={"saturation": 2.0, "importance": 1.0})
    logits, label, _ = first_forget_tokens(ours)
    p = logits.softmax(-1).gather(1, label[:, None])
    expected = (p**2 * (1 - p) * p.log()).mean()
    torch.testing.assert_close(ours.losses(STAGE, 0, 0)["train/satimp"], expected, rtol=1e-4, atol=1e-6)
