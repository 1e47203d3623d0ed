"""The blocks of docs/python.md run as they stand, one after another, with the tiny model in the real one's place."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from workplace import Workplace

import atu

PAGE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


def test_the_blocks_run(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workplace.root)
    keys = dict(override.partition("=")[::2] for override in workplace.overrides())
    unlearn: Callable[..., Any] = atu.unlearn

    def tiny_unlearn(_model: str, _concept: str) -> atu.Run:
        found: atu.Run = unlearn(keys.pop("pre_trained_llm"), keys.pop("unlearning_target"), overrides=keys)
        return found

    monkeypatch.setattr(atu, "unlearn", tiny_unlearn, raising=False)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    known: dict[str, Any] = {}

    assert len(blocks) == 2
    for block in blocks:
        # The probes of the tiny concept are too few for attacks that split them.
        exec(block.replace('["relearn", "quantize"]', '["logit-lens"]'), known)

    assert known["run"].folder == workplace.root / "runs/tiny"
    assert list(known["found"].answers["corrected"]["text"]) == list(known["run"].answers["text_after"])
    assert len(known["rows"]) > 0
