"""What a number of a run means, in both languages: its name, which way is good, how it can mislead.

A name has a family and a kind, such as `forget/fb`. Each room that writes numbers has a `MetricWords` of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeVar

from atu.records import KNOWN_VALUES, Words

T = TypeVar("T")
Direction = Literal["lower", "higher", "none"]

KNOWN_SUFFIX = "@known"
"""Ends the name of a score over the probes that the reference answered rightly."""

DIRECTIONS: dict[Direction, tuple[str, Words]] = {
    "lower": ("↓", Words("lower is better", "越低越好")),
    "higher": ("↑", Words("higher is better", "越高越好")),
    "none": ("·", Words("neither direction is better by itself", "本身无好坏方向")),
}
"""Direction → arrow and words."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a reader must know of one number."""

    name: str
    family: str
    """First part of the name: `forget`, `neighbor`, `utility`, `train`, ..."""
    label: Words
    """Label that stands alone, such as `Forget · fill in the blank`."""
    short: Words
    """Label below a heading that already names the family."""
    direction: Direction
    unit: str
    """`%`, `nats/token`, ...; empty for a plain number."""
    meaning: Words
    pitfall: Words
    """How the number can mislead."""

    @property
    def arrow(self) -> str:
        """`↓` lower is better, `↑` higher is better, `·` neither."""
        return DIRECTIONS[self.direction][0]


class Family(NamedTuple):
    """What all names with the same first part share."""

    label: Words
    direction: Direction
    unit: str
    meaning: Words
    pitfall: Words
    is_detail: bool = False
    """Whether a table of many runs leaves its scores out at first."""


@dataclass(frozen=True, kw_only=True)
class MetricWords:
    """The words of some numbers. A None in `families` or `kinds` stands for what is described elsewhere.

    The order is that of every table: what is new here stands behind the name before it.
    """

    families: Mapping[str, Family | None] = field(default_factory=dict)
    """First part of a name → what all names of it share."""
    kinds: Mapping[str, Words | None] = field(default_factory=dict)
    """Second part of a name (or the whole name, which goes first) → its words."""
    notes: Mapping[str, Words] = field(default_factory=dict)
    """What a kind adds to the meaning of its family."""
    special: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Whole name → fields of `Metric` that differ from its family's."""

    def describe(self, name: str) -> Metric:
        """Describe a score or metric by name; an unknown name gets a neutral description.

        Args:
            name: such as `forget/fb`, `forget/all@known` or `train/loss`.
        """
        base, known = name.removesuffix(KNOWN_SUFFIX), name.endswith(KNOWN_SUFFIX)
        family_name, _, kind = base.partition("/")
        family = self.families.get(family_name)
        if family is None:
            return _unknown(name)
        plain = kind.replace("_", " ") or family_name
        short = self.kinds.get(base) or self.kinds.get(kind) or Words(plain, plain)
        label = Words(f"{family.label.en} · {short.en}", f"{family.label.zh} · {short.zh}")
        metric = Metric(
            name=name,
            family=family_name,
            label=label,
            short=short,
            direction=family.direction,
            unit=family.unit,
            meaning=_joined(family.meaning, self.notes.get(kind)),
            pitfall=family.pitfall,
        )
        metric = replace(metric, **self.special.get(base, {}))
        return _of_known(metric) if known and family_name not in KNOWN_VALUES else metric

    def sort_key(self, name: str) -> tuple[int, int, str, bool]:
        """Order of names in every table: family, then kind, then a score before its `@known` form."""
        base = name.removesuffix(KNOWN_SUFFIX)
        family, _, kind = base.partition("/")
        families, kinds = list(self.families), list(self.kinds)
        return (
            families.index(family) if family in families else len(families),
            kinds.index(kind) if kind in kinds else len(kinds),
            base,
            name != base,
        )

    def family_label(self, family: str) -> Words:
        """The heading of a family's names; an unknown one is its own."""
        found = self.families.get(family)
        return Words(family, family) if found is None else found.label

    def family_labels(self) -> dict[str, Words]:
        """The headings of all families, in table order."""
        return {name: family.label for name, family in self.families.items() if family is not None}


def joined(parts: Sequence[MetricWords]) -> MetricWords:
    """The words of all parts; of two that describe the same name the first counts."""
    return MetricWords(
        families=_in_place([part.families for part in parts]),
        kinds=_in_place([part.kinds for part in parts]),
        notes={key: words for part in reversed(parts) for key, words in part.notes.items()},
        special={key: words for part in reversed(parts) for key, words in part.special.items()},
    )


def _in_place(parts: Sequence[Mapping[str, T | None]]) -> dict[str, T | None]:
    order: list[str] = []
    found: dict[str, T | None] = {}
    for part in parts:
        place = len(order)
        for key, value in part.items():
            if key in found:
                place = order.index(key) + 1
                found[key] = value if found[key] is None else found[key]
            else:
                order.insert(place, key)
                found[key], place = value, place + 1
    return {key: found[key] for key in order}


def _joined(words: Words, more: Words | None) -> Words:
    return words if more is None else Words(f"{words.en} {more.en}", words.zh + more.zh)


def _of_known(metric: Metric) -> Metric:
    return replace(
        metric,
        label=Words(f"{metric.label.en}, known before", f"{metric.label.zh}（原先已知）"),
        short=Words("known before", "原先已知"),
        meaning=_joined(
            metric.meaning,
            Words("Only questions that the reference model answered rightly.", "仅限原模型答对的问题。"),
        ),
        pitfall=_joined(
            metric.pitfall,
            Words(
                "It starts at 100% by choice of the questions, so chance alone lowers it.",
                "由于问题的选法，起点即为 100%，偶然波动也会使它下降。",
            ),
        ),
    )


def _unknown(name: str) -> Metric:
    return Metric(
        name=name,
        family=name.partition("/")[0],
        label=Words(name, name),
        short=Words(name, name),
        direction="none",
        unit="",
        meaning=Words("A number without a description here.", "此数值没有说明。"),
        pitfall=Words("Ask whoever logged it what it means.", "请向记录者确认其含义。"),
    )
