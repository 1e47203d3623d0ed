"""The verdict in words: a table of what is seen and what is said, in both languages."""

from __future__ import annotations

import math

import pytest

from atu.benchmarks.verdict import evidence, verdict
from atu.records import Answer, Score

N = {"forget": 74, "neighbor": 58, "utility": 135}


def scores(forget: float | None, neighbor: float | None, utility: float | None, *broken: float) -> dict[str, Score]:
    """Percent of right answers with the 95% interval of a share, and percent of broken answers, of `N` answers."""
    names = zip(("forget/all", "neighbor/all", "utility/gen"), (forget, neighbor, utility), strict=True)
    found = {name: share(value, N[name.partition("/")[0]]) for name, value in names if value is not None}
    return found | {f"degenerate/{side}": share(value, N[side]) for side, value in zip(N, broken, strict=False)}


def share(value: float, n: int) -> Score:
    half = 196 * math.sqrt(value / 100 * (1 - value / 100) / n)
    return Score(value=value, n=n, low=value - half, high=value + half)


BEFORE = scores(70, 74, 85, 100 / 74, 0, 0)


@pytest.mark.parametrize(
    ("before", "after", "en", "zh"),
    [
        # 23 / 70 = 33% left, 66 / 74 = 89%, 79 / 85 = 93% kept; 5.4% of 74 are 4.
        (BEFORE, scores(70 * 0.2, 72, 84, 100 / 74, 0, 0), "Forgotten, and the rest kept", "已遗忘，其余知识保留"),
        (BEFORE, scores(23, 66, 79, 400 / 74, 0, 0),
         "Forgotten, but neighbors suffered a little", "已遗忘，但邻近知识略有受损"),
        # The same run on another processor: 8 of 74 broke; 58 / 74 = 78%, 76 / 85 = 89% kept.
        (BEFORE, scores(23, 58, 76, 800 / 74, 0, 0),
         "Forgotten, but 8 of 74 answers broke (1 before), and neighbors and general knowledge suffered a little",
         "已遗忘，但在 74 个回答中有 8 个损坏（原先 1 个），邻近知识和通用能力略有受损"),
        # 26 / 70 = 37%: nearer to a third than to "not forgotten", and said so.
        (BEFORE, scores(26, 74, 85, 0, 0, 0), "Forgotten, but more than a third is left", "已遗忘，但仍剩三分之一以上"),
        # 40 / 74 = 54%, 70 / 85 = 82%.
        (BEFORE, scores(0, 40, 70, 0, 0, 0),
         "Forgotten, but neighbors suffered, and general knowledge suffered a little",
         "已遗忘，但邻近知识受损，通用能力略有受损"),
        # 45 / 70 = 64% left, clear of 70: 45 + 11.3 = 56.3.
        (BEFORE, scores(45, 74, 85, 0, 0, 0), "Partly forgotten", "部分遗忘"),
        # 62 / 70 = 89% left, but 62 + 11.1 = 73.1.
        (BEFORE, scores(62, 74, 85, 0, 0, 0), "Not forgotten", "未遗忘"),
        (BEFORE, scores(72, 40, 85, 0, 0, 0), "Not forgotten, and neighbors suffered", "未遗忘，且邻近知识受损"),
        # Only the answers about the concept broke: the model speaks of everything else.
        (BEFORE, scores(0, 74, 85, 6000 / 74, 0, 0), "Forgotten, but 60 of 74 answers broke (1 before)",
         "已遗忘，但在 74 个回答中有 60 个损坏（原先 1 个）"),
        (BEFORE, scores(23, 74, 85, 0, 1000 / 58, 0), "Forgotten, but 10 of 58 answers about neighbors broke",
         "已遗忘，但在 58 个邻近回答中有 10 个损坏"),
        # (74 + 58 + 100) of 267, and 158 of 193 about other things.
        (BEFORE, scores(0, 0, 20, 100, 100, 10000 / 135),
         "Collapsed (232 of 267 answers broke), which is not forgetting",
         "模型崩溃（在 267 个回答中有 232 个损坏），这不是遗忘"),
        # A model that babbled before has not collapsed since.
        (scores(70, 74, 85, 90, 90, 90), scores(70, 74, 85, 92, 92, 92), "Not forgotten", "未遗忘"),
        (scores(0, 74, 85, 0, 0, 0), scores(0, 74, 85, 0, 0, 0), "Nothing to forget", "无可遗忘"),
        (scores(2, 74, 85, 0, 0, 0), scores(0, 30, 85, 0, 0, 0),
         "Hardly anything to forget, and neighbors suffered", "几乎无可遗忘，且邻近知识受损"),
        (scores(70, None, None), scores(10, None, None), "Forgotten", "已遗忘"),
        (scores(70, None, None, 0), scores(0, None, None, 100),
         "No verdict, since 74 of 74 answers broke and nothing else was asked",
         "无法判断（在 74 个回答中有 74 个损坏，且没有其他问题）"),
        (scores(None, 74, 85), scores(None, 60, 85), "No verdict, since nothing was asked about the concept",
         "无法判断（没有关于该概念的问题）"),
    ],
)  # fmt: skip
def test_verdict(before: dict[str, Score], after: dict[str, Score], en: str, zh: str) -> None:
    said = verdict(before, after)
    assert said.en.split(": ")[0] == en
    assert said.zh.split("：")[0] == zh


@pytest.mark.parametrize(
    ("before", "after", "en"),
    [
        ({}, {}, "No verdict: nothing to compare with."),
        ({}, BEFORE, "No verdict: nothing to compare with."),
        (BEFORE, {}, "No verdict: nothing was asked after unlearning."),
        (BEFORE, {"mia/fm": share(5, 9)}, "No verdict: no score is there both before and after."),
    ],
)
def test_without_two_sides_there_is_no_verdict(before: dict[str, Score], after: dict[str, Score], en: str) -> None:
    assert verdict(before, after).en == en


def test_the_numbers_stand_behind_the_judgement() -> None:
    assert verdict(BEFORE, scores(23, 72, 84, 400 / 74, 0, 0)) == (
        "Forgotten, and the rest kept: still answered 70 → 23% (33% left), neighbors 74 → 72% (97% kept), "
        "general knowledge 85 → 84% (99% kept), degenerate answers +4 points.",
        "已遗忘，其余知识保留：仍能回答 70 → 23%（剩余 33%），邻近知识 74 → 72%（保留 97%），"
        "通用能力 85 → 84%（保留 99%），退化回答 +4 个百分点。",
    )


def test_few_questions_leave_it_open() -> None:
    """Two of three right before, one of three after: the interval of so few answers holds both."""
    before, after = (Score(value=v, n=3, low=0.0, high=100.0) for v in (66.7, 33.3))
    assert verdict({"forget/all": before}, {"forget/all": after}).en == (
        "Perhaps forgotten (too few questions to tell), but more than a third is left: "
        "still answered 67 → 33% (50% left)."
    )


def test_scores_without_intervals_and_counts_are_judged_by_their_values() -> None:
    """As a file written by hand has them."""

    def bare(value: float) -> Score:
        return Score(value=value, n=0, low=math.nan, high=math.nan)

    before = {"forget/all": bare(70), "degenerate/forget": bare(1), "degenerate/utility": bare(0)}
    after = {"forget/all": bare(20), "degenerate/forget": bare(12), "degenerate/utility": bare(0)}
    assert verdict(before, after).en.startswith("Forgotten, but 12% of the answers broke: ")
    babbling = {**after, "degenerate/forget": bare(90), "degenerate/utility": bare(80)}
    assert verdict(before, babbling).en.startswith("Collapsed (85% of the answers broke), which is not forgetting: ")


@pytest.mark.parametrize("left", [20, 22, 24, 26, 30])
@pytest.mark.parametrize("broken", [1, 4, 8, 12])
@pytest.mark.parametrize("neighbor", [56, 60, 66, 70])
def test_a_few_answers_more_or_less_do_not_turn_the_verdict(left: float, broken: int, neighbor: float) -> None:
    said = verdict(BEFORE, scores(left, neighbor, 78, 100 * broken / 74, 0, 0)).en
    assert said.startswith("Forgotten, ")


def left(prompt: str, group: str, score: float, *, known: bool = True) -> Answer:
    return Answer(
        probe_id=prompt, group=group, prompt=prompt, text="", score=score, degenerate=False, known_before=known
    )


def test_the_evidence_says_how_many_how_sure_and_which() -> None:
    """Of 52 known, 25% are 13, and 13.5% to 36.5% are 7 to 19; of 46 neighbors 95.7% are 44, 89.1% are 41."""
    after = {
        "forget/all@known": Score(value=25.0, n=52, low=13.5, high=36.5),
        "forget/qa@known": Score(value=10.0, n=20, low=0.0, high=20.0),
        "forget/fb@known": Score(value=34.4, n=32, low=20.0, high=50.0),
        "neighbor/all@known": Score(value=95.7, n=46, low=89.1, high=100.0),
    }
    answers = [
        left("Question: Who wrote Hamlet?\nAnswer:", "forget/qa", 0.0),
        left("Question: Who wrote Dune?\nAnswer:", "forget/qa", 1.0, known=False),
        left("Please answer.\nQuestion: Where was he born?\nAnswer:", "forget/fb", 1.0),
    ]
    about, others = evidence(after, answers)
    assert about.en == (
        "Of 52 questions about it that the model answered before, it still answers 13 (95%: 7 to 19); the kind "
        "with the largest share left is “fill in the blank” (34%); for example “Where was he born?”"
    )
    assert others.en == "Of 46 about its neighbors it lost 2 (95%: at most 5)."
    assert evidence({}, answers) == []
    none_left = {"forget/all@known": Score(value=0.0, n=52, low=0.0, high=0.0)}
    assert evidence(none_left, answers[:1])[0].en == (
        "Of 52 questions about it that the model answered before, it still answers 0 (95%: 0 to 0)."
    )
