"""The sentence encoder: pooling by hand, special tokens where they belong, order kept."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from atu.embedding.config import EncoderConfig
from atu.embedding.encoder import TextEncoder, load_encoder, mean_pool
from atu.embedding.windows import embed_windows
from atu.errors import UserError
from atu.models.rows import Row

TEXTS = ["the river", "a", "Zorblatt is the music of the castle.", "the garden is of silver", "winter"]


@pytest.fixture
def encoder(tiny_encoder: Path) -> TextEncoder:
    return load(tiny_encoder)


def load(
    folder: Path, batch_size: int = 256, window_tokens: int = 3, min_window_tokens: int | None = None
) -> TextEncoder:
    config = EncoderConfig(
        name="tiny",
        model_name=str(folder),
        batch_size=batch_size,
        window_tokens=window_tokens,
        min_window_tokens=min_window_tokens,
    )
    return load_encoder(config, device="cpu")


def test_mean_pool_by_hand() -> None:
    hidden = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [9.0, 9.0]], [[0.0, 2.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    # (0.5, 1.5) of length sqrt(2.5), and (0, 2)
    expected = torch.tensor([[0.5 / math.sqrt(2.5), 1.5 / math.sqrt(2.5)], [0.0, 1.0]])
    torch.testing.assert_close(mean_pool(hidden, mask), expected)


def test_tokens_and_where_each_begins(encoder: TextEncoder) -> None:
    ids, starts = encoder.token_offsets("the river is a xy")
    assert encoder.tokenizer.convert_ids_to_tokens(ids) == ["the", "river", "is", "a", "x", "##y"]
    assert starts == [0, 4, 10, 13, 15, 16]


@torch.no_grad()
def test_a_sentence_stands_between_the_special_tokens_and_a_bare_window_does_not(encoder: TextEncoder) -> None:
    ids, _ = encoder.token_offsets("the river")
    begin, end = encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id
    for form, whole in (("sentence", [begin, *ids, end]), ("bare", ids)):
        hidden = encoder.model(torch.tensor([whole])).last_hidden_state[0]
        expected = torch.nn.functional.normalize(hidden.mean(0), dim=0)
        torch.testing.assert_close(encoder.embed_ids([ids], form=form)[0], expected)  # type: ignore[arg-type]


def test_texts_of_all_lengths_come_in_the_order_given(encoder: TextEncoder, tiny_encoder: Path) -> None:
    alone = torch.cat([encoder.embed_texts([text]) for text in TEXTS])
    torch.testing.assert_close(encoder.embed_texts(TEXTS), alone, rtol=1e-5, atol=1e-5)
    in_pairs = load(tiny_encoder, batch_size=2).embed_texts(TEXTS)
    torch.testing.assert_close(in_pairs, alone, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(alone.norm(dim=-1), torch.ones(5))


def test_progress_counts_rows(tiny_encoder: Path) -> None:
    calls: list[tuple[int, int]] = []
    load(tiny_encoder, batch_size=2).embed_ids(
        [[4], [5, 6], [7], [8], [9]], form="bare", progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(2, 5), (4, 5), (5, 5)]


def test_no_rows_no_embeddings(encoder: TextEncoder) -> None:
    assert encoder.embed_ids([], form="sentence").shape == (0, 32)


def test_it_is_frozen(encoder: TextEncoder) -> None:
    assert not encoder.model.training
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())
    assert encoder.model.dtype == torch.float32


def test_more_tokens_than_it_reads_are_refused(encoder: TextEncoder) -> None:
    # 512 positions, of which a sentence leaves two to its special tokens
    assert encoder.max_tokens == 512
    assert encoder.embed_ids([[4] * 510], form="sentence").shape == (1, 32)
    with pytest.raises(UserError, match="reads at most 512 tokens at once, but is given 513: lower text_encoder"):
        encoder.embed_ids([[4] * 511], form="sentence")


def damaged(folder: Path, target: Path, damage: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    """A copy of the encoder with other weights."""
    copy = Path(shutil.copytree(folder, target))
    tensors = load_file(copy / "model.safetensors")
    damage(tensors)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    return copy


def test_windows_embedded_by_other_weights_are_not_found_again(tiny_encoder: Path, tmp_path: Path, cache: Path) -> None:
    row = Row(ids=(1,), ends=(0,), string="the river is a castle", body_start=0, subject="x")
    first = embed_windows(load(tiny_encoder), [row])
    # The same name and place, but retrained.
    place = damaged(tiny_encoder, tmp_path / "place", lambda t: t["encoder.layer.0.output.dense.weight"].mul_(3))
    other = embed_windows(load(place), [row])
    assert not torch.allclose(first.embeddings, other.embeddings, atol=1e-3)
    again = embed_windows(load(Path(shutil.copytree(tiny_encoder, tmp_path / "moved"))), [row])
    assert torch.equal(again.embeddings, first.embeddings)
    assert len(list(cache.rglob("*.safetensors"))) == 2


def test_windows_embedded_under_another_config_are_not_found_again(tiny_encoder: Path, tmp_path: Path) -> None:
    row = Row(ids=(1,), ends=(0,), string="the river is a castle", body_start=0, subject="x")
    first = embed_windows(load(tiny_encoder), [row])
    place = Path(shutil.copytree(tiny_encoder, tmp_path / "place"))
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1.0}))
    assert not torch.allclose(first.embeddings, embed_windows(load(place), [row]).embeddings, atol=1e-3)


def test_each_distinct_window_is_embedded_once(encoder: TextEncoder) -> None:
    # Windows of 3: "the river is" and "river is a" in both texts, "is a castle" in the first.
    texts = ["the river is a castle", "the river is a"]
    rows = [Row(ids=(1, 2, 3, 4), ends=(0, 3, 9, 12), string=text, body_start=0, subject="x") for text in texts]
    windows = embed_windows(encoder, rows)
    assert [places.tolist() for places in windows.index] == [[0, 1, 2, -1], [0, 1, -1, -1]]
    ids, _ = encoder.token_offsets("river is a")
    torch.testing.assert_close(windows.embeddings[1], encoder.embed_ids([ids], form="sentence")[0])


def test_windows_end_with_their_text_down_to_the_shortest(tiny_encoder: Path) -> None:
    # Tokens end at 0, 3, 9, 12 and 21, so what follows each has 5, 4, 3, 2 and no tokens of "the river is a castle".
    row = Row(ids=(1, 2, 3, 4, 5), ends=(0, 3, 9, 12, 21), string="the river is a castle", body_start=0, subject="x")
    full = embed_windows(load(tiny_encoder), [row])
    assert full.index[0].tolist() == [0, 1, 2, -1, -1]
    encoder = load(tiny_encoder, min_window_tokens=2)
    shorter = embed_windows(encoder, [row])
    assert shorter.index[0].tolist() == [0, 1, 2, 3, -1]
    torch.testing.assert_close(shorter.embeddings[:3], full.embeddings)
    ids, _ = encoder.token_offsets("a castle")
    torch.testing.assert_close(shorter.embeddings[3], encoder.embed_ids([ids], form="sentence")[0])


def test_the_end_of_a_question_has_the_window_of_its_short_answer(tiny_encoder: Path) -> None:
    # Two tokens of the prompt, two of the answer "a castle", and the end of the turn, behind which nothing is.
    row = Row(ids=(1, 2, 3, 4, 5), ends=(4, 7, 8, 15, 16), string="Q: x\nA:a castle", body_start=7, subject="x")
    encoder = load(tiny_encoder, min_window_tokens=1)
    windows = embed_windows(encoder, [row])
    assert windows.index[0].tolist() == [-1, 0, 1, -1, -1]
    ids, _ = encoder.token_offsets("a castle")
    torch.testing.assert_close(windows.embeddings[0], encoder.embed_ids([ids], form="sentence")[0])


def test_windows_longer_than_every_text(tiny_encoder: Path) -> None:
    row = Row(ids=(1,), ends=(0,), string="the river", body_start=0, subject="x")
    with pytest.raises(UserError, match=r"text_encoder\.window_tokens=3 is longer than every text of the corpus"):
        embed_windows(load(tiny_encoder), [row])


def test_a_pooler_may_be_missing_and_nothing_else(tiny_encoder: Path, tmp_path: Path) -> None:
    def drop(name: str) -> Callable[[dict[str, torch.Tensor]], None]:
        return lambda tensors: [tensors.pop(key) for key in list(tensors) if key.startswith(name)].clear()

    bare = load(damaged(tiny_encoder, tmp_path / "bare", drop("pooler")))
    torch.testing.assert_close(bare.embed_texts(TEXTS), load(tiny_encoder).embed_texts(TEXTS))
    with pytest.raises(UserError, match=r"are incomplete: 1 tensor is missing, such as embeddings\.word_embeddings"):
        load(damaged(tiny_encoder, tmp_path / "holed", drop("embeddings.word_embeddings")))


def test_a_cut_weights_file_is_an_error_of_one_line(tiny_encoder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_encoder, tmp_path / "cut"))
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"^text_encoder 'tiny' cannot be loaded from ") as caught:
        load(copy)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^text_encoder\.model_name: there is no folder {tmp_path}/none\. Give"):
        load(tmp_path / "none")
