"""The results of another program before the judge, and what says of any evaluation what was asked. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from atu.benchmarks.base import Benchmark
from atu.benchmarks.several import find_checksum, find_probes
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.records import Judgement, Probe, Scoring
from atu.runs.evaluation_folder import EvaluationFolder
from atu.storage.files import content_key
from atu.storage.user_files import file_sha256, shown


def is_log(model: str) -> bool:
    """Whether what stands for a model is a file of results."""
    path = Path(model).expanduser()
    return path.suffix == ".json" and not path.is_dir()


def evaluate_log(
    path: Path, benchmark: Benchmark, target: str, evaluation: EvaluationConfig, folder: EvaluationFolder
) -> Mapping[Scoring, Judgement]:
    """Score what another program's log says that a model answered; writes what `evaluate_finished` does.

    Args:
        target: folder name.

    Raises:
        UserError: anything that the user can mend.
    """
    probes = find_probes(benchmark, target)
    asked = asked_of(benchmark, target, probes, evaluation)
    identity = {"model": {"label": path.name, "source": str(path), "sha256": file_sha256(path)}, **asked}
    folder.refuse_other(identity)
    answers = benchmark.read_log(path, probes)
    if not any(answers.values()):
        raise UserError(f"{shown(path)} says nothing about the questions of {benchmark.name}'s '{target}'.")
    judgements = benchmark.judge(answers, samples=evaluation.bootstrap_samples)
    folder.write(identity, judgements, benchmark.files(judgements))
    return judgements


def asked_of(
    benchmark: Benchmark, target: str, probes: Sequence[Probe], evaluation: EvaluationConfig
) -> dict[str, Any]:
    """What is asked and how it is scored: the part of an evaluation's identity that no model has a part in."""
    return {
        "benchmark": {
            "name": benchmark.name,
            "target": target,
            "checksum": find_checksum(benchmark, target),
            **benchmark.settings(),
            "probes": content_key({"probes": [asdict(probe) for probe in probes]}),
        },
        "scoring": evaluation.scoring,
        "bootstrap_samples": evaluation.bootstrap_samples,
    }
