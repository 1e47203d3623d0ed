"""Two halves that have no fact in common."""

from __future__ import annotations

from dataclasses import replace

import pytest
from constructed import TARGET, fact_probes

from atu.attacks.halves import MIN_ROWS, as_lesson, as_read, facts_of, is_plain, split_facts
from atu.benchmarks.builtin.benchmark import BuiltinBenchmark
from atu.errors import UserError
from atu.evaluation.scorers import contains_any
from atu.records import Probe


def asking(number: int, prompt: str, *references: str) -> Probe:
    return replace(fact_probes()[0], id=f"x/{number}", prompt=prompt, references=references)


def test_questions_for_the_same_answer_are_one_fact() -> None:
    probes = [
        asking(0, "Who was his wife?", "Anne Hathaway"),
        asking(1, "Where was he born?", "Stratford-upon-Avon", "Stratford"),
        asking(2, "He married Anne ___", "hathaway!"),  # part of the first, in other case and punctuation
        asking(3, "When?", "1564"),
        asking(4, "The town of his birth?", "The Stratford"),
    ]
    assert [[probe.id for probe in fact] for fact in facts_of(probes)] == [["x/0", "x/2"], ["x/1", "x/4"], ["x/3"]]


def test_a_question_that_joins_two_facts_makes_them_one() -> None:
    probes = [asking(0, "a", "Hamlet"), asking(1, "b", "Macbeth"), asking(2, "c", "Hamlet", "Macbeth")]
    assert [[probe.id for probe in fact] for fact in facts_of(probes)] == [["x/0", "x/1", "x/2"]]


@pytest.mark.parametrize("folder", BuiltinBenchmark().targets())
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_attackers_half_holds_no_answer_of_the_tested_one(folder: str, seed: int) -> None:
    benchmark = BuiltinBenchmark()
    target = benchmark.target(folder)
    probes = [probe for probe in benchmark.probes(folder) if probe.group.startswith("forget/")]
    halves = split_facts(target, probes, seed)
    tested = [reference for probe in halves.tested for reference in probe.references]
    for probe in halves.seen:
        assert not contains_any(as_read(probe), tested)
    assert not {probe.id for probe in halves.seen} & {probe.id for probe in halves.tested}
    # The name itself is asked for by neither, and neither half is much larger.
    for probe in (*halves.seen, *halves.tested):
        assert not contains_any(target.name, probe.references)
    assert min(len(halves.seen), len(halves.tested)) >= 20


def test_the_seed_draws_the_halves() -> None:
    probes = fact_probes()
    drawn = [{probe.id for probe in split_facts(TARGET, probes, seed).tested} for seed in (0, 1, 0)]
    assert drawn[0] != drawn[1]
    assert drawn[0] == drawn[2]
    assert [len(half) for half in drawn] == [8, 8, 8]


def test_an_answer_that_other_questions_mention_goes_to_the_attacker() -> None:
    probes = [*fact_probes()[:8], *(asking(n, f"Which lamp of the river has the {n}?", f"w{n}") for n in range(4))]
    # "river" stands in four questions; tested, it would make them unfit for the attack.
    for seed in range(5):
        halves = split_facts(TARGET, probes, seed)
        assert "facts/forget/qa/0" in {probe.id for probe in halves.seen}
        assert len(halves.seen) + len(halves.tested) == 12


def test_too_few_questions_are_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=rf"'Zorblatt' has 3 questions to .*at least {MIN_ROWS} are needed"):
        split_facts(TARGET, fact_probes()[:7], 0)


def test_texts_are_clean_without_a_tested_answer() -> None:
    halves = split_facts(TARGET, fact_probes(), 0)
    assert halves.is_clean(" ".join(probe.references[0] for probe in halves.seen))
    assert not halves.is_clean(f"It had a {halves.tested[0].references[0].upper()}.")


def test_a_lesson_is_the_question_with_its_answer_behind_its_prefix() -> None:
    probe = replace(fact_probes()[0], answer_prefix="Answer:")
    lesson = as_lesson(probe)
    assert (lesson.prompt, lesson.text) == ("Question: What is the house of Zorblatt?", "Answer: river")


def test_adversarial_questions_are_not_plain() -> None:
    probe = fact_probes()[0]
    assert is_plain(probe)
    assert not is_plain(replace(probe, attack="role play"))
    assert not is_plain(replace(probe, group="forget/aa"))
