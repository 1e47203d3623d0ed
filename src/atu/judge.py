"""Asks a benchmark's probes at the ends of a run's stages, and keeps answers and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from atu.benchmarks.base import Benchmark
from atu.evaluation.batching import Progress
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import check_ids
from atu.models.language_model import LanguageModel
from atu.processes import peers
from atu.processes.notices import notice
from atu.records import Answer, Probe, Reference, Scoring, StageResult
from atu.runs.progress import RunProgress
from atu.runs.run_folder import BEFORE, RunFolder


@dataclass(frozen=True)
class Judge:
    """Asks the benchmark's probes at the end of stages and keeps what was answered before."""

    folder: RunFolder
    benchmark: Benchmark
    probes: Sequence[Probe]
    config: EvaluationConfig
    progress: RunProgress

    def record_before(self, llm: LanguageModel) -> list[Answer]:
        """What the reference answers; later stages are compared with it."""
        fault = peers.from_main(lambda: self.folder.stage_fault(BEFORE))
        if fault is None:
            return peers.from_main(lambda: self.folder.read_answers(BEFORE))
        if self.folder.stage_dir(BEFORE).exists():
            notice(f"{fault}; the reference model is asked again.")
        with self.progress.stage(f"asking the reference model {len(self.probes)} probes") as advance:
            answers = self._ask(llm, "itself", advance, as_loaded=True)
        self._write(StageResult(index=0, kind="before", label=BEFORE, scores={}, seconds=0.0), answers)
        return answers["corrected"]

    def record(self, llm: LanguageModel, result: StageResult, reference: Sequence[Answer] | None) -> None:
        """Ask all probes at the end of a stage. Without `reference`, no score compares with it."""
        with self.progress.stage(f"asking {len(self.probes)} probes ({result.label})") as advance:
            answers = self._ask(llm, reference, advance, as_loaded=False)
        self._write(result, answers)

    def _ask(
        self, llm: LanguageModel, reference: Reference, advance: Progress, *, as_loaded: bool
    ) -> dict[Scoring, list[Answer]]:
        """Answers to all probes, in their order; each process asks its share."""
        if peers.count() > 1:
            check_ids(self.probes, None)  # of two probes with one id, each may be in another share
        own = self.probes[peers.rank() :: peers.count()]  # so that each gets some of every kind
        parts = peers.from_all(
            lambda: self.benchmark.ask(
                llm, own, reference=reference, as_loaded=as_loaded, config=self.config, progress=advance
            )
        )
        place = {probe.id: number for number, probe in enumerate(self.probes)}
        return {
            scoring: sorted((answer for part in parts for answer in part[scoring]), key=lambda a: place[a.probe_id])
            for scoring in parts[0]
        }

    def _write(self, result: StageResult, answers: Mapping[Scoring, Sequence[Answer]]) -> None:
        if not peers.is_main():
            return
        judgements = self.benchmark.judge(answers, samples=self.config.bootstrap_samples)
        corrected = judgements.pop("corrected")
        self.folder.write_stage(replace(result, scores=corrected.scores), corrected.answers, judgements)
