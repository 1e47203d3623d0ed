"""Packages that only some settings need: the extras of pyproject.toml bring them. None is imported here."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from atu.errors import missing_package


@dataclass(frozen=True, kw_only=True)
class Package:
    """A package that a run without it does without."""

    name: str
    """As pip knows it."""
    modules: tuple[str, ...]
    """What is imported from it, and from the packages that come with it."""
    extra: str
    """The extra that brings it."""


BITSANDBYTES = Package(name="bitsandbytes", modules=("bitsandbytes",), extra="quantize")
LM_EVAL = Package(name="lm-eval", modules=("lm_eval",), extra="lm-eval")
NLTK = Package(name="nltk", modules=("nltk", "punkt"), extra="eval")
PYARROW = Package(name="pyarrow", modules=("pyarrow",), extra="parquet")
ROUGE = Package(name="rouge", modules=("rouge",), extra="eval")
ROUGE_SCORE = Package(name="rouge-score", modules=("rouge_score",), extra="eval")
SCIKIT_LEARN = Package(name="scikit-learn", modules=("sklearn",), extra="eval")


def needed_of(packages: Mapping[str, tuple[Package, bool]]) -> dict[str, Package]:
    """Those packages that are needed, for `require`.

    Args:
        packages: by setting, each with whether it is needed.
    """
    return {setting: package for setting, (package, is_needed) in packages.items() if is_needed}


def require(needed: Mapping[str, Package]) -> None:
    """Refuse what needs a package that is not installed.

    Args:
        needed: the package that each setting needs; the setting as a message names it.

    Raises:
        UserError: the first such setting, its package, and the extra that brings it.
    """
    for setting, package in needed.items():
        if any(find_spec(module) is None for module in package.modules):
            raise missing_package(setting, package.name, package.extra)


def import_absl() -> None:
    """Import the logging of absl, before a package that brings it: rouge-score, lm-eval.

    It keeps the stderr that it finds at its import, and closes it when logging is configured anew, unless it is the
    process's own: a caller that had put another one there for a while would lose it.
    """
    with redirect_stderr(sys.__stderr__):
        import_module("absl.logging")
