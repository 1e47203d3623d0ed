"""Texts as token rows, by hand: one character a token where nothing else is said."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.models.rows import Row, batch_indices, build_row, build_rows, collate
from atu.records import Text


def text(body: str, prompt: str | None = None) -> Text:
    return Text(text=body, subject="Ann", source="test", prompt=prompt)


def of_ends(*ends: int, body_start: int = 0) -> Row:
    return Row(ids=tuple(range(10, 10 + len(ends))), ends=ends, string="x" * 20, body_start=body_start, subject="Ann")


@pytest.mark.parametrize(
    ("row", "first"),
    [
        (of_ends(2, 5, 8), 1),  # prose: the first token of all has no context
        (of_ends(0, 2, 5), 1),  # the same after a BOS, which ends at 0
        (of_ends(4, 7, 9, 12, body_start=7), 2),  # a prompt of 7 characters in two tokens
        (of_ends(4, 8, 12, body_start=7), 1),  # the second token reaches from the prompt into the text
    ],
)
def test_the_first_token_that_is_predicted(row: Row, first: int) -> None:
    assert row.first_scored == first


def test_prose_is_its_tokens_and_where_each_ends(tiny_llm: LanguageModel) -> None:
    row = build_row(tiny_llm, text("To be"), max_tokens=10)
    assert tiny_llm.tokenizer.decode(list(row.ids)) == "To be"
    assert (row.string, row.body_start, row.subject) == ("To be", 0, "Ann")
    assert row.ends[-1] == 5
    pieces = ["To be"[a:b] for a, b in zip((0, *row.ends), row.ends, strict=False)]
    assert pieces == [tiny_llm.tokenizer.decode([token]) for token in row.ids]


def test_an_answer_is_scored_after_its_question_and_up_to_its_end_token(tiny_llm: LanguageModel) -> None:
    row = build_row(tiny_llm, text("Ann.", prompt="Who?"), max_tokens=100)
    head = tiny_llm.render("Who?")
    assert row.string == head + "Ann."
    assert row.body_start == len(head)
    assert tiny_llm.tokenizer.decode(list(row.ids[row.first_scored :])) == "Ann.<|im_end|>"
    assert row.ids[-1] == tiny_llm.end_ids[0]
    assert row.ends[-2:] == (len(row.string), len(row.string) + 1)


def test_a_long_text_is_cut(tiny_llm: LanguageModel) -> None:
    whole = build_row(tiny_llm, text("Shakespeare wrote Hamlet."), max_tokens=100)
    cut = build_row(tiny_llm, text("Shakespeare wrote Hamlet."), max_tokens=3)
    assert (cut.ids, cut.ends) == (whole.ids[:3], whole.ends[:3])


@pytest.mark.parametrize(
    ("body", "prompt", "max_tokens"),
    [
        ("Ann.", "Who is it that came\nto tea?", 5),  # the question alone fills the row
        ("Ann came to tea.", None, 1),
        ("A", None, 100),  # a single token has nothing before it that could predict it
    ],
)
def test_a_text_of_which_nothing_is_predicted(
    tiny_llm: LanguageModel, body: str, prompt: str | None, max_tokens: int
) -> None:
    with pytest.raises(UserError) as caught:
        build_rows(tiny_llm, [text(body, prompt)], max_tokens=max_tokens)
    assert str(caught.value) == (
        f"A text about 'Ann' has no token to predict within data.corpus.max_input_length={max_tokens}: '{body}'."
    )


def test_a_batch_is_padded_on_the_right() -> None:
    rows = [of_ends(1, 2, 3), of_ends(1), of_ends(1, 2, body_start=1)]
    batch = collate(rows, [2, 0], pad_id=99, device="cpu")
    assert batch.indices == (2, 0)
    assert batch.ids.tolist() == [[10, 11, 99], [10, 11, 12]]
    assert batch.is_token.tolist() == [[True, True, False], [True, True, True]]
    assert batch.is_scored.tolist() == [[False, True, False], [False, True, True]]


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    # 6 rows in batches of 2: three steps an epoch
    epochs = [[i for step in range(3 * e, 3 * e + 3) for i in batch_indices(6, 2, step, seed=0)] for e in range(4)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 12), size=st.integers(1, 15), steps=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_every_row_comes_equally_often(rows: int, size: int, steps: int, seed: int) -> None:
    batches = [batch_indices(rows, size, step, seed) for step in range(steps)]
    assert {len(batch) for batch in batches} == {min(size, rows)}
    counts = Counter(i for batch in batches for i in batch)
    assert set(counts) <= set(range(rows))
    often = [counts[i] for i in range(rows)]
    assert max(often) - min(often) <= 1


def test_a_batch_is_a_function_of_its_arguments() -> None:
    assert batch_indices(50, 8, 7, seed=3) == batch_indices(50, 8, 7, seed=3)
    assert batch_indices(50, 8, 7, seed=3) != batch_indices(50, 8, 7, seed=4)


@pytest.mark.parametrize("prompt", [None, "What is it?"])
def test_a_text_of_a_megabyte_gives_the_row_of_its_beginning(tiny_llm: LanguageModel, prompt: str | None) -> None:
    text = "The river is a castle of the letter. " * 30_000
    row = build_row(tiny_llm, Text(text=text, subject="x", source="test", prompt=prompt), max_tokens=64)
    short = build_row(tiny_llm, Text(text=text[:1000], subject="x", source="test", prompt=prompt), max_tokens=64)
    assert (row.ids, row.ends, row.body_start) == (short.ids, short.ends, short.body_start)
    assert len(row.ids) == 64
    assert len(row.string) < 3000


def test_a_long_text_of_few_tokens_is_read_whole(tiny_llm: LanguageModel) -> None:
    text = Text(text="The castle. " + " " * 20_000 + "river", subject="x", source="test")
    ids = tuple(tiny_llm.encode(text.text))
    assert build_row(tiny_llm, text, max_tokens=64).ids == ids[:64]
