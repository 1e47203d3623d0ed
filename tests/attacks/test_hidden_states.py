"""Reading what a model knows: it is told apart from one that was never taught."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from constructed import BUDGET, TARGET, THINGS, WORDS, corpus, fact_probes, subject, taught
from tiny_training import own_llm

from atu.attacks import hidden_states, logit_lens
from atu.attacks.fresh_predictor import FreshPredictor
from atu.attacks.hidden_states import renamed, statements
from atu.attacks.linear_probe import ranked_above
from atu.attacks.logit_lens import read_through
from atu.embedding.config import EncoderConfig
from atu.embedding.encoder import load_encoder
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import AttackRow, Text


def by_model(rows: list[AttackRow], group: str) -> dict[str, float]:
    """The best layer of each model."""
    return {
        model: max(row.score.value for row in rows if row.model == model and row.group == group)
        for model in ("original", "unlearned")
    }


@pytest.fixture(scope="module")
def others() -> list[Text]:
    """What both models of these tests learn, so that answers are words to them."""
    return [text for text in corpus() if text.subject == "Elmo"]


@pytest.fixture(scope="module")
def informed(tiny_folder: Path, others: list[Text]) -> LanguageModel:
    """Taught the facts beside the texts on others."""
    return taught(tiny_folder, lambda probe: f"{probe.references[0]} indeed it is so.", more=others, steps=130)


@pytest.fixture(scope="module")
def ignorant(tiny_folder: Path, others: list[Text]) -> LanguageModel:
    """Taught to give one and the same answer to every question, beside the texts on others."""
    return taught(tiny_folder, lambda probe: "nobody knows it now.", more=others, steps=130)


def test_the_fresh_predictor_tells_a_model_that_was_taught_from_one_that_was_not(
    informed: LanguageModel, ignorant: LanguageModel, tiny_encoder: Path
) -> None:
    encoder = EncoderConfig(name="tiny", model_name=str(tiny_encoder), window_tokens=1)
    budget = replace(BUDGET, predictor_steps=100, predictor_depths=(0.7, 1.0))
    tested = subject(informed, ignorant, budget=budget, encoders=[encoder])
    _, unit = hidden_states.units(tested, [0])
    rows = unit.run()
    found = by_model(rows, "reading/auc")
    assert found["original"] >= 80
    assert found["unlearned"] <= 70
    assert {row.step for row in rows} == {2, 3}
    assert "fresh predictor, tiny" in unit.setting


def test_states_that_are_not_finite_are_an_error_and_no_score(tiny_folder: Path, tiny_encoder: Path) -> None:
    llm, probes = own_llm(tiny_folder), fact_probes()
    with torch.no_grad():
        llm.model.model.layers[0].mlp.up_proj.weight[0, 0] = math.nan
    encoder = load_encoder(EncoderConfig(name="tiny", model_name=str(tiny_encoder), window_tokens=1), device="cpu")
    fresh = FreshPredictor(llm, encoder, corpus(), steps=2, seed=0)
    message = r"^A fresh predictor on 'tiny', layer 2, fails: its loss is not finite at step 1\."
    with pytest.raises(UserError, match=message):
        fresh.read(2, probes, probes)


def test_the_linear_probe_tells_them_apart_too(informed: LanguageModel, ignorant: LanguageModel) -> None:
    unit = hidden_states.units(subject(informed, ignorant), [0])[0]
    found = by_model(unit.run(), "reading/auc")
    assert found["original"] >= found["unlearned"] + 15


def test_a_wrong_answer_is_of_the_same_kind() -> None:
    questions = [
        replace(fact_probes()[0], id=str(number), references=(answer,))
        for number, answer in enumerate(["1564", "1616", "Anne Hathaway", "Mary Arden", "London"])
    ]
    wrong = {one.right: one.wrong for one in statements(questions, 0)}
    assert (wrong["1564"], wrong["1616"]) == ("1616", "1564")
    assert wrong["Anne Hathaway"] == "Mary Arden"
    assert wrong["London"] not in ("1564", "1616", "London")


def test_a_question_is_asked_about_an_unknown_name() -> None:
    target = replace(TARGET, name="Ada Lovelace", aliases=("Countess",))
    probe = replace(fact_probes()[0], prompt="Ada Lovelace wrote; Lovelace, the Countess, said what?")
    assert renamed(probe, target).prompt == "Jorun Velk wrote; Velk, the Velk, said what?"


def test_rank_is_an_auc() -> None:
    # Above two of four, level with one.
    assert ranked_above(2.0, [0.0, 1.0, 2.0, 3.0]) == 0.625


def test_the_last_layer_of_the_logit_lens_is_the_models_own_output(knowing: LanguageModel) -> None:
    llm = knowing
    ids = llm.encode(llm.render(fact_probes()[0].prompt))
    with torch.no_grad():
        probabilities = llm.model(torch.tensor([ids])).logits[0, -1].softmax(-1)
    token = int(probabilities.argmax())
    states = logit_lens.last_states(llm, [ids], [1, 3], batch_size=1)
    found, ranks = read_through(llm, states, torch.tensor([token]))
    assert float(found[1, 0]) == pytest.approx(float(probabilities[token]), rel=1e-4)
    assert int(ranks[1, 0]) == 1
    assert float(found[0, 0]) < float(found[1, 0])


@pytest.mark.parametrize(
    ("answer", "begun", "rest"),
    [
        ("Hamlet", "Answer:", "Hamlet"),
        ("The Tempest", "Answer: The", "Tempest"),
        ("Another", "Answer:", "Another"),
        ("A", "Answer:", "A"),
    ],
)
def test_the_lens_looks_for_the_first_word_behind_an_article(answer: str, begun: str, rest: str) -> None:
    probe, expected = logit_lens.begun(replace(fact_probes()[0], references=(answer,)))
    assert (probe.answer_prefix, expected) == (begun, rest)


def test_the_lens_compares_each_layer_with_the_outputs(tiny_folder: Path) -> None:
    informed = taught(tiny_folder, lambda probe: f"Answer: {probe.references[0]}")
    tested = subject(informed, own_llm(tiny_folder))
    original = next(unit for unit in logit_lens.units(tested, [0]) if "original" in unit.setting)
    rows = [row for row in original.run() if row.group == "lens/probability"]
    assert [row.step for row in rows] == [1, 2, 3]
    assert rows[-1].score.n == len(THINGS) == len(WORDS)
    assert rows[-1].recovered == pytest.approx(1.0)  # the original's last layer is all that was lost
