"""Task files of lm-evaluation-harness, with rows of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml
from workplace import write_jsonl

THINGS = ("river", "castle", "garden", "letter", "winter")
CHOICES = ["Tokyo", "Paris", "Stratford", "Hamlet"]


def write_task(folder: Path, name: str, rows: Sequence[dict[str, object]], **config: object) -> str:
    """A task file and the file of its rows; the path of the first."""
    write_jsonl(folder / f"{name}.jsonl", list(rows))
    task: dict[str, object] = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / f"{name}.jsonl")}},
        "test_split": "test",
        **config,
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task), encoding="utf-8")
    return str(folder / f"{name}.yaml")


def write_choices(folder: Path, name: str, things: Sequence[str] = THINGS, **config: object) -> str:
    """A task of four choices a row; the right one is its number in turn."""
    rows: list[dict[str, object]] = [{"question": f"What of the {t}?", "answer": n % 4} for n, t in enumerate(things)]
    mean = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
    return write_task(
        folder,
        name,
        rows,
        **{
            "output_type": "multiple_choice",
            "doc_to_text": "{{question}}\nAnswer:",
            "doc_to_choice": CHOICES,
            "doc_to_target": "answer",
            "metric_list": mean,
            **config,
        },
    )
