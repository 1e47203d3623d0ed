"""The texts of a run: read strictly, and split by their content alone."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from atu.benchmarks.corpus import read_texts, split_corpus
from atu.errors import UserError
from atu.records import Text

FORGET = [Text(text=f"Ann did {i}.", subject="Ann", source="test") for i in range(20)]
RETAIN = [Text(text=f"Bob did {i}.", subject="Bob", source="test") for i in range(30)]


def test_a_share_of_each_side_is_held_out() -> None:
    corpus = split_corpus(FORGET, RETAIN, share=0.1, seed=0)
    assert (len(corpus.forget), len(corpus.held_out_forget)) == (18, 2)
    assert (len(corpus.retain), len(corpus.held_out_retain)) == (27, 3)
    assert set(corpus.forget) | set(corpus.held_out_forget) == set(FORGET)
    assert set(corpus.retain) | set(corpus.held_out_retain) == set(RETAIN)


def test_the_order_of_the_files_plays_no_part() -> None:
    shuffled = random.Random(1).sample(FORGET, len(FORGET))
    assert split_corpus(shuffled, RETAIN[::-1], share=0.2, seed=0) == split_corpus(FORGET, RETAIN, share=0.2, seed=0)


def test_a_further_text_moves_at_most_one_other() -> None:
    before = split_corpus(FORGET, RETAIN, share=0.1, seed=0)
    more = split_corpus([*FORGET, Text(text="Ann slept.", subject="Ann", source="test")], RETAIN, share=0.1, seed=0)
    assert len(set(before.held_out_forget) - set(more.held_out_forget)) <= 1


def test_the_seed_deals_anew() -> None:
    held = {split_corpus(FORGET, RETAIN, share=0.1, seed=seed).held_out_forget for seed in range(5)}
    assert len(held) > 1


@pytest.mark.parametrize(("share", "held"), [(0.001, 1), (0.999, 19)])
def test_at_least_one_text_is_held_out_and_one_kept(share: float, held: int) -> None:
    corpus = split_corpus(FORGET, RETAIN, share=share, seed=0)
    assert (len(corpus.forget), len(corpus.held_out_forget)) == (20 - held, held)


def test_doubles_are_dropped_whatever_their_case_and_spaces() -> None:
    doubles = [
        Text(text="Ann  DID\n3.", subject="Ann", source="test"),
        Text(text="Ann did 3.", subject="Ann", source="elsewhere"),
        Text(text="Ann did 3.", subject="Ann", source="test", prompt="What?"),  # the answer to a question is another
    ]
    corpora = [
        split_corpus(texts, RETAIN, share=0.5, seed=0) for texts in ([*FORGET, *doubles], [*doubles[::-1], *FORGET])
    ]
    assert len(corpora[0].forget) + len(corpora[0].held_out_forget) == 21
    assert [t.text for t in corpora[0].forget] == [t.text for t in corpora[1].forget]


@pytest.mark.parametrize(("forget", "retain", "side"), [(1, 30, r"concept \(forget\)"), (20, 0, r"else \(retain\)")])
def test_a_side_needs_two_texts(forget: int, retain: int, side: str) -> None:
    with pytest.raises(UserError, match=rf"has {min(forget, retain)} different texts .*{side}; at least 2"):
        split_corpus(FORGET[:forget], RETAIN[:retain], share=0.1, seed=0)


def test_rows_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rivers.jsonl"
    path.write_text(
        '{"text": "The Rhine is long.", "subject": "Rhine"}\n\n'
        '{"text": "It is a river.", "prompt": "What is the Elbe?"}\n',
        encoding="utf-8",
    )
    first, second = read_texts(path)
    assert first == Text(text="The Rhine is long.", subject="Rhine", source="jsonl")
    assert second == Text(text="It is a river.", subject="rivers", source="jsonl", prompt="What is the Elbe?")
    assert read_texts(path, subject="a river")[1].subject == "a river"


def test_line_ends_inside_of_a_text_and_a_byte_order_mark_are_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + '{"text": "one\u2028two\u0085three"}\r\n{"text": "four"}'.encode())
    assert [text.text for text in read_texts(path)] == ["one\u2028two\u0085three", "four"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (b"{", r"not valid JSON \(Expecting property name"),
        (b'{"text": "caf\xe9"}', "not UTF-8 text"),
        (b"7", r"expected a JSON object \{\.\.\.\}, found a number"),
        (b"{}", 'with a non-empty string "text"'),
        (b'{"text": 7}', 'with a non-empty string "text"'),
        (b'{"text": "a", "titel": "b", "author": "c"}', "unknown field 'author'; known are text, subject, prompt"),
        (b'{"text": "a", "prompt": null}', '"prompt" must be a string'),
    ],
)
def test_a_broken_row_is_named_by_its_line(tmp_path: Path, row: bytes, fault: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "a"}\n\n' + row + b'\n{"text": "b"}\n')
    with pytest.raises(UserError, match=rf"^{path}, line 3: .*{fault}"):
        read_texts(path)


def test_a_file_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_texts(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n  \n")
    with pytest.raises(UserError, match="is empty: write one JSON object a line"):
        read_texts(tmp_path / "empty.jsonl")
