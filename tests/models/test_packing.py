"""Texts that share a row are read as if each stood alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from rounding import assert_same_but_for_rounding
from torch.nn.functional import cross_entropy
from transformers import Lfm2Config, Lfm2ForCausalLM, LlamaConfig, LlamaForCausalLM
from window_model import window_llm

from atu.errors import UserError
from atu.models.hook import final_hidden_states, logits_from_hidden
from atu.models.language_model import LanguageModel, wrap
from atu.models.packing import can_pack, check_packing, pack, pack_batch, packed_states, read_layout, unpack
from atu.models.rows import Row, build_rows, collate
from atu.records import Text

CHAT = [("Who wrote Hamlet?", "Shakespeare."), ("Where is Tokyo?", "In Japan, far away."), ("Who?", "He.")]
PLAIN = ["Water boils at 100 degrees.", "Paris.", "The capital of Japan is Tokyo."]


def chat_rows(llm: LanguageModel) -> list[Row]:
    texts = [Text(text=answer, subject="x", source="test", prompt=prompt) for prompt, answer in CHAT]
    return build_rows(llm, texts, max_tokens=64)


def plain_rows(llm: LanguageModel) -> list[Row]:
    return build_rows(llm, [Text(text=text, subject="x", source="test") for text in PLAIN], max_tokens=64)


def test_layout_by_hand() -> None:
    # Two rows that begin with 7 8; tokens are predicted from place 2 of the first and place 3 of the second on.
    first = Row((7, 8, 1, 2), (1, 2, 3, 4), "abcd", 2, "x")
    second = Row((7, 8, 3, 4, 5), (1, 2, 3, 4, 5), "abefg", 3, "x")
    packed = pack([first, second], device="cpu")
    assert packed.layout.ids.tolist() == [[7, 8, 1, 2, 3, 4, 5]]
    assert packed.layout.places.tolist() == [[0, 1, 2, 3, 2, 3, 4]]
    assert packed.layout.index.tolist() == [[0, 1, 2, 3, 0], [0, 1, 4, 5, 6]]
    assert packed.labels.tolist() == [1, 2, 4, 5]
    assert packed.before.tolist() == [1, 2, 4, 5]  # token 1 is predicted from the common 8
    assert packed.text.tolist() == [0, 0, 1, 1]
    assert packed.layout.mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 0, 0, 1, 0, 0],
        [1, 1, 0, 0, 1, 1, 0],
        [1, 1, 0, 0, 1, 1, 1],
    ]


@pytest.mark.parametrize("make", [chat_rows, plain_rows])
def test_states_are_those_of_each_text_alone(tiny_llm: LanguageModel, make: object) -> None:
    rows = make(tiny_llm)  # type: ignore[operator]
    check_packing(tiny_llm, rows)
    packed = pack(rows, device="cpu")
    if make is chat_rows:
        # "<|im_start|>user\n" comes once instead of three times: the special token, 4 letters, a line feed.
        assert packed.layout.ids.shape[1] == sum(len(row.ids) for row in rows) - 2 * 6
    with torch.no_grad():
        found = packed_states(tiny_llm, packed)
        for number, row in enumerate(rows):
            ids = torch.tensor([row.ids])
            alone = final_hidden_states(tiny_llm.model, ids, torch.ones_like(ids))[0, row.first_scored - 1 : -1]
            torch.testing.assert_close(found[packed.text == number], alone, rtol=1e-4, atol=1e-4)
            assert packed.labels[packed.text == number].tolist() == list(row.ids[row.first_scored :])


def test_a_batch_comes_back_in_its_padded_shape(tiny_llm: LanguageModel) -> None:
    rows = chat_rows(tiny_llm)
    batch = collate(rows, [2, 0, 1], pad_id=tiny_llm.pad_id, device="cpu")
    layout = pack_batch(batch)
    assert layout.ids.shape[1] < int(batch.is_token.sum())
    with torch.no_grad():
        found = unpack(read_layout(tiny_llm, layout), layout)
        padded = final_hidden_states(tiny_llm.model, batch.ids, batch.is_token)
    assert found.shape == padded.shape
    torch.testing.assert_close(found[batch.is_token], padded[batch.is_token], rtol=1e-4, atol=1e-4)


def test_gradients_are_those_of_a_padded_batch(tiny_llm: LanguageModel) -> None:
    model = LlamaForCausalLM(tiny_llm.model.config)
    llm = wrap(model, tiny_llm.tokenizer, label="tiny")
    rows = chat_rows(llm)
    packed = pack(rows, device="cpu")
    cross_entropy(logits_from_hidden(model, packed_states(llm, packed)), packed.labels).backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()
    batch = collate(rows, [0, 1, 2], pad_id=llm.pad_id, device="cpu")
    hidden = final_hidden_states(model, batch.ids, batch.is_token)
    logits = logits_from_hidden(model, hidden[:, :-1][batch.is_scored[:, 1:]])
    cross_entropy(logits, batch.ids[batch.is_scored]).backward()
    for name, parameter in model.named_parameters():
        assert_same_but_for_rounding(found[name], parameter.grad, name, parts=1e-4)


def states_apart(llm: LanguageModel, rows: list[Row]) -> float:
    """How far states of packed rows lie from those of each row alone, relative to these: mean over the last row."""
    packed = pack(rows, device="cpu")
    ids = torch.tensor([rows[-1].ids])
    with torch.no_grad():
        found = packed_states(llm, packed)[packed.text == len(rows) - 1]
        alone = final_hidden_states(llm.model, ids, torch.ones_like(ids))[0, rows[-1].first_scored - 1 : -1]
    return float((found - alone).abs().mean() / alone.abs().mean())


def test_a_row_longer_than_a_window_of_attention_is_not_packed(tiny_folder: Path) -> None:
    """Packed it would be read without its window. The first rows are all shorter."""
    llm = window_llm(tiny_folder, window=40)
    long = Text(text="The capital of Japan is Tokyo; " * 8, subject="x", source="test")
    short = plain_rows(llm) * 6
    rows = [*short, *build_rows(llm, [long], max_tokens=200)]
    assert max(len(row.ids) for row in short) <= 40 < len(rows[-1].ids)
    assert states_apart(llm, rows) > 0.05
    assert not can_pack(llm, rows)
    assert can_pack(llm, short)
    assert states_apart(llm, short) < 1e-5


def test_a_model_that_reads_otherwise_than_by_attention_is_not_packed(tiny_llm: LanguageModel) -> None:
    """A block with a convolution over the row would mix its texts."""
    config = Lfm2Config(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention"],
        eos_token_id=2,
        pad_token_id=2,
    )
    llm = wrap(Lfm2ForCausalLM(config), tiny_llm.tokenizer, label="conv")
    assert not can_pack(llm, plain_rows(llm))


def test_a_model_that_makes_its_own_mask_is_refused(tiny_llm: LanguageModel) -> None:
    class Deaf(LlamaForCausalLM):
        """Reads everything before, whatever it is told."""

        def __init__(self, config: LlamaConfig) -> None:
            super().__init__(config)
            whole = self.model.forward
            self.model.forward = lambda **given: whole(**{**given, "attention_mask": None})

    llm = wrap(Deaf(tiny_llm.model.config), tiny_llm.tokenizer, label="deaf")
    with pytest.raises(UserError, match=r"'deaf' reads texts otherwise when they share a row \(Deaf\)"):
        check_packing(llm, chat_rows(llm))
