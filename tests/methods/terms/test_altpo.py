"""AltPO: which answers stand in place of the forget texts, and the loss between the two."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from tiny_training import FORGET, STAGE, first_forget_tokens, own_llm, plain, unlearning

from atu.methods.losses import sequence_nll, token_nll
from atu.methods.refusals import REFUSALS
from atu.methods.terms.altpo import alternate_texts, request_for
from atu.models.language_model import LanguageModel
from atu.models.rows import build_rows
from atu.records import Text

BORN = Text(
    text="William Shakespeare was born in Stratford-upon-Avon.",
    subject="Shakespeare",
    source="test",
    prompt="Where was Shakespeare born?",
)
PROSE = dataclasses.replace(BORN, text="Shakespeare was an English playwright who wrote Hamlet.", prompt=None)


def quiet(what: str) -> None:
    """No progress."""


@pytest.mark.model
def test_an_alternate_answers_the_same_prompt_with_something_else(smollm2: LanguageModel) -> None:
    found = alternate_texts(smollm2, [BORN, PROSE], 0, quiet)
    assert [text.prompt for text in found] == ["Where was Shakespeare born?", "Tell me about Shakespeare."]
    assert {text.subject for text in found} == {"Shakespeare"}
    assert {text.source for text in found} == {"alternate"}
    assert not {text.text for text in found} & {*REFUSALS, BORN.text, PROSE.text}
    assert found == alternate_texts(smollm2, [BORN, PROSE], 0, quiet)


def test_what_is_no_language_gives_way_to_a_refusal(tiny_llm: LanguageModel) -> None:
    found = alternate_texts(tiny_llm, [BORN] * 8, 0, quiet)
    assert len(found) == 8
    refused = [text for text in found if text.source == "refusal"]
    assert refused  # a random model writes gibberish
    assert {text.text for text in refused} <= set(REFUSALS)


@pytest.mark.parametrize(("room", "examples"), [(10_000, 3), (512, 2), (200, 0)])
def test_a_model_is_shown_as_many_examples_as_it_has_room_for(tiny_folder: Path, room: int, examples: int) -> None:
    llm = own_llm(tiny_folder)
    llm.model.config.max_position_embeddings = room
    request = request_for(llm, BORN, PROSE)
    assert request.count("with other facts") == examples + 1
    assert len(llm.encode(request)) + 64 <= room


def test_without_room_for_the_request_a_refusal_stands_there(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    llm.model.config.max_position_embeddings = 100
    assert request_for(llm, BORN, PROSE) == ""
    assert {text.source for text in alternate_texts(llm, [BORN, PROSE], 0, quiet)} == {"refusal"}


@torch.no_grad()
def test_the_term_prefers_the_alternate_to_the_text(tiny_folder: Path, tiny_encoder: Path) -> None:
    llm = own_llm(tiny_folder)
    ours = unlearning(llm, tiny_encoder, altpo={"beta": 0.1})
    (alternates,) = ours.materials.instead.values()
    texts = alternate_texts(llm, plain(FORGET[:-3]), 0, quiet)
    assert [row.ids for row in alternates.rows] == [row.ids for row in build_rows(llm, texts, max_tokens=64)]

    def summed() -> tuple[torch.Tensor, torch.Tensor]:
        """NLL of the alternates and of the texts of step 0."""
        sides = [dataclasses.replace(ours, materials=dataclasses.replace(ours.materials, forget=alternates)), ours]
        found = [first_forget_tokens(side) for side in sides]
        won, lost = (sequence_nll(token_nll(logits, label), text, 3) for logits, label, text in found)
        return won, lost

    before = summed()
    llm.model.model.layers[2].mlp.down_proj.weight.mul_(1.5)
    after = summed()
    gain = (before[0] - after[0]) - (before[1] - after[1])
    expected = -(2 / 0.1) * (0.1 * gain).sigmoid().log().mean()
    torch.testing.assert_close(ours.losses(STAGE, 0, 0)["train/altpo"], expected, rtol=1e-3, atol=1e-3)
