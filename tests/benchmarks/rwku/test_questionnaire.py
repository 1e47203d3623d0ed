"""The questions that are put to people."""

from __future__ import annotations

from string import Formatter

from atu.benchmarks.rwku.questionnaire import QUESTIONNAIRE


def test_each_question_is_asked_once_and_leaves_the_name_open() -> None:
    assert len(set(QUESTIONNAIRE)) == len(QUESTIONNAIRE)
    for form in QUESTIONNAIRE:
        assert [field for _, field, _, _ in Formatter().parse(form) if field is not None] == ["name"]
        assert form.format(name="Ann Lee")[-1] in "?."
