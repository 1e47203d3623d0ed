"""Windows placed by character offsets, by hand."""

from __future__ import annotations

import torch

from atu.embedding.target import calibrated_threshold, center
from atu.embedding.windows import Windows, window_starts
from atu.models.rows import Row

# "To be or not": LLM tokens "To| be| or| not" end at 2, 5, 8, 12; encoder tokens begin at 0, 3, 6, 9.
ROW = Row(ids=(1, 2, 3, 4), ends=(2, 5, 8, 12), string="To be or not", body_start=0, subject="x")
STARTS = [0, 3, 6, 9]


def test_a_window_begins_after_the_token_just_read() -> None:
    assert window_starts(ROW, STARTS, k=1) == [1, 2, 3, -1]


def test_only_full_windows_count() -> None:
    assert window_starts(ROW, STARTS, k=2) == [1, 2, -1, -1]
    assert window_starts(ROW, STARTS, k=5) == [-1, -1, -1, -1]


def test_a_token_that_ends_inside_an_encoder_token_takes_the_next_one() -> None:
    # LLM tokens "T|o b|e ..." : the first ends inside "To", the second inside "be"
    row = Row(ids=(1, 2), ends=(1, 4), string="To be or not", body_start=0, subject="x")
    assert window_starts(row, STARTS, k=1) == [1, 2]


def test_in_a_chat_row_windows_begin_at_the_last_prompt_token() -> None:
    # prompt "Q: x\nA:" has 7 characters; its tokens end at 4 and 7, the answer's at 9 and 12
    row = Row(ids=(1, 2, 3, 4), ends=(4, 7, 9, 12), string="Q: x\nA:To be", body_start=7, subject="x")
    assert window_starts(row, [0, 3], k=1) == [-1, 0, 1, -1]


def test_subset_and_flat_view() -> None:
    windows = Windows(torch.eye(3), (torch.tensor([0, -1]), torch.tensor([2, 1])))
    assert torch.equal(windows.subset([1]).of_rows(), torch.eye(3)[[2, 1]])
    assert torch.equal(windows.of_rows(), torch.eye(3)[[0, 2, 1]])


def test_center_removes_the_mean_and_keeps_unit_length() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    centered = center(embeddings, embeddings.mean(dim=0))
    # (0.5, -0.5) and (-0.5, 0.5), scaled
    assert torch.allclose(centered, torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) / 2**0.5)


def test_threshold_is_the_percentile_of_others_cosines() -> None:
    concept = torch.tensor([1.0, 0.0])
    cosines = torch.linspace(0.0, 1.0, 101)
    others = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1)
    assert abs(calibrated_threshold(others, concept, 95.0) - 0.95) < 1e-6
