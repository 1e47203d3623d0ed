from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from atu.evaluation.rouge import rouge


def test_by_hand() -> None:
    """The longest common subsequence of `the cats were sleeping` and `the cat sleeping soundly`."""
    plain = rouge("The cats were sleeping.", "the cat, sleeping soundly", use_stemmer=False)
    assert (plain.rouge1_recall, plain.rougeL_recall, plain.rougeL_f1) == (2 / 4, 2 / 4, 0.5)
    stemmed = rouge("The cats were sleeping.", "the cat, sleeping soundly", use_stemmer=True)
    assert stemmed.rougeL_recall == 3 / 4  # cats and cat have one stem
    assert stemmed.rougeL_f1 == pytest.approx(0.75)


def test_order_counts_for_the_subsequence_alone() -> None:
    found = rouge("one two three four", "three one", use_stemmer=False)
    assert (found.rouge1_recall, found.rougeL_recall) == (2 / 4, 1 / 4)
    assert found.rougeL_f1 == pytest.approx(2 * (1 / 4) * (1 / 2) / (1 / 4 + 1 / 2))


def test_an_empty_text_has_none() -> None:
    assert rouge("a truth", "", use_stemmer=True).rougeL_f1 == 0.0


def test_a_stderr_that_was_there_for_a_while_is_not_closed() -> None:
    """absl keeps the one of its import, and closes it when logging is configured anew."""
    code = (
        "import io, logging.config, sys\n"
        "from contextlib import redirect_stderr\n"
        "from atu.evaluation.rouge import rouge\n"
        "kept = io.StringIO()\n"
        "with redirect_stderr(kept):\n"
        "    rouge('a word', 'a word', use_stemmer=True)\n"
        "logging.config.dictConfig({'version': 1})\n"
        "assert 'absl' in sys.modules and not kept.closed\n"
    )
    source = Path(__file__).resolve().parents[2] / "src"
    code = f"import sys; sys.path.insert(0, {str(source)!r})\n{code}"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
