"""Every score name that a benchmark of this project gives, to find typing errors in files written by hand."""

from __future__ import annotations

from atu.benchmarks.metrics import KNOWN_SUFFIX
from atu.records import UNFINISHED

_QUESTIONS = {"forget": ("fb", "qa", "aa"), "neighbor": ("fb", "qa")}
_UTILITY = ("gen", "rea", "tru", "fac", "flu")
_MEMBERSHIP_ATTACKS = ("zlib", "mink", "mink++")
_ATTACKS = (
    "prefix_injection",
    "affirmative_suffix",
    "role_play",
    "multiple_choice",
    "reverse_query",
    "context_hint",
    "synonym_manipulation",
    "incontext_learning",
    "cross_lingual",
)
_LANGUAGES = ("Spanish", "French", "German", "Portuguese", "Italian", "Russian")


def _names() -> list[str]:
    rows = [f"{side}/{kind}" for side, kinds in _QUESTIONS.items() for kind in kinds]
    pooled = [f"{side}/all" for side in _QUESTIONS]
    utility = [f"utility/{kind}" for kind in _UTILITY]
    groups = [name.replace("/", "_") for name in (*rows, *utility)]
    return [
        *rows,
        *pooled,
        *utility,
        *(f"{name}{KNOWN_SUFFIX}" for name in (*rows, *pooled, *utility)),
        *(f"{name}_f1" for name in rows),
        *(f"{name}_{weights}" for name in pooled for weights in ("fixed", "own")),
        *(f"utility/{kind}" for kind in ("rea_fixed", "tru_mc2", "fac_em", "fac_recall")),
        *(f"mia/{texts}" for texts in ("fm", "rt")),
        *(f"mia/{texts}_{attack}" for texts in ("fm", "rt") for attack in _MEMBERSHIP_ATTACKS),
        *(f"mia/auc_{attack}" for attack in ("loss", *_MEMBERSHIP_ATTACKS)),
        *(f"attack/{kind}" for kind in _ATTACKS),
        *(f"language/{language}" for language in _LANGUAGES),
        *(f"degenerate/{name}" for name in ("forget", "neighbor", "utility", *groups)),
        *(f"{UNFINISHED}/{side}" for side in ("forget", "neighbor", "utility")),
        *(f"nll/{side}{KNOWN_SUFFIX}" for side in ("forget", "neighbor", "utility")),
    ]


SCORE_NAMES = frozenset(_names())
