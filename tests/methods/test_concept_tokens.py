"""Which tokens speak of the concept, counted by hand."""

from __future__ import annotations

from atu.methods.concept_tokens import find_concept_tokens
from atu.models.rows import Row

FILLER = 0


def row(*ids: int, prompt: int = 0) -> Row:
    """A text of one character a token, after `prompt` tokens of a question and a first token without context."""
    ends = tuple(range(len(ids) + 1))
    return Row(ids=(FILLER, *ids), ends=ends, string="x" * len(ids), body_start=prompt, subject="x")


def texts(token: int, count: int, total: int) -> list[Row]:
    """`total` texts, of which `count` hold the token."""
    return [row(token) if i < count else row(FILLER) for i in range(total)]


def test_frequent_here_and_absent_there() -> None:
    # 4 of 10 texts; a token that 60 others lack counts as one in 60: 0.4 >= 4 / 60
    assert find_concept_tokens(texts(7, 4, 10), texts(7, 0, 60)) == (7,)


def test_four_times_as_frequent_is_enough_and_less_is_not() -> None:
    # share 1.0 here; 14 of 60 there makes 4 * 0.233 = 0.93, 16 of 60 makes 1.07
    assert find_concept_tokens(texts(7, 10, 10), texts(7, 14, 60)) == (7,)
    assert find_concept_tokens(texts(7, 10, 10), texts(7, 16, 60)) == ()


def test_a_token_of_two_texts_is_an_accident() -> None:
    assert find_concept_tokens(texts(7, 3, 10), texts(7, 0, 600)) == (7,)
    assert find_concept_tokens(texts(7, 2, 10), texts(7, 0, 600)) == ()


def test_so_is_a_token_of_less_than_two_percent_of_the_texts() -> None:
    # 3 of 150 is 2%, 3 of 151 less
    assert find_concept_tokens(texts(7, 3, 150), texts(7, 0, 600)) == (7,)
    assert find_concept_tokens(texts(7, 3, 151), texts(7, 0, 600)) == ()


def test_few_other_texts_prove_nothing() -> None:
    # none of 3 may be as much as 1 in 3, and 4 / 3 is more than all
    assert find_concept_tokens(texts(7, 10, 10), texts(7, 0, 3)) == ()
    assert find_concept_tokens(texts(7, 10, 10), []) == ()


def test_texts_count_not_repetitions() -> None:
    repeated = [row(7, 7, 7, 7), *texts(7, 0, 9)]
    assert find_concept_tokens(repeated, texts(7, 0, 600)) == ()


def test_words_of_the_prompt_are_not_the_concepts() -> None:
    # token 7 stands in every question, token 8 in every answer
    asked = [row(7, 8, prompt=1) for _ in range(10)]
    assert find_concept_tokens(asked, texts(7, 0, 600)) == (8,)


def test_tokens_come_sorted() -> None:
    assert find_concept_tokens([row(9, 3, 5)] * 3, texts(1, 0, 600)) == (3, 5, 9)
