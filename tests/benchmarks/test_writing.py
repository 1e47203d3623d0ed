"""What a model goes on to write is kept for the same model, openings and settings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from atu.benchmarks.writing import cached_continuations, continue_texts
from atu.models.language_model import LanguageModel

OPENINGS = ("The river ", "A castle in ")


def test_continuations_are_written_once(
    tiny_llm: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    llm = dataclasses.replace(tiny_llm, provenance={"sha256": "of these weights"})
    steps: list[int] = []

    def written(llm: LanguageModel, temperature: float = 1.0, seed: int = 0) -> list[str]:
        return cached_continuations(
            llm,
            OPENINGS,
            max_new_tokens=3,
            temperature=temperature,
            seed=seed,
            progress=lambda done, total: steps.append(done),
        )

    first = written(llm)
    assert first == continue_texts(tiny_llm, OPENINGS, max_new_tokens=3, temperature=1.0, seed=0, progress=None)
    once = len(steps)
    assert written(llm) == first
    assert len(steps) == once  # found
    assert written(llm, seed=1) != first
    written(llm, temperature=0.5)
    written(dataclasses.replace(tiny_llm, provenance={"sha256": "of others"}))
    written(dataclasses.replace(tiny_llm, provenance={}))  # unknown weights: written, not kept
    assert len(steps) == 5 * once
    assert len(list(tmp_path.rglob("*.json"))) == 4
