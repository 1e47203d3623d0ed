"""leak@k by hand, and draws that repeat."""

from __future__ import annotations

import pytest
from constructed import fact_probes, subject

from atu.attacks import sample
from atu.attacks.sample import best_of, draw
from atu.models.language_model import LanguageModel


def test_the_expected_best_of_k() -> None:
    # Two of four draws are right. One: 1/2. Two: all wrong in 1 of 6 pairs. Three: never all wrong.
    scores = [0.0, 1.0, 1.0, 0.0]
    assert [best_of(scores, k) for k in (1, 2, 3, 4)] == [0.5, pytest.approx(5 / 6), 1.0, 1.0]
    # Pairs of 0, 0.2, 1: maxima 0.2, 1, 1.
    assert best_of([1.0, 0.0, 0.2], 2) == pytest.approx(2.2 / 3)


def test_draws_repeat_with_their_seed_and_end_with_the_answer(knowing: LanguageModel) -> None:
    prompts = [knowing.encode(knowing.render(probe.prompt)) for probe in fact_probes()[:3]]

    def drawn(seed: int, limit: int = 14) -> list[list[int]]:
        return draw(knowing, prompts, max_new_tokens=[limit] * 3, batch_size=2, seed=seed)

    assert drawn(0) == drawn(0)
    # Learnt by heart, so that sampling says the same as greedy decoding.
    assert [knowing.tokenizer.decode(ids) for ids in drawn(0)] == [
        f"The answer is {word}." for word in ("river", "castle", "garden")
    ]
    assert max(map(len, drawn(1, limit=4))) == 4


def test_curves_over_k_do_not_fall(tiny_llm: LanguageModel, knowing: LanguageModel) -> None:
    tested = subject(knowing, tiny_llm)
    (unit,) = sample.units(tested, [3])
    rows = [row for row in unit.run() if row.group == "forget/recall"]
    assert [row.step for row in rows] == [1, 2]
    assert rows[0].score.value <= rows[1].score.value
    assert rows[0].score.n == tested.budget.max_sampled
    assert "seed 3" in unit.setting
