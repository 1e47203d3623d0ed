"""Fitting the predictor, and judging it against a constant that ignores the input."""

from __future__ import annotations

import math

import pytest
import torch
from tiny_training import HOOK_LAYER, RETAIN, predictor, rows
from torch import Tensor
from torch.nn.functional import normalize

from atu.embedding.predictor import Predictor
from atu.embedding.windows import Windows
from atu.methods.align import AlignData, align_losses, best_constant, hook_states, judge_predictor
from atu.methods.losses import contrastive_loss
from atu.methods.references import reference_states
from atu.models.language_model import LanguageModel

CPU = torch.device("cpu")
LENGTHS = (5, 3, 4)


def states(seed: int = 0) -> tuple[Tensor, ...]:
    """Hidden states of three texts of 5, 3 and 4 tokens."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(length, 64, generator=generator) for length in LENGTHS)


def predictions(predictor: Predictor, hidden: tuple[Tensor, ...]) -> list[Tensor]:
    predictor.eval()
    with torch.no_grad():
        return [predictor(h[None], torch.ones(1, len(h), dtype=torch.bool))[0] for h in hidden]


def predicted_data(predictor: Predictor, order: list[int]) -> AlignData:
    """Data whose true windows are the predictor's own predictions, dealt out in another order.

    The last position of each text has no window.
    """
    hidden = states()
    embeddings = torch.cat([p[:-1] for p in predictions(predictor, hidden)])  # 4 + 2 + 3 windows
    index = torch.tensor(order).split([4, 2, 3])
    places = tuple(torch.cat([part, torch.tensor([-1])]) for part in index)
    return AlignData(hidden, Windows(embeddings, places), torch.zeros(32))


def test_a_perfect_predictor_has_cosine_one_and_finds_every_window() -> None:
    judged = predictor()
    signals = judge_predictor(judged, predicted_data(judged, list(range(9))), torch.eye(32)[0], device=CPU)
    assert signals["align/held_out_cosine"] == pytest.approx(1.0, abs=1e-5)
    assert signals["align/retrieval_top1"] == 1.0


def test_windows_of_other_positions_are_not_found() -> None:
    judged = predictor()
    shifted = [*range(1, 9), 0]
    signals = judge_predictor(judged, predicted_data(judged, shifted), torch.eye(32)[0], device=CPU)
    assert signals["align/retrieval_top1"] == 0.0
    p = torch.cat([part[:-1] for part in predictions(judged, states())])
    assert signals["align/held_out_cosine"] == pytest.approx((p * p[shifted]).sum(-1).mean().item(), abs=1e-5)


def test_two_of_nine_in_each_others_place() -> None:
    judged = predictor()
    swapped = [1, 0, 2, 3, 4, 5, 6, 7, 8]
    signals = judge_predictor(judged, predicted_data(judged, swapped), torch.eye(32)[0], device=CPU)
    assert signals["align/retrieval_top1"] == pytest.approx(7 / 9)


def test_identical_windows_count_as_one() -> None:
    judged = predictor()
    signals = judge_predictor(judged, predicted_data(judged, [4] * 9), torch.eye(32)[0], device=CPU)
    assert signals["align/retrieval_top1"] == 1.0


def test_the_constant_is_scored_on_the_same_windows() -> None:
    # Windows along two axes, 6 and 3 of nine: cosines to the first axis are 1 and 0.
    places = (torch.tensor([0, 0, 0, 0, -1]), torch.tensor([0, 1, -1]), torch.tensor([0, 1, 1, -1]))
    data = AlignData(states(), Windows(torch.eye(32)[:2], places), torch.zeros(32))
    signals = judge_predictor(predictor(), data, torch.eye(32)[0], device=CPU)
    assert signals["align/constant_cosine"] == pytest.approx(6 / 9)


def test_the_best_constant_is_the_mean_direction_of_all_positions() -> None:
    # three positions along the first axis, one along the second: (3, 1) / sqrt(10)
    windows = Windows(torch.eye(2), (torch.tensor([0, 0, -1]), torch.tensor([0, 1])))
    constant = best_constant(windows, torch.zeros(2))
    assert constant.tolist() == pytest.approx([3 / math.sqrt(10), 1 / math.sqrt(10)])


def test_the_best_constant_lives_in_the_centred_space() -> None:
    # less the mean (0.5, 0): (0.5, 0) and (-0.5, 1), scaled to (1, 0) and (-1, 2) / sqrt(5)
    windows = Windows(torch.eye(2), (torch.tensor([0, 1]),))
    expected = normalize(torch.tensor([1 - 1 / math.sqrt(5), 2 / math.sqrt(5)]), dim=0)
    torch.testing.assert_close(best_constant(windows, torch.tensor([0.5, 0.0])), expected)


def test_the_alignment_loss_counts_positions_with_a_window_alone() -> None:
    fitted = predictor().eval()
    embeddings = normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(5)), dim=-1)
    index = (torch.tensor([0, -1, 1, -1, -1]), torch.tensor([-1, 1, -1]), torch.tensor([-1] * 4))
    data = AlignData(states(), Windows(embeddings, index), torch.zeros(32))
    p = predictions(fitted, data.hidden)
    cosines = [(p[0][0] @ embeddings[0]), (p[0][2] @ embeddings[1]), (p[1][1] @ embeddings[1])]
    losses = align_losses(fitted, data, [0, 1, 2], contrastive_weight=0.0, device=CPU)
    assert set(losses) == {"total", "align/alignment"}
    expected = 1 - torch.stack(cosines).mean()
    torch.testing.assert_close(losses["total"], expected, rtol=1e-5, atol=1e-5)


def test_padding_and_the_company_in_a_batch_change_nothing() -> None:
    fitted = predictor().eval()
    data = predicted_data(fitted, list(range(9)))
    alone = align_losses(fitted, data, [1], contrastive_weight=0.0, device=CPU)["total"]
    assert alone.item() == pytest.approx(0.0, abs=1e-5)
    together = align_losses(fitted, data, [0, 1, 2], contrastive_weight=0.0, device=CPU)["total"]
    assert together.item() == pytest.approx(0.0, abs=1e-5)


def test_the_contrastive_part_is_added_by_its_weight() -> None:
    fitted = predictor().eval()
    data = predicted_data(fitted, [*range(1, 9), 0])
    losses = align_losses(fitted, data, [0, 1, 2], contrastive_weight=0.25, device=CPU)
    p = torch.cat([part[:-1] for part in predictions(fitted, data.hidden)])
    expected = contrastive_loss(p, p.roll(-1, 0), torch.arange(9).roll(-1))
    torch.testing.assert_close(losses["align/contrastive"], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses["total"], losses["align/alignment"] + 0.25 * losses["align/contrastive"])


def test_the_contrastive_part_knows_windows_that_are_the_same() -> None:
    # Everywhere one of two windows: each position is told from those of the other window alone.
    fitted = predictor().eval()
    data = predicted_data(fitted, [0, 1, 0, 1, 1, 0, 0, 1, 0])
    losses = align_losses(fitted, data, [0, 1, 2], contrastive_weight=1.0, device=CPU)
    p = torch.cat([part[:-1] for part in predictions(fitted, data.hidden)])
    scores = p @ data.windows.embeddings[:2].T / 0.07
    window, count = torch.tensor([0, 1, 0, 1, 1, 0, 0, 1, 0]), torch.tensor([5, 4])
    own, other = scores[torch.arange(9), window], scores[torch.arange(9), 1 - window]
    expected = (own.exp() + count[1 - window] * other.exp()).log() - own
    torch.testing.assert_close(losses["align/contrastive"], expected.mean(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("packed", "frozen_blocks"), [(False, 0), (True, 0), (True, 1)])
def test_hook_states_are_the_models_own(tiny_llm: LanguageModel, packed: bool, frozen_blocks: int) -> None:
    texts = rows(tiny_llm, ["Short.", *RETAIN[:2]])
    before = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER, frozen_blocks=frozen_blocks)
    found = hook_states(tiny_llm, texts, hook_layer=HOOK_LAYER, packed=packed, known=before)
    for row, hidden in zip(texts, found, strict=True):
        alone = tiny_llm.model(torch.tensor([row.ids]), output_hidden_states=True).hidden_states[HOOK_LAYER][0]
        torch.testing.assert_close(hidden, alone.detach(), rtol=1e-4, atol=1e-4)
    assert not any(hidden.requires_grad for hidden in found)


def test_true_windows_of_a_batch_are_centred() -> None:
    mean = torch.zeros(32)
    mean[0] = 0.5
    data = AlignData(
        states(), Windows(torch.eye(32)[:2], tuple(torch.ones(n, dtype=torch.long) for n in LENGTHS)), mean
    )
    _, is_token, true, window = data.batch([1, 0], CPU)
    assert is_token.sum(dim=1).tolist() == [3, 5]
    assert window.tolist() == [[1, 1, 1, -1, -1], [1] * 5]
    # the second axis less the mean: (-0.5, 1, 0, ...), scaled
    assert true[0, 0, :3].tolist() == pytest.approx([-1 / math.sqrt(5), 2 / math.sqrt(5), 0.0])
