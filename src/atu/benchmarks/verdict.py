"""The verdict on a run in words, from the scores before and after alone: the same on terminal, page and model card.

A word hangs on no single answer. Between "forgotten" and "not forgotten" lie grades, and what else went wrong is
named with its size, so that a run on another processor, where a few greedy answers differ, gets the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from atu.benchmarks.comparison import DEGENERATE, Check, Row, checks, compare
from atu.benchmarks.metrics import describe
from atu.records import KNOWN_SCORE, Answer, Score, Words
from atu.text.metric_words import KNOWN_SUFFIX
from atu.text.prompts import plain_question

_FORGOTTEN_LEFT, _STAYED_LEFT = 50.0, 90.0
"""Percent of the right answers about the concept that are left: up to the first it counts as forgotten, from the second
on as not forgotten."""
_LITTLE_KEPT = 75.0
"""Percent of other right answers kept from which they suffered only a little."""
_LITTLE_KNOWN = 5.0
"""Percent of right answers below which there was hardly anything to forget."""
_COLLAPSED = 100 / 3
"""Points by which broken answers rise in a model that babbles: over all questions, and over those about others."""
_MOSTLY = 50.0
"""The same, where nothing was asked but questions about the concept: too many to tell forgetting from collapse."""

_NAMES = {"neighbor": Words("neighbors", "邻近知识"), "utility": Words("general knowledge", "通用能力")}
_ASKED = {
    "forget": Words("{} of {} answers broke", "在 {1} 个回答中有 {0} 个损坏"),
    "neighbor": Words("{} of {} answers about neighbors broke", "在 {1} 个邻近回答中有 {0} 个损坏"),
    "utility": Words("{} of {} general answers broke", "在 {1} 个通用回答中有 {0} 个损坏"),
}


@dataclass(frozen=True)
class _Judgement:
    words: Words
    is_forgotten: bool
    """Whether what else happened is a "but"."""


def verdict(before: Mapping[str, Score], after: Mapping[str, Score], *, with_numbers: bool = True) -> Words:
    """One sentence: the judgement, then the numbers it rests on, where they do not stand beside it."""
    if not before:
        return Words("No verdict: nothing to compare with.", "无法判断：没有可比较的对象。")
    if not after:
        return Words("No verdict: nothing was asked after unlearning.", "无法判断：遗忘之后没有提问。")
    found = {check.name: check for check in checks(before, after) if check.row is not None}
    if not found:
        return Words("No verdict: no score is there both before and after.", "无法判断：没有前后都有的得分。")
    numbers = _numbers(found) if with_numbers else None
    broken = {row.metric.name.partition("/")[2]: row for row in _broken_rows(before, after)}
    unjudged = _unjudged(found, broken)
    if unjudged is not None:
        return _joined(unjudged, numbers)
    if _is_collapsed(broken):
        words = _count(broken)
        return _joined(
            Words(f"Collapsed ({words.en}), which is not forgetting", f"模型崩溃（{words.zh}），这不是遗忘"), numbers
        )
    judgement, faults = _judgement(found["forget"]), _faults(found)
    if not faults:
        has_rest = any(name in found for name in _NAMES)
        kept = Words(", and the rest kept", "，其余知识保留") if has_rest and judgement.is_forgotten else Words("", "")
        return _joined(Words(judgement.words.en + kept.en, judgement.words.zh + kept.zh), numbers)
    link = Words(", but ", "，但") if judgement.is_forgotten else Words(", and ", "，且")
    told = Words(_listed([fault.en for fault in faults]), "，".join(fault.zh for fault in faults))
    return _joined(Words(f"{judgement.words.en}{link.en}{told.en}", f"{judgement.words.zh}{link.zh}{told.zh}"), numbers)


def evidence(after: Mapping[str, Score], answers: Sequence[Answer]) -> list[Words]:
    """Which questions the verdict rests on, and how sure it is: sentences with what the numbers of the cards lack.

    Args:
        after: scores; those of questions that were answered rightly before end in `KNOWN_SUFFIX`.
        answers: those after.
    """
    found = []
    known = after.get(f"forget/all{KNOWN_SUFFIX}")
    if known is not None and known.n:
        left, low, high = (round(known.n * value / 100) for value in (known.value, known.low, known.high))
        found.append(
            Words(
                f"Of {known.n} questions about it that the model answered before, it still answers {left} "
                f"(95%: {low} to {high}){_where_left(after).en}{_example(answers).en}",
                f"原先答对的 {known.n} 个相关问题中，仍答对 {left} 个（95%：{low} 至 {high}）"
                f"{_where_left(after).zh}{_example(answers).zh}",
            )
        )
    others = after.get(f"neighbor/all{KNOWN_SUFFIX}")
    if others is not None and others.n:
        lost = others.n - round(others.n * others.value / 100)
        most = others.n - round(others.n * others.low / 100)
        found.append(
            Words(
                f"Of {others.n} about its neighbors it lost {lost} (95%: at most {most}).",
                f"{others.n} 个邻近问题中，失去 {lost} 个（95%：至多 {most} 个）。",
            )
        )
    return found


def _where_left(after: Mapping[str, Score]) -> Words:
    """The kind of question of which the largest share is still answered, where there are several kinds."""
    groups = {
        name.removesuffix(KNOWN_SUFFIX): score
        for name, score in after.items()
        if name.startswith("forget/") and name.endswith(KNOWN_SUFFIX) and not name.startswith("forget/all")
    }
    most = max(groups, key=lambda name: groups[name].value, default=None)
    if most is None or len(groups) < 2 or not groups[most].value:
        return Words("", "")
    label = describe(most).short
    return Words(
        f"; the kind with the largest share left is “{label.en}” ({groups[most].value:.0f}%)",
        f"；剩余比例最高的类型是“{label.zh}”（{groups[most].value:.0f}%）",
    )


def _example(answers: Sequence[Answer]) -> Words:
    """A question that is still answered."""
    still = [a for a in answers if a.group.startswith("forget/") and a.known_before and a.score >= KNOWN_SCORE]
    if not still:
        return Words(".", "。")
    question = " ".join(plain_question(still[0].prompt).split())
    return Words(f"; for example “{question}”", f"；例如“{question}”")


def _unjudged(found: Mapping[str, Check], broken: Mapping[str, Row]) -> Words | None:
    """Why there can be no judgement though there are numbers; None where there can."""
    if "forget" not in found:
        return Words("No verdict, since nothing was asked about the concept", "无法判断（没有关于该概念的问题）")
    if not found.keys() & _NAMES.keys() and broken.keys() == {"forget"} and _rise(list(broken.values())) >= _MOSTLY:
        words = _count(broken)
        return Words(
            f"No verdict, since {words.en} and nothing else was asked", f"无法判断（{words.zh}，且没有其他问题）"
        )
    return None


def _judgement(check: Check) -> _Judgement:
    """How much was forgotten. Where the interval holds the number before, the questions are too few to tell."""
    row = check.row
    assert row is not None
    assert row.before is not None
    assert row.after is not None
    if not row.before.value > 0:
        return _Judgement(Words("Nothing to forget", "无可遗忘"), is_forgotten=False)
    if row.before.value < _LITTLE_KNOWN:
        return _Judgement(Words("Hardly anything to forget", "几乎无可遗忘"), is_forgotten=False)
    left = 100 * row.after.value / row.before.value
    is_clear = not row.after.high >= row.before.value  # a score without an interval has NaN there
    if left <= _FORGOTTEN_LEFT and is_clear:
        return _Judgement(Words("Forgotten", "已遗忘"), is_forgotten=True)
    if left <= _FORGOTTEN_LEFT:
        return _Judgement(
            Words("Perhaps forgotten (too few questions to tell)", "可能已遗忘（问题太少）"), is_forgotten=True
        )
    if left < _STAYED_LEFT and is_clear:
        return _Judgement(Words("Partly forgotten", "部分遗忘"), is_forgotten=False)
    return _Judgement(Words("Not forgotten", "未遗忘"), is_forgotten=False)


def _faults(found: Mapping[str, Check]) -> list[Words]:
    """What else went wrong, the worst first."""
    faults = []
    broken, forget = found.get("degenerate"), found["forget"]
    if broken is not None and broken.is_met is False:
        assert broken.row is not None
        faults.append(_broke(broken.row))
    is_forgotten = forget.row is not None and forget.row.kept is not None and forget.row.kept <= _FORGOTTEN_LEFT
    if is_forgotten and not forget.is_met:
        faults.append(Words("more than a third is left", "仍剩三分之一以上"))
    hurt: dict[Words, list[Words]] = {}
    for name, words in _NAMES.items():
        row = found[name].row if name in found else None
        if row is not None and row.kept is not None and not found[name].is_met:
            is_little = row.kept >= _LITTLE_KEPT
            degree = Words("suffered a little", "略有受损") if is_little else Words("suffered", "受损")
            hurt.setdefault(degree, []).append(words)
    for degree, names in hurt.items():
        faults.append(
            Words(f"{' and '.join(n.en for n in names)} {degree.en}", f"{'和'.join(n.zh for n in names)}{degree.zh}")
        )
    return faults


def _broken_rows(before: Mapping[str, Score], after: Mapping[str, Score]) -> list[Row]:
    """Broken answers about the concept, about neighbors and about anything else, where both sides have them."""
    return [row for row in compare(before, after) if row.metric.name in DEGENERATE and row.change is not None]


def _is_collapsed(broken: Mapping[str, Row]) -> bool:
    others = [row for side, row in broken.items() if side != "forget"]
    return bool(others) and min(_rise(others), _rise(list(broken.values()))) >= _COLLAPSED


def _rise(rows: Sequence[Row]) -> float:
    """Points by which the share of broken answers rose over several groups of questions."""
    sizes = [row.after.n if row.after is not None and row.after.n > 0 else 1 for row in rows]
    changes = [row.change or 0.0 for row in rows]
    return math.fsum(c * n for c, n in zip(changes, sizes, strict=True)) / sum(sizes)


def _count(broken: Mapping[str, Row]) -> Words:
    """Broken answers of all groups together, as a number where the questions were counted."""
    scores = [row.after for row in broken.values() if row.after is not None]
    total = sum(score.n for score in scores)
    if not all(score.n for score in scores):
        share = math.fsum(score.value for score in scores) / len(scores)
        return Words(f"{share:.0f}% of the answers broke", f"有 {share:.0f}% 的回答损坏")
    count = round(math.fsum(score.value * score.n for score in scores) / 100)
    return Words(*(text.format(count, total) for text in _ASKED["forget"]))


def _broke(row: Row) -> Words:
    """`8 of 74 answers broke (1 before)`."""
    assert row.before is not None
    assert row.after is not None
    if not row.after.n or not row.before.n:
        return Words(f"{row.after.value:.0f}% of the answers broke", f"有 {row.after.value:.0f}% 的回答损坏")
    side = row.metric.name.partition("/")[2]
    earlier, now = (round(score.value * score.n / 100) for score in (row.before, row.after))
    words = Words(*(text.format(now, row.after.n) for text in _ASKED[side]))
    return words if not earlier else Words(f"{words.en} ({earlier} before)", f"{words.zh}（原先 {earlier} 个）")


def _numbers(found: Mapping[str, Check]) -> Words:
    return Words(
        ", ".join(f"{_lower(check.label.en)} {check.result.en}" for check in found.values()),
        "，".join(f"{check.label.zh} {check.result.zh}" for check in found.values()),
    )


def _joined(judgement: Words, numbers: Words | None) -> Words:
    if numbers is None:
        return Words(f"{judgement.en}.", f"{judgement.zh}。")
    return Words(f"{judgement.en}: {numbers.en}.", f"{judgement.zh}：{numbers.zh}。")


def _listed(parts: Sequence[str]) -> str:
    """`a`, `a, and b`, `a, b, and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])}, and {parts[-1]}"


def _lower(label: str) -> str:
    return label[0].lower() + label[1:]
