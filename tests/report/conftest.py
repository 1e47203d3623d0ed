"""A finished run about Shakespeare, made by hand."""

from __future__ import annotations

from made_run import hostile, make_record, make_run, open_page

__all__ = ["hostile", "make_record", "make_run", "open_page"]
