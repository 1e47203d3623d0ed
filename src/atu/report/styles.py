"""How each method looks in every table, figure and page: the same label, color and marker everywhere."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from atu.errors import UserError, did_you_mean
from atu.text.escaping import one_line


@dataclass(frozen=True, kw_only=True)
class MethodStyle:
    """Look of one method."""

    label: str
    color: str
    """`#rrggbb` of Okabe and Ito's palette, which everybody can tell apart (https://jfly.uni-koeln.de/color/)."""
    marker: str
    """As matplotlib names it."""


_METHODS = {
    "unlearning_atu": MethodStyle(label="ATU", color="#0072B2", marker="o"),
    "unlearning_atu_released": MethodStyle(label="ATU as released", color="#D55E00", marker="D"),
    "unlearning_npo": MethodStyle(label="NPO + retain KL", color="#E69F00", marker="s"),
    "unlearning_ga": MethodStyle(label="GA + retain KL", color="#009E73", marker="^"),
    "unlearning_enpo": MethodStyle(label="ENPO", color="#CC79A7", marker="v"),
    # More methods than colors that everybody can tell apart: from here on kin share a color.
    "unlearning_masked": MethodStyle(label="masked distillation + retain KL", color="#0072B2", marker="^"),
    "unlearning_undial": MethodStyle(label="UNDIAL + retain KL", color="#0072B2", marker="s"),
    "unlearning_simnpo": MethodStyle(label="SimNPO + retain KL", color="#E69F00", marker="v"),
    "unlearning_dpo": MethodStyle(label="DPO (IDK) + retain KL", color="#E69F00", marker="o"),
    "unlearning_refusal": MethodStyle(label="refusal tuning + retain KL", color="#009E73", marker="D"),
    "unlearning_rmu": MethodStyle(label="RMU + retain KL", color="#D55E00", marker="^"),
}
# What is left of the palette, with grey for black so that it shows on dark paper; its yellow is lost on white.
_OTHER_COLORS = ("#56B4E9", "#999999")
_OTHER_MARKERS = ("P", "X", "<", ">", "*")
PALETTE = tuple(dict.fromkeys((*(style.color for style in _METHODS.values()), *_OTHER_COLORS)))
"""The colors of everything that is no method, such as the settings of an attack, in the order of their use."""
_MARKERS = (*_OTHER_MARKERS, "p", "h", "8")
_LOOKS = [(c, m) for m in _MARKERS for c in (*_OTHER_COLORS, *PALETTE)]
"""Looks that no known method has: what an unknown method takes when its own is taken."""


def method_style(method: str) -> MethodStyle:
    """Look of a method by task name, or by what a paper calls it (`NPO`); an unknown one always gets the same look.

    Two unknown methods may share a look (1 in 10): `method_styles` tells those of one picture apart.
    """
    if method in _METHODS:
        return _METHODS[method]
    short = f"unlearning_{method.lower()}"
    if short in _METHODS:
        return replace(_METHODS[short], label=method)
    number = zlib.crc32(method.encode())
    color = _OTHER_COLORS[number % len(_OTHER_COLORS)]
    marker = _OTHER_MARKERS[number // len(_OTHER_COLORS) % len(_OTHER_MARKERS)]
    return MethodStyle(label=method or "?", color=color, marker=marker)


def method_order(method: str) -> tuple[int, str]:
    """Sort key of methods in legends and tables: the known ones as above, then by name."""
    known = list(_METHODS)
    return (known.index(method) if method in _METHODS else len(known), method)


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
        label = one_line(names.get(method, style.label))
        styles[method] = replace(style, label=label, color=color, marker=marker)
    _refuse_same_labels(styles)
    return styles


def _refuse_same_labels(styles: Mapping[str, MethodStyle]) -> None:
    owner: dict[str, str] = {}
    for method, style in styles.items():
        other = owner.setdefault(style.label, method)
        if other != method:
            raise UserError(
                f"The methods '{other}' and '{method}' would both be called '{style.label}'. "
                "Give them different names under method_names."
            )
