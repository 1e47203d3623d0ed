"""Reference results of the released evaluator, which are not part of the project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from atu.models.language_model import LanguageModel


@pytest.fixture(scope="session")
def golden_dir(shared_dir: Path) -> Path:
    """The folder with `scorers.json` and a folder a target."""
    folder = shared_dir / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden results at {folder}")
    return folder


@pytest.fixture(scope="session")
def smollm2_tokenizer(smollm2: LanguageModel) -> PreTrainedTokenizerBase:
    """The tokenizer that the golden results were made with."""
    return smollm2.tokenizer
