"""What texts cost a model per token, against its own log-probabilities."""

from __future__ import annotations

import pytest
import torch
from tiny_training import FORGET, rows

from atu.models.language_model import LanguageModel
from atu.models.rows import Row
from atu.training.likelihood import nll_of_texts


def nats(llm: LanguageModel, row: Row) -> float:
    """Mean over the scored tokens of one row, read alone."""
    ids = torch.tensor([row.ids])
    with torch.no_grad():
        logprobs = llm.model(input_ids=ids, use_cache=False).logits[0].log_softmax(dim=-1)
    return -sum(float(logprobs[at - 1, row.ids[at]]) for at in range(row.first_scored, len(row.ids))) / (
        len(row.ids) - row.first_scored
    )


@pytest.mark.parametrize("packed", [True, False])
def test_each_text_weighs_the_same_however_long_it_is(tiny_llm: LanguageModel, packed: bool) -> None:
    texts = rows(tiny_llm, [FORGET[0], "The river is the castle.", " ".join(FORGET[:2])])
    assert len({len(row.ids) for row in texts}) == 3
    expected = sum(nats(tiny_llm, row) for row in texts) / 3
    with torch.no_grad():
        found = float(nll_of_texts(tiny_llm, texts, packed=packed))
    assert found == pytest.approx(expected, rel=1e-5)
