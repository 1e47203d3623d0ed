"""How each method looks in every table, figure and page: the same label, colour and marker everywhere."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class MethodStyle:
    """Look of one method."""

    label: str
    color: str
    """`#rrggbb` of Okabe and Ito's palette, which everybody can tell apart (https://jfly.uni-koeln.de/color/)."""
    marker: str
    """As matplotlib names it."""


_METHODS = {
    "unlearning_atu": MethodStyle(label="ours", color="#0072B2", marker="o"),
    "unlearning_atu_released": MethodStyle(label="ATU as released", color="#D55E00", marker="D"),
    "unlearning_npo": MethodStyle(label="NPO + retain KL", color="#E69F00", marker="s"),
    "unlearning_ga": MethodStyle(label="GA + retain KL", color="#009E73", marker="^"),
    "unlearning_enpo": MethodStyle(label="ENPO", color="#CC79A7", marker="v"),
}
# What is left of the palette, with grey for black so that it shows on dark paper; its yellow is lost on white.
_OTHER_COLORS = ("#56B4E9", "#999999")
_OTHER_MARKERS = ("P", "X", "<", ">", "*")
PALETTE = tuple(dict.fromkeys((*(style.color for style in _METHODS.values()), *_OTHER_COLORS)))
"""The colours of everything that is no method, such as the settings of an attack, in the order of their use."""


def method_style(method: str) -> MethodStyle:
    """Look of a method by task name; an unknown one always gets the same look, which no known one has.

    Two unknown methods may share a look (1 in 10): their labels, which are their names, tell them apart.
    """
    if method in _METHODS:
        return _METHODS[method]
    number = zlib.crc32(method.encode())
    color = _OTHER_COLORS[number % len(_OTHER_COLORS)]
    marker = _OTHER_MARKERS[number // len(_OTHER_COLORS) % len(_OTHER_MARKERS)]
    return MethodStyle(label=method or "?", color=color, marker=marker)


def method_order(method: str) -> tuple[int, str]:
    """Sort key of methods in legends and tables: the known ones as above, then by name."""
    known = list(_METHODS)
    return (known.index(method) if method in _METHODS else len(known), method)
