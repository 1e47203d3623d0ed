"""Each loss against a number computed by hand, and its edge cases."""

from __future__ import annotations

import math

import pytest
import torch

from atu.methods.losses import (
    alignment_loss,
    contrastive_loss,
    kl_to_reference,
    masked_mean,
    mean_nll_of_rows,
    nll_of_rows,
    place_in_text,
    sequence_nll,
    token_nll,
)
from atu.methods.terms.distill import bounded_logits, exclude_labels, exclude_tokens
from atu.methods.terms.dpo import dpo_loss
from atu.methods.terms.enpo import enpo_loss
from atu.methods.terms.ga import ga_loss
from atu.methods.terms.npo import npo_loss
from atu.methods.terms.push import push_loss
from atu.methods.terms.redirect import redirect_loss
from atu.methods.terms.refusal import refusal_loss
from atu.methods.terms.rmu import random_direction, rmu_loss
from atu.methods.terms.simnpo import simnpo_loss
from atu.methods.terms.undial import lowered_logits

MASK = torch.tensor([[True, True, False]])


def test_masked_mean_ignores_what_is_not_marked() -> None:
    assert masked_mean(torch.tensor([[1.0, 3.0, 100.0]]), MASK).item() == 2.0


def test_masked_mean_of_nothing_is_zero_and_has_a_gradient() -> None:
    values = torch.tensor([1.0], requires_grad=True)
    masked_mean(values, torch.tensor([False])).backward()
    assert values.grad is not None
    assert values.grad.item() == 0.0


def test_alignment_loss_is_one_minus_the_cosine() -> None:
    # ((1 - 0.8) + (1 - 0.2)) / 2
    assert alignment_loss(torch.tensor([[0.8, 0.2, -1.0]]), MASK).item() == pytest.approx(0.5)


def test_push_is_zero_below_tau_and_linear_above() -> None:
    # (max(0, 0.9 - 0.5) + max(0, 0.3 - 0.5)) / 2 = 0.4 / 2
    assert push_loss(torch.tensor([[0.9, 0.3, 1.0]]), 0.5, MASK).item() == pytest.approx(0.2)


def test_push_has_no_gradient_below_tau_or_on_padding() -> None:
    cosine = torch.tensor([[0.9, 0.3, 1.0]], requires_grad=True)
    push_loss(cosine, 0.5, MASK).backward()
    assert cosine.grad is not None
    assert cosine.grad.tolist() == [[0.5, 0.0, 0.0]]


def test_redirect_is_zero_at_the_reference_and_two_opposite_to_it() -> None:
    predicted = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    reference = torch.tensor([[[1.0, 0.0], [0.0, -1.0], [0.0, 1.0]]])
    # ((1 - 1) + (1 - -1)) / 2
    assert redirect_loss(predicted, reference, MASK).item() == pytest.approx(1.0)


def test_enpo_starts_at_log_two_over_beta() -> None:
    cosine = torch.tensor([[0.4, 0.1, 0.9]])
    assert enpo_loss(cosine, cosine, 10.0, MASK).item() == pytest.approx(math.log(2) / 10)


def test_enpo_of_a_known_difference() -> None:
    # D = 0.3: -log sigmoid(-3) / 10 = log(1 + e^3) / 10
    value = enpo_loss(torch.tensor([0.5]), torch.tensor([0.2]), 10.0, torch.tensor([True]))
    assert value.item() == pytest.approx(math.log(1 + math.exp(3)) / 10, rel=1e-5)


def test_ga_is_minus_the_mean_nll() -> None:
    assert ga_loss(torch.tensor([1.0, 3.0])).item() == -2.0


def test_tokens_are_counted_from_the_beginning_of_their_text() -> None:
    assert place_in_text(torch.tensor([0, 0, 0, 1, 3, 3])).tolist() == [0, 1, 2, 0, 0, 1]
    assert place_in_text(torch.zeros(0, dtype=torch.long)).tolist() == []


def test_token_nll_of_uniform_logits_is_log_vocab() -> None:
    assert token_nll(torch.zeros(2, 8), torch.tensor([0, 7])).tolist() == pytest.approx([math.log(8)] * 2)


def test_sequence_nll_sums_per_row_and_keeps_rows_without_tokens() -> None:
    summed = sequence_nll(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 0, 2]), 3)
    assert summed.tolist() == [3.0, 0.0, 4.0]


def test_npo_starts_at_two_log_two_over_beta() -> None:
    nll = torch.tensor([5.0, 9.0])
    assert npo_loss(nll, nll, 0.1).item() == pytest.approx(2 / 0.1 * math.log(2))


def test_npo_of_a_known_ratio() -> None:
    # the model already gives the text e^-10 of its old probability: -20 log sigmoid(0.1 * 10)
    value = npo_loss(torch.tensor([15.0]), torch.tensor([5.0]), 0.1)
    assert value.item() == pytest.approx(20 * math.log(1 + math.exp(-1)), rel=1e-5)


def test_npo_gate_closes_as_the_text_is_forgotten() -> None:
    reference = torch.tensor([10.0])
    gradients = []
    for now in (10.0, 40.0, 100.0):
        nll = torch.tensor([now], requires_grad=True)
        npo_loss(nll, reference, 0.1).backward()
        assert nll.grad is not None
        gradients.append(-nll.grad.item())
    # 2 sigmoid(-beta (nll - ref)): 1, 2 / (1 + e^3), 2 / (1 + e^9)
    assert gradients == pytest.approx([1.0, 2 / (1 + math.exp(3)), 2 / (1 + math.exp(9))], rel=1e-4)


def test_simnpo_counts_nats_a_token_of_each_text() -> None:
    # 6 nats over 3 tokens and 4 over 1: 2 and 4 a token, whatever the length
    nll = nll_of_rows(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0, 0, 0, 1]), 2)
    assert nll.tolist() == [2.0, 4.0]
    # beta 2.5, gamma 1: -(2/2.5) mean of log sigmoid(2.5 * 2 - 1) and log sigmoid(2.5 * 4 - 1)
    expected = 0.8 * (math.log(1 + math.exp(-4)) + math.log(1 + math.exp(-9))) / 2
    assert simnpo_loss(nll, 2.5, 1.0).item() == pytest.approx(expected, rel=1e-4)


def test_simnpo_of_a_text_that_is_certain_is_two_log_two_over_beta_and_a_margin_raises_it() -> None:
    certain = torch.tensor([0.0])
    assert simnpo_loss(certain, 0.5, 0.0).item() == pytest.approx(4 * math.log(2))
    assert simnpo_loss(certain, 0.5, 3.0).item() == pytest.approx(4 * math.log(1 + math.exp(3)), rel=1e-5)


def test_simnpo_gate_closes_as_the_text_is_forgotten() -> None:
    nll = torch.tensor([0.0, 2.0], requires_grad=True)
    simnpo_loss(nll, 1.5, 0.0).backward()
    assert nll.grad is not None
    # each of two rows: -(1/2) 2 sigmoid(-beta nll): sigmoid(0) = 1/2 and 1 / (1 + e^3)
    assert nll.grad.tolist() == pytest.approx([-0.5, -1 / (1 + math.exp(3))], rel=1e-4)


def test_dpo_starts_at_two_log_two_over_beta() -> None:
    refused, said = torch.tensor([20.0, 25.0]), torch.tensor([5.0, 9.0])
    assert dpo_loss(refused, refused, said, said, 0.1).item() == pytest.approx(20 * math.log(2))


def test_dpo_of_known_ratios() -> None:
    # The refusal became e^8 times likelier, the text e^-12: 20 log(1 + e^(-0.1 * 20))
    tensors = (torch.tensor([value]) for value in (12.0, 20.0, 17.0, 5.0))
    assert dpo_loss(*tensors, 0.1).item() == pytest.approx(20 * math.log(1 + math.exp(-2)), rel=1e-5)


def test_dpo_where_both_answers_gained_alike_is_as_at_the_start() -> None:
    tensors = (torch.tensor([value]) for value in (12.0, 20.0, 4.0, 12.0))
    assert dpo_loss(*tensors, 0.1).item() == pytest.approx(20 * math.log(2))


def test_dpo_pulls_the_refusal_up_as_hard_as_it_pushes_the_text_down() -> None:
    refused, said = torch.tensor([20.0], requires_grad=True), torch.tensor([5.0], requires_grad=True)
    dpo_loss(refused, torch.tensor([20.0]), said, torch.tensor([5.0]), 0.1).backward()
    assert refused.grad is not None
    assert said.grad is not None
    # 2 sigmoid(0) each
    assert (refused.grad.item(), said.grad.item()) == pytest.approx((1.0, -1.0))


def test_refusal_is_the_mean_nll() -> None:
    assert refusal_loss(torch.tensor([1.0, 3.0, 8.0])).item() == 4.0


def test_rmu_is_the_mean_square_to_the_steered_state() -> None:
    # u = (0.6, 0.8). At 5 u = (3, 4) the state is reached: 0. From (0, 0) to 10 u = (6, 8): (36 + 64) / 2 = 50.
    hidden = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [900.0, 900.0]]])
    length = torch.tensor([[5.0, 10.0, 5.0]])
    assert rmu_loss(hidden, torch.tensor([0.6, 0.8]), length, MASK).item() == pytest.approx((0 + 50) / 2)


def test_rmu_pulls_towards_the_steered_state_and_leaves_the_unmarked_alone() -> None:
    hidden = torch.tensor([[[3.0, 4.0], [0.0, 0.0], [900.0, 900.0]]], requires_grad=True)
    rmu_loss(hidden, torch.tensor([0.6, 0.8]), torch.tensor([[5.0, 10.0, 5.0]]), MASK).backward()
    assert hidden.grad is not None
    # 2 (h - c u) over two components and two positions
    assert hidden.grad[0].flatten().tolist() == pytest.approx([0.0, 0.0, -3.0, -4.0, 0.0, 0.0])


def test_a_direction_belongs_to_its_seed() -> None:
    first, again, other = (random_direction(64, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)
    assert first.norm().item() == pytest.approx(1.0)
    assert bool((first >= 0).all())  # entries uniform in [0, 1), as in the source


def test_lowered_logits_divide_the_labels_odds() -> None:
    # Probabilities 0.6, 0.3, 0.1; the first is the label, lowered by ln 3: 0.2, 0.3, 0.1, which sum to 0.6
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log()
    lowered = lowered_logits(logits, torch.tensor([0]), math.log(3))
    assert lowered.softmax(-1)[0].tolist() == pytest.approx([1 / 3, 1 / 2, 1 / 6])
    # KL of the student that is still the reference model: sum q ln(q / p)
    expected = math.log(1 / 3 / 0.6) / 3 + math.log(1 / 2 / 0.3) / 2 + math.log(1 / 6 / 0.1) / 6
    assert kl_to_reference(logits, lowered).item() == pytest.approx(expected, rel=1e-5)


def test_lowered_logits_leave_other_tokens_and_rows_alone() -> None:
    lowered = lowered_logits(torch.zeros(2, 3), torch.tensor([2, 0]), 10.0)
    assert lowered.tolist() == [[0.0, 0.0, -10.0], [-10.0, 0.0, 0.0]]


def test_kl_against_the_definition() -> None:
    # reference (0.5, 0.5), model (0.8, 0.2): 0.5 ln(0.5/0.8) + 0.5 ln(0.5/0.2)
    logits = torch.tensor([[0.8, 0.2]]).log()
    value = kl_to_reference(logits, torch.zeros(1, 2))
    assert value.item() == pytest.approx(0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2))


def test_kl_is_zero_for_equal_logits_up_to_a_constant() -> None:
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    assert kl_to_reference(logits + 7.0, logits).item() == pytest.approx(0.0, abs=1e-5)


def test_excluded_tokens_leave_their_share_to_the_others_in_proportion() -> None:
    reference = exclude_tokens(torch.tensor([[0.6, 0.3, 0.1]]).log(), torch.tensor([0]))
    assert reference.softmax(-1)[0].tolist() == pytest.approx([0.0, 0.75, 0.25])
    # KL to a model that knows nothing: 0.75 ln(0.75 * 3) + 0.25 ln(0.25 * 3), and a finite gradient
    logits = torch.zeros(1, 3, requires_grad=True)
    value = kl_to_reference(logits, reference)
    value.backward()
    assert value.item() == pytest.approx(0.75 * math.log(2.25) + 0.25 * math.log(0.75), rel=1e-5)
    assert logits.grad is not None
    assert bool(logits.grad.isfinite().all())
    # softmax - reference: 1/3 - 0, 1/3 - 0.75, 1/3 - 0.25
    assert logits.grad[0].tolist() == pytest.approx([1 / 3, 1 / 3 - 0.75, 1 / 3 - 0.25], rel=1e-5)


def test_an_excluded_label_goes_where_it_is_asked_for_alone() -> None:
    logits = torch.tensor([[0.6, 0.3, 0.1]]).log().expand(3, 3)
    found = exclude_labels(logits, torch.tensor([0, 0, 2]), torch.tensor([True, False, True])).softmax(-1)
    assert found[0].tolist() == pytest.approx([0.0, 0.75, 0.25])
    assert found[1].tolist() == pytest.approx([0.6, 0.3, 0.1])
    assert found[2].tolist() == pytest.approx([2 / 3, 1 / 3, 0.0])


def test_a_bounded_distribution_is_the_smaller_of_both_scaled_to_one() -> None:
    p, q = torch.tensor([[0.6, 0.3, 0.1]]), torch.tensor([[0.1, 0.4, 0.5]])
    # min: 0.1, 0.3, 0.1, which sum to 0.5
    assert bounded_logits(p.log(), q.log()).softmax(-1)[0].tolist() == pytest.approx([0.2, 0.6, 0.2])
    # With a margin of ln 2: min of 0.6, 0.3, 0.1 and 0.2, 0.8, 1.0, which sum to 0.6
    found = bounded_logits(p.log(), q.log(), margin=math.log(2)).softmax(-1)[0]
    assert found.tolist() == pytest.approx([0.2 / 0.6, 0.3 / 0.6, 0.1 / 0.6])
    # Logits have no zero point: a shift of either changes nothing.
    assert bounded_logits(p.log() + 3, q.log() - 2).softmax(-1)[0].tolist() == pytest.approx([0.2, 0.6, 0.2])


def test_contrastive_loss_without_windows_is_zero_and_moves_nothing() -> None:
    predicted = torch.zeros(0, 3, requires_grad=True)
    loss = contrastive_loss(predicted, torch.zeros(0, 3), torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0
    assert predicted.grad is not None
    assert predicted.grad.shape == (0, 3)


def test_contrastive_loss_of_two_orthogonal_pairs() -> None:
    pairs, window = torch.eye(2), torch.tensor([0, 1])
    # scores (1/t, 0) for both rows: log(1 + e^(-1/t))
    expected = math.log(1 + math.exp(-2.0))
    assert contrastive_loss(pairs, pairs, window, 0.5).item() == pytest.approx(expected, rel=1e-5)
    assert contrastive_loss(pairs, pairs.flip(0), window, 0.5).item() == pytest.approx(2 + expected)


def test_the_same_window_elsewhere_is_no_negative() -> None:
    # Windows a, b, a, each predicted exactly: the rows of `a` have `b` alone to be told from, log(1 + e^(-1/t));
    # that of `b` has `a` twice, log(1 + 2 e^(-1/t)).
    pairs = torch.eye(2)[[0, 1, 0]]
    found = contrastive_loss(pairs, pairs, torch.tensor([5, 2, 5]), 0.5).item()
    assert found == pytest.approx((2 * math.log(1 + math.exp(-2)) + math.log(1 + 2 * math.exp(-2))) / 3, rel=1e-5)


def test_where_all_windows_are_the_same_there_is_nothing_to_tell_apart() -> None:
    predicted = torch.eye(3, requires_grad=True)
    loss = contrastive_loss(predicted, torch.eye(3)[[0, 0, 0]], torch.tensor([7, 7, 7]))
    loss.backward()
    assert loss.item() == 0.0
    assert predicted.grad is not None
    assert not predicted.grad.any()


def test_rows_of_different_length_weigh_the_same() -> None:
    # (1 + 3) / 2 and 4 a token: their mean is 3, while that of all tokens would be 8 / 3
    assert mean_nll_of_rows(torch.tensor([1.0, 3.0, 4.0]), torch.tensor([0, 0, 1]), 2).item() == pytest.approx(3.0)
