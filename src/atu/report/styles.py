"""How each method looks in every table, figure and page: the same label, color and marker everywhere."""

from __future__ import annotations

import itertools
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from atu.errors import UserError, did_you_mean
from atu.methods.terms import TERMS
from atu.records import Look, Words
from atu.report.words import page_words
from atu.storage.config_dir import config_dir
from atu.storage.user_files import read_yaml
from atu.text.escaping import one_line
from atu.typed import from_mapping


@dataclass(frozen=True, kw_only=True)
class MethodStyle:
    """Look of one method."""

    label: Words
    color: str
    """`#rrggbb` of `PALETTE`."""
    marker: str
    """As matplotlib names it."""


PALETTE = ("#0072B2", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#999999")
"""Okabe and Ito's colors, which everybody can tell apart (https://jfly.uni-koeln.de/color/), with grey for black so
that it shows on dark paper; their yellow is lost on white. What is no method, such as the settings of an attack, takes
them in this order."""
_OTHER_COLORS = PALETTE[-2:]
"""Those that no term has."""
_OTHER_MARKERS = ("P", "X", "<", ">", "*")
_MARKERS = (*_OTHER_MARKERS, "p", "h", "8")
_LOOKS = [(c, m) for m in _MARKERS for c in (*_OTHER_COLORS, *PALETTE)]
"""Looks that no known method has: what an unknown method takes when its own is taken."""


@cache
def _known() -> dict[str, MethodStyle]:
    """Name → look of each method in `config/task`: those with a label of their own in words.json, then the others."""
    found = {}
    for path in sorted((config_dir() / "task").glob("*.yaml")):
        # A file of the user's own may hold what only Hydra understands: its method looks as an unknown one does.
        with suppress(AttributeError, IndexError, KeyError, UserError):
            found[path.stem] = _task_style(path)
    uses = Counter(style.label for style in found.values())
    for name, style in found.items():
        if uses[style.label] > 1:
            found[name] = replace(style, label=Words(*(f"{words} ({name})" for words in style.label)))
    order = sorted(found, key=lambda name: (f"method:{name}" not in page_words(), not name.startswith("unlearning_")))
    taken: set[tuple[str, str]] = set()
    for name in order:
        style = found[name]
        if (style.color, style.marker) in taken:  # another method has the same first term
            found[name] = style = replace(style, **_look(name)._asdict())
        taken.add((style.color, style.marker))
    return {name: found[name] for name in order}


def _task_style(path: Path) -> MethodStyle:
    """The labels of the terms of a task, and the look of the first of them."""
    config = read_yaml(path)
    objective = config.get("task", config)["objective"]
    terms = [from_mapping(TERMS[name], options, name) for name, options in objective.items()]
    look = terms[0].look or _look(path.stem)
    parts = zip(*(term.label for term in terms), strict=True)
    joined = Words(*(" + ".join(words).replace("） ", "）") for words in parts))  # wide brackets end in a space
    label = page_words().get(f"method:{path.stem}", joined)
    return MethodStyle(label=label, color=look.color, marker=look.marker)


def _look(name: str) -> Look:
    """The same for the same name; two names may share one (1 in 10)."""
    number = zlib.crc32(name.encode())
    marker = _OTHER_MARKERS[number // len(_OTHER_COLORS) % len(_OTHER_MARKERS)]
    return Look(_OTHER_COLORS[number % len(_OTHER_COLORS)], marker)


def method_style(method: str) -> MethodStyle:
    """Look of a method by task name, or by what a paper calls it (`NPO`); an unknown one always gets the same look.

    Two unknown methods may share a look: `method_styles` tells those of one picture apart.
    """
    if method in _known():
        return _known()[method]
    known = _known().get(f"unlearning_{method.lower()}")
    look = _look(method) if known is None else known
    return MethodStyle(label=Words(method or "?", method or "?"), color=look.color, marker=look.marker)


def method_order(method: str) -> tuple[int, str]:
    """Sort key of methods in legends and tables: the known ones first, then by name."""
    known = list(_known())
    return (known.index(method) if method in known else len(known), method)


def method_styles(methods: Sequence[str], names: Mapping[str, str]) -> dict[str, MethodStyle]:
    """Method → look, in order; no two of them look alike, which only an unknown one can make necessary.

    Args:
        methods: names of tasks, or whatever a file calls its methods.
        names: method → label that the user wants instead.

    Raises:
        UserError: a name is of no method, or two methods would have the same label.
    """
    for method in names:
        if method not in methods:
            raise UserError(f"method_names has '{method}', which no run is of.{did_you_mean(method, methods)}")
    styles: dict[str, MethodStyle] = {}
    taken: set[tuple[str, str]] = set()
    for method in sorted(set(methods), key=method_order):
        style = method_style(method)
        free = itertools.dropwhile(lambda look: look in taken, [(style.color, style.marker), *_LOOKS])
        color, marker = next(free, (style.color, style.marker))
        taken.add((color, marker))
        label = Words(*(one_line(names.get(method, label)) for label in style.label))
        styles[method] = replace(style, label=label, color=color, marker=marker)
    _refuse_same_labels(styles)
    return styles


def _refuse_same_labels(styles: Mapping[str, MethodStyle]) -> None:
    owner: dict[str, str] = {}
    for method, style in styles.items():
        other = owner.setdefault(style.label.en, method)
        if other != method:
            raise UserError(
                f"The methods '{other}' and '{method}' would both be called '{style.label.en}'. "
                "Give them different names under method_names."
            )
