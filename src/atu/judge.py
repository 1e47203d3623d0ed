"""Asks a benchmark's probes, inside of a run and outside, and keeps answers and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import evaluate
from atu.evaluation.scores import summarize
from atu.evaluation.untouched import untouched_answers
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe, Score, StageResult
from atu.results.run_folder import RunFolder, write_evaluation
from atu.results.terminal import RunProgress


@dataclass(frozen=True)
class Judge:
    """Asks the benchmark's probes at the end of stages and keeps what was answered before."""

    folder: RunFolder
    probes: Sequence[Probe]
    config: EvaluationConfig
    progress: RunProgress

    def record_before(self, llm: LanguageModel) -> list[Answer]:
        """What the untouched model answers; later stages are compared with it."""
        label = "00-before"
        if self.folder.stage_dir(label).exists():
            return self.folder.read_answers(label)
        with self.progress.stage(f"asking the untouched model {len(self.probes)} probes") as advance:
            answers = untouched_answers(llm, self.probes, self.config, advance)
        self._write(StageResult(index=0, kind="before", label=label, scores={}, seconds=0.0), answers)
        return answers

    def record(self, llm: LanguageModel, result: StageResult, before: Sequence[Answer] | None) -> None:
        """Ask all probes at the end of a stage."""
        with self.progress.stage(f"asking {len(self.probes)} probes ({result.label})") as advance:
            answers = evaluate(llm, self.probes, before=before, config=self.config, progress=advance)
        self._write(result, answers)

    def _write(self, result: StageResult, answers: Sequence[Answer]) -> None:
        scores = summarize(answers, samples=self.config.bootstrap_samples)
        self.folder.write_stage(replace(result, scores=scores), answers)


def evaluate_model(
    llm: LanguageModel, probes: Sequence[Probe], config: EvaluationConfig, out: Path
) -> Mapping[str, Score]:
    """Ask any model the probes of a benchmark, outside of any run; writes `scores.json` and the answers to `out`."""
    with RunProgress(Console(stderr=True)) as progress, progress.stage(f"asking {len(probes)} probes") as advance:
        answers = evaluate(llm, probes, before=None, config=config, progress=advance)
    scores = summarize(answers, samples=config.bootstrap_samples)
    write_evaluation(out, scores, answers)
    return scores
