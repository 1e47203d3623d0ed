"""CE-U: values by hand, and its gradient against the paper's cross-entropy."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tiny_training import STAGE, first_forget_tokens, own_llm, unlearning
from torch.nn.functional import cross_entropy

from atu.methods.terms.ceu import ceu_loss


def test_it_is_minus_the_log_of_what_the_label_leaves_to_the_others() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1], [0.6, 0.3, 0.1]]).log()
    value = ceu_loss(logits, torch.tensor([0, 2]), torch.tensor([True, True]))
    assert value.item() == pytest.approx(-(math.log(0.4) + math.log(0.9)) / 2, rel=1e-5)


def test_a_logit_has_no_zero_point() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    args = (torch.tensor([0]), torch.tensor([True]))
    assert ceu_loss(logits + 7.0, *args).item() == pytest.approx(ceu_loss(logits, *args).item(), rel=1e-5)


def test_the_gradient_is_that_of_cross_entropy_to_the_model_without_the_label() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log().requires_grad_()
    ceu_loss(logits, torch.tensor([0]), torch.tensor([True])).backward()
    assert logits.grad is not None
    # p - q with q = (0, 3/4, 1/4)
    assert logits.grad[0].tolist() == pytest.approx([0.6, 0.3 - 0.75, 0.1 - 0.25], rel=1e-5)

    again = logits.detach().clone().requires_grad_()
    cross_entropy(again, torch.tensor([[0.0, 0.75, 0.25]])).backward()
    assert again.grad is not None
    assert logits.grad[0].tolist() == pytest.approx(again.grad[0].tolist(), rel=1e-5)


def test_a_certain_token_is_pushed_hardest_and_a_forgotten_one_not_at_all() -> None:
    # Of the first p = 1 in float32, of the second 0.
    logits = torch.tensor([[200.0, 0.0, 0.0], [-200.0, 0.0, 0.0]], requires_grad=True)
    loss = ceu_loss(logits, torch.tensor([0, 0]), torch.tensor([True, True]))
    loss.backward()
    assert logits.grad is not None
    assert loss.item() == pytest.approx((200 - math.log(2)) / 2, rel=1e-5)
    # (p - q) / 2
    assert logits.grad[0].tolist() == pytest.approx([0.5, -0.25, -0.25])
    assert logits.grad[1].tolist() == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_what_is_not_marked_does_not_count() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1], [9.0, 0.0, 0.0]], requires_grad=True)
    loss = ceu_loss(logits, torch.tensor([0, 0]), torch.tensor([False, False]))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert not logits.grad.any()


@torch.no_grad()
@pytest.mark.parametrize("skip_first", [0, 1, 3])
def test_the_term_leaves_the_first_tokens_of_each_text_alone(
    tiny_folder: Path, tiny_encoder: Path, skip_first: int
) -> None:
    """The cross-entropy of open-unlearning, less the entropy of its target, over the tokens that it does not ignore."""
    ours = unlearning(own_llm(tiny_folder), tiny_encoder, ceu={"skip_first": skip_first})
    logits, label, text = first_forget_tokens(ours)
    counts = torch.cat([torch.arange(int((text == i).sum())) >= skip_first for i in range(3)])
    target = logits.scatter(1, label[:, None], float("-inf")).softmax(-1)
    entropy = -(target * target.log().nan_to_num(neginf=0.0)).sum(-1)
    expected = (cross_entropy(logits, target, reduction="none") - entropy)[counts].mean()
    torch.testing.assert_close(ours.losses(STAGE, 0, 0)["train/ceu"], expected, rtol=1e-4, atol=1e-5)


def test_a_text_that_is_skipped_whole_counts_nothing(tiny_folder: Path, tiny_encoder: Path) -> None:
    ours = unlearning(own_llm(tiny_folder), tiny_encoder, ceu={"skip_first": 1000})
    assert ours.losses(STAGE, 0, 0)["total"].item() == 0.0
