"""A finished run about Shakespeare, made by hand."""

from __future__ import annotations

from made_run import make_run

__all__ = ["make_run"]
