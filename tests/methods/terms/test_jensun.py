"""JensUn: the closed form against the definition, its bounds, and the targets of each token."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_training import STAGE, first_forget_tokens, own_llm, unlearning

from atu.errors import UserError
from atu.methods.losses import token_nll
from atu.methods.terms.jensun import Jensun, jensun_loss, repeated


def test_a_known_divergence() -> None:
    # p = (1/2, 1/4, 1/4), target (1, 0, 0), m = (3/4, 1/8, 1/8):
    # KL(p|m) = ln(2/3) / 2 + ln(2) / 2, KL(t|m) = ln(4/3)
    expected = ((math.log(2 / 3) + math.log(2)) / 2 + math.log(4 / 3)) / 2
    assert jensun_loss(torch.tensor([math.log(2)])).item() == pytest.approx(expected, rel=1e-5)


def test_only_the_targets_probability_counts() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.49, 0.01]]).log()
    model = logits.softmax(-1)
    target = torch.tensor([[1.0, 0.0, 0.0]])
    middle = (model + target) / 2
    divergence = (model * (model / middle).log()).sum(-1) / 2 - middle[:, 0].log() / 2
    found = jensun_loss(token_nll(logits, torch.tensor([0, 0])))
    assert found.item() == pytest.approx(divergence.mean().item(), rel=1e-5)


def test_it_lies_between_zero_and_log_two() -> None:
    assert jensun_loss(torch.tensor([0.0])).item() == pytest.approx(0.0, abs=1e-7)
    assert jensun_loss(torch.tensor([200.0])).item() == pytest.approx(math.log(2))


def test_the_gradient_is_bounded_and_comes_to_nothing_far_from_the_target() -> None:
    nll = torch.tensor([0.0, math.log(3), 200.0], requires_grad=True)
    jensun_loss(nll).backward()
    assert nll.grad is not None
    # p log((1 + p) / p) / 2 each, of three: p = 1, 1/3, 0
    assert nll.grad.tolist() == pytest.approx([math.log(2) / 6, math.log(4) / 18, 0.0], rel=1e-5)


def test_a_step_makes_the_target_likelier() -> None:
    logits = torch.zeros(1, 3, requires_grad=True)
    jensun_loss(token_nll(logits, torch.tensor([1]))).backward()
    assert logits.grad is not None
    assert logits.grad[0, 1].item() < 0 < logits.grad[0, 0].item()


def test_without_tokens_it_is_zero_and_moves_nothing() -> None:
    nll = torch.zeros(0, requires_grad=True)
    loss = jensun_loss(nll)
    loss.backward()
    assert loss.item() == 0.0


def test_the_targets_begin_anew_with_each_row() -> None:
    row = torch.tensor([0, 0, 0, 1, 2, 2])
    assert repeated(torch.tensor([7, 9]), row).tolist() == [7, 9, 7, 7, 7, 9]
    assert repeated(torch.tensor([7]), row).tolist() == [7] * 6


@torch.no_grad()
def test_the_term_is_the_divergence_from_the_answer_at_each_token(tiny_folder: Path, tiny_encoder: Path) -> None:
    llm = own_llm(tiny_folder)
    ours = unlearning(llm, tiny_encoder, jensun={"answer": "No idea"})
    answer = llm.tokenizer("No idea", add_special_tokens=False)["input_ids"]
    logits, _, text = first_forget_tokens(ours)
    places = [place for i in range(3) for place in range(int((text == i).sum()))]
    target = torch.zeros_like(logits)
    for one_hot, place in zip(target, places, strict=True):
        one_hot[answer[place % len(answer)]] = 1.0
    model = logits.softmax(-1)
    middle = (model + target) / 2
    kl = [(p * (p / middle).log().nan_to_num(neginf=0.0)).sum(-1) for p in (model, target)]
    expected = ((kl[0] + kl[1]) / 2).mean()
    torch.testing.assert_close(ours.losses(STAGE, 0, 0)["train/jensun"], expected, rtol=1e-4, atol=1e-5)


def test_an_empty_answer_is_refused() -> None:
    with pytest.raises(UserError, match="answer must not be empty"):
        Jensun(answer=" ")
