"""WGA: values by hand, and what a token's probability does to its share of the gradient."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_training import STAGE, first_forget_tokens, own_llm, unlearning

from atu.methods.losses import token_nll
from atu.methods.terms.ga import ga_loss
from atu.methods.terms.wga import wga_loss

LN2 = math.log(2)


def test_each_token_is_weighted_by_its_probability() -> None:
    # p = 1/2 and 1/4: -(1/2 ln 2 + 1/4 * 2 ln 2) / 2 = -ln 2 / 2; with alpha 2: -(1/4 ln 2 + 1/16 * 2 ln 2) / 2
    nll = torch.tensor([LN2, 2 * LN2])
    assert wga_loss(nll, 1.0).item() == pytest.approx(-LN2 / 2)
    assert wga_loss(nll, 2.0).item() == pytest.approx(-3 / 16 * LN2)


def test_with_alpha_zero_it_is_gradient_ascent() -> None:
    nll = torch.tensor([0.0, 1.0, 30.0])
    assert wga_loss(nll, 0.0).item() == pytest.approx(ga_loss(nll).item())


def test_the_weight_has_no_gradient_of_its_own() -> None:
    nll = torch.tensor([0.0, LN2, 200.0], requires_grad=True)
    wga_loss(nll, 1.0).backward()
    assert nll.grad is not None
    # -p / 3: a certain token is pushed as by gradient ascent, one of probability 0 not at all
    assert nll.grad.tolist() == pytest.approx([-1 / 3, -1 / 6, 0.0])


def test_a_step_makes_the_label_less_likely() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0]], requires_grad=True)
    wga_loss(token_nll(logits, torch.tensor([0])), 1.0).backward()
    assert logits.grad is not None
    p = math.e**2 / (math.e**2 + 1 + 1 / math.e)
    # d(-p NLL)/dz of the label, its weight fixed: p (1 - p); downhill lowers it
    assert logits.grad[0, 0].item() == pytest.approx(p * (1 - p), rel=1e-5)
    assert bool((logits.grad[0, 1:] < 0).all())


def test_without_tokens_it_is_zero_and_moves_nothing() -> None:
    nll = torch.zeros(0, requires_grad=True)
    loss = wga_loss(nll, 1.0)
    loss.backward()
    assert loss.item() == 0.0


@torch.no_grad()
def test_the_term_is_that_of_open_unlearning_on_the_forget_texts(tiny_folder: Path, tiny_encoder: Path) -> None:
    ours = unlearning(own_llm(tiny_folder), tiny_encoder, wga={"alpha": 2.0})
    logits, label, _ = first_forget_tokens(ours)
    p = logits.softmax(-1).gather(1, label[:, None])
    torch.testing.assert_close(ours.losses(STAGE, 0, 0)["train/wga"], (p**2 * p.log()).mean(), rtol=1e-4, atol=1e-6)
