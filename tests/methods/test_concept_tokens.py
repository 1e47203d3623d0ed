"""Which words speak of the concept, counted by hand, and their tokens."""

from __future__ import annotations

import re
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from atu.methods.concept_tokens import (
    _positions,
    concept_positions,
    concept_tokens,
    find_concept_words,
    named_positions,
    small_words,
    telling_positions,
)
from atu.models.rows import Row


def row(text: str, prompt: str = "") -> Row:
    """A text in one token, after a prompt in another."""
    string = prompt + text
    return Row(ids=(0, 1), ends=(len(prompt), len(string)), string=string, body_start=len(prompt), subject="x")


def texts(word: str, count: int, total: int) -> list[Row]:
    """`total` texts, of which `count` hold the word."""
    return [row(f"It is {word}." if i < count else "It is.") for i in range(total)]


def test_frequent_here_and_absent_there() -> None:
    # 4 of 10 texts; a word that 60 others lack counts as one in 60: 0.4 >= 8 / 60
    assert find_concept_words(texts("Rome", 4, 10), texts("Rome", 0, 60)) == ("Rome",)


def test_eight_times_as_frequent_is_enough_and_less_is_not() -> None:
    # share 1.0 here; 7 of 60 there makes 8 * 0.117 = 0.93, 8 of 60 makes 1.07
    assert find_concept_words(texts("Rome", 10, 10), texts("Rome", 7, 60)) == ("Rome",)
    assert find_concept_words(texts("Rome", 10, 10), texts("Rome", 8, 60)) == ()


def test_a_word_of_two_texts_is_an_accident() -> None:
    assert find_concept_words(texts("Rome", 3, 10), texts("Rome", 0, 600)) == ("Rome",)
    assert find_concept_words(texts("Rome", 2, 10), texts("Rome", 0, 600)) == ()


def test_so_is_a_word_of_less_than_two_percent_of_the_texts() -> None:
    # 3 of 150 is 2%, 3 of 151 less
    assert find_concept_words(texts("Rome", 3, 150), texts("Rome", 0, 600)) == ("Rome",)
    assert find_concept_words(texts("Rome", 3, 151), texts("Rome", 0, 600)) == ()


def test_few_other_texts_prove_nothing() -> None:
    # none of 7 may be as much as 1 in 7, and 8 / 7 is more than all
    assert find_concept_words(texts("Rome", 10, 10), texts("Rome", 0, 7)) == ()
    assert find_concept_words(texts("Rome", 10, 10), []) == ()


def test_texts_count_not_repetitions() -> None:
    repeated = [row("Rome, Rome, Rome, Rome"), *texts("Rome", 0, 9)]
    assert find_concept_words(repeated, texts("Rome", 0, 600)) == ()


def test_words_of_the_prompt_are_not_the_concepts() -> None:
    asked = [row("Italy", prompt="Where is Rome? ") for _ in range(10)]
    assert find_concept_words(asked, texts("Rome", 0, 600)) == ("Italy",)


def test_a_word_counts_in_any_case_and_is_found_as_it_was_spelled() -> None:
    # 2 + 2 of 10 texts; 8 of 60 others hold it in a third spelling
    spelled = [*texts("Dream", 2, 5), *texts("dream", 2, 5)]
    assert find_concept_words(spelled, texts("DREAM", 0, 60)) == ("Dream", "dream")
    assert find_concept_words(spelled, texts("DREAM", 8, 60)) == ()


def test_short_words_and_numbers_are_everybodys() -> None:
    assert find_concept_words(texts("Po 1564 so", 10, 10), texts("Rome", 0, 600)) == ()


def test_all_tokens_of_a_word_are_found_wherever_it_stands() -> None:
    #                   0    1    2    3    4     5     6     7  and the end of the turn, behind the string
    pieces, string = ("In", " R", "om", "e,", " in", " ro", "me", "!"), "In Rome, in rome!"
    ends = tuple(len("".join(pieces[: i + 1])) for i in range(8))
    split = Row(ids=tuple(range(9)), ends=(*ends, len(string) + 1), string=string, body_start=7, subject="x")
    assert concept_positions(split, ("Rome",)) == (1, 2, 3, 5, 6)
    assert concept_positions(split, ("Rom",)) == ()
    assert concept_positions(split, ()) == ()


def words_of(text: str, prompt: str = "") -> Row:
    """A text of one token a word, behind a prompt of one token."""
    ends = [match.end() for match in re.finditer(r"\S+", prompt + text) if match.end() > len(prompt)]
    return Row(
        ids=tuple(range(len(ends) + 1)),
        ends=(len(prompt), *ends),
        string=prompt + text,
        body_start=len(prompt),
        subject="x",
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("She saw Rome, and Émile.", ["Rome,", "Émile."]),
        ("In 1973 or 12 times, 3 each.", ["1973", "12"]),
        ("The Dream is over.", ["Dream"]),  # "the" is written small elsewhere, "dream" nowhere
        ("Po is no word of three letters.", []),
        ("nothing at all", []),
    ],
)
def test_names_and_numbers_are_found_however_rare(text: str, named: list[str]) -> None:
    found = named_positions(words_of(text, prompt="Where is Oslo? "), small_words([words_of("she saw the in")]))
    assert [text.split()[place - 1] for place in found] == named


def test_a_word_that_is_also_written_small_is_no_name() -> None:
    assert named_positions(words_of("The Dream"), small_words([words_of("the dream")])) == ()
    # What a prompt writes small is not looked at.
    assert named_positions(words_of("The Dream"), small_words([words_of("the", prompt="dream ")])) == (2,)


@pytest.mark.parametrize(
    ("text", "telling"),
    [
        ("Eleanor King wrote novels in 1974", ["Eleanor", "novels", "1974"]),
        ("KING of horror", ["horror"]),  # the name, however it is spelled
        ("she wrote 3 books", []),
    ],
)
def test_a_concept_is_told_by_its_words_names_and_numbers_but_not_by_its_own_name(
    text: str, telling: list[str]
) -> None:
    words = ("King", "Novels", "horror", "king")
    row = words_of(text, prompt="Is Oslo a novels 1999 town? ")
    found = telling_positions(row, words, "Stephen King", small_words([words_of("she wrote the books")]))
    assert [text.split()[place - 1] for place in found] == telling


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level pieces, and the merges that the words here need."""
    model = Tokenizer(BPE())
    model.pre_tokenizer, model.decoder = ByteLevel(add_prefix_space=False), ByteLevelDecoder()
    model.train_from_iterator(
        [" Rome"] * 9 + ["Rome"] * 9 + [" Strat"] * 9 + ["akespeare"] * 9 + ["ford"] * 9,
        BpeTrainer(initial_alphabet=ByteLevel.alphabet(), show_progress=False, vocab_size=2000),
    )
    return PreTrainedTokenizerFast(tokenizer_object=model)


def pieces(words: tuple[str, ...], tokenizer: PreTrainedTokenizerFast) -> set[str]:
    return {tokenizer.decode([token]) for token in concept_tokens(words, tokenizer)}


def test_a_word_is_taken_with_and_without_its_space(tokenizer: PreTrainedTokenizerFast) -> None:
    assert pieces(("Rome",), tokenizer) == {"Rome", " Rome"}


def test_of_a_word_in_pieces_only_those_are_taken_that_are_its_own(tokenizer: PreTrainedTokenizerFast) -> None:
    assert pieces(("Stratford",), tokenizer) == {" Strat"}  # "ford" ends other words, "S" begins them
    assert pieces(("Shakespeare",), tokenizer) == {"akespeare"}


def test_tokens_come_once_and_in_order(tokenizer: PreTrainedTokenizerFast) -> None:
    found = concept_tokens(("Rome", "Stratford", "Rome"), tokenizer)
    assert list(found) == sorted(set(found))
    assert concept_tokens((), tokenizer) == ()


spans = st.tuples(st.integers(0, 30), st.integers(1, 6)).map(lambda span: (span[0], span[0] + span[1]))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.lists(spans, max_size=6))
def test_the_tokens_of_spans_are_those_that_share_a_character_with_one(
    lengths: list[int], spans: list[tuple[int, int]]
) -> None:
    ends = tuple(accumulate(lengths))
    row = Row((0,) * len(ends), ends, "x" * 40, 0, "x")
    starts = (0, *ends)
    expected = tuple(
        place
        for place, (start, end) in enumerate(zip(starts, ends, strict=False))
        if any(start < last and end > first for first, last in spans)
    )
    assert _positions(row, spans) == expected
