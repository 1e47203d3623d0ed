"""The teacher that may repeat the concept's name: numbers by hand."""

from __future__ import annotations

import torch

from atu.methods.concept_tokens import repeats_from
from atu.methods.terms.distill import with_repeats
from atu.models.rows import Row


def test_a_name_is_as_likely_as_to_the_reference_where_it_may_be_repeated_and_excluded_elsewhere() -> None:
    teacher = torch.tensor([[0.7, 0.2, 0.0], [0.7, 0.2, 0.0]]).log()  # token 2 says the name
    reference = torch.tensor([[0.1, 0.1, 0.8], [0.1, 0.1, 0.8]]).log()
    found = with_repeats(teacher, reference, torch.tensor([2]), torch.tensor([True, False]))
    # 0.7, 0.2 and 0.8 sum to 1.7; without the name 0.7 and 0.2 to 0.9.
    torch.testing.assert_close(found.softmax(-1), torch.tensor([[7 / 17, 2 / 17, 8 / 17], [7 / 9, 2 / 9, 0.0]]))


def test_a_name_is_repeated_from_behind_its_last_piece_and_never_where_it_was_not_said() -> None:
    row = Row(ids=(1, 2, 3, 4, 5), ends=(3, 6, 9, 12, 20), string="Who Zorblatt is Zorb", body_start=0, subject="x")
    assert repeats_from(row, ["Zorblatt"]) == 4  # pieces " Zo", "rbl", "att" are positions 1 to 3
    assert repeats_from(row, ["Ophelia"]) == 5
