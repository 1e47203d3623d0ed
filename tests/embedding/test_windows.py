"""Windows placed by character offsets, by hand."""

from __future__ import annotations

import pytest
import torch

from atu.embedding import windows as module
from atu.embedding.target import calibrated_threshold, center
from atu.embedding.windows import Windows, window_starts
from atu.models.rows import Row

# "To be or not": LLM tokens "To| be| or| not" end at 2, 5, 8, 12; encoder tokens begin at 0, 3, 6, 9.
ROW = Row(ids=(1, 2, 3, 4), ends=(2, 5, 8, 12), string="To be or not", body_start=0, subject="x")
STARTS = [0, 3, 6, 9]


def test_a_window_begins_after_the_token_just_read() -> None:
    assert window_starts(ROW, STARTS, shortest=1) == [1, 2, 3, -1]


def test_a_shorter_window_than_asked_for_does_not_count() -> None:
    assert window_starts(ROW, STARTS, shortest=2) == [1, 2, -1, -1]
    assert window_starts(ROW, STARTS, shortest=5) == [-1, -1, -1, -1]


def test_a_token_that_ends_inside_an_encoder_token_takes_the_next_one() -> None:
    # LLM tokens "T|o b|e ..." : the first ends inside "To", the second inside "be"
    row = Row(ids=(1, 2), ends=(1, 4), string="To be or not", body_start=0, subject="x")
    assert window_starts(row, STARTS, shortest=1) == [1, 2]


def test_in_a_chat_row_windows_begin_at_the_last_prompt_token() -> None:
    # prompt "Q: x\nA:" has 7 characters; its tokens end at 4 and 7, the answer's at 9 and 12
    row = Row(ids=(1, 2, 3, 4), ends=(4, 7, 9, 12), string="Q: x\nA:To be", body_start=7, subject="x")
    assert window_starts(row, [0, 3], shortest=1) == [-1, 0, 1, -1]


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_mean_and_scores_count_each_position_that_has_a_window(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    windows = Windows(torch.eye(3), (torch.tensor([0, -1]), torch.tensor([2, 1, 2])))
    assert windows.scores(lambda embeddings: embeddings @ torch.tensor([5.0, 6.0, 7.0])).tolist() == [5, 7, 6, 7]
    assert windows.mean().tolist() == [0.25, 0.25, 0.5]
    assert windows.mean(lambda embeddings: embeddings * torch.tensor([4.0, 8.0, 2.0])).tolist() == [1.0, 2.0, 1.0]
    part = windows.subset([1])
    assert part.mean().tolist() == pytest.approx([0.0, 1 / 3, 2 / 3])
    assert [part.count(0), windows.count(0), windows.count(1)] == [3, 1, 3]
    assert windows.mask([1, 0], 4).tolist() == [[True, True, True, False], [True, False, False, False]]


def test_center_removes_the_mean_and_keeps_unit_length() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    centered = center(embeddings, embeddings.mean(dim=0))
    # (0.5, -0.5) and (-0.5, 0.5), scaled
    assert torch.allclose(centered, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / 2**0.5)


def test_threshold_is_the_percentile_of_others_cosines() -> None:
    concept = torch.tensor([1.0, 0.0])
    cosines = torch.linspace(0.0, 1.0, 101)
    others = Windows(torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1), (torch.arange(101),))
    assert abs(calibrated_threshold(others, torch.zeros(2), concept, 95.0) - 0.95) < 1e-6
    # A window that many positions have counts as often: 100 times the highest of them.
    often = Windows(others.embeddings, (torch.cat([torch.arange(101), torch.full((100,), 100)]),))
    assert abs(calibrated_threshold(often, torch.zeros(2), concept, 95.0) - 1.0) < 1e-6
