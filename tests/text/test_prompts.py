"""What prompts of a benchmark have in common is told from what they ask."""

from __future__ import annotations

import pytest

from atu.text.prompts import common_wording, plain_question

ASKED = [f"Please answer.\nQuestion: Who wrote {name}?\nAnswer:" for name in ("Hamlet", "Dune", "Emma")]


@pytest.mark.parametrize(
    ("prompts", "common"),
    [
        (ASKED, ("Please answer.\nQuestion: ", "\nAnswer:")),
        (ASKED[:2], ("", "")),
        (["Who wrote Hamlet?", "Who wrote Dune?", "Who wrote Emma?"], ("", "")),
        (["Question: a", "Question: b", "Question: c"], ("Question: ", "")),
        ([], ("", "")),
    ],
)
def test_whole_lines_are_common_and_no_words_of_questions(prompts: list[str], common: tuple[str, str]) -> None:
    assert common_wording(prompts) == common


def test_the_question_is_what_stands_behind_its_name() -> None:
    assert plain_question(ASKED[0]) == "Who wrote Hamlet?"
    assert plain_question("Who wrote Hamlet?") == "Who wrote Hamlet?"
