"""Benchmarks whose answers are judged by the general rules of `atu.evaluation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from atu.records import Answer, Before, Judgement, Probe, Scoring

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel


class PlainScoring:
    """Asks each probe once and scores by `corrected` rules alone."""

    def ask(
        self,
        llm: LanguageModel,
        probes: Sequence[Probe],
        *,
        before: Before,
        is_untouched: bool,
        config: EvaluationConfig,
        progress: Progress | None = None,
    ) -> dict[Scoring, list[Answer]]:
        """See `Benchmark.ask`."""
        from atu.evaluation.evaluate import evaluate
        from atu.evaluation.untouched import untouched_answers

        if is_untouched and (before is None or isinstance(before, str)):
            return {"corrected": untouched_answers(llm, probes, config, progress, before=before)}
        return {"corrected": evaluate(llm, probes, before=before, config=config, progress=progress)}

    def score(self, probe: Probe, text: str) -> float:
        """See `Benchmark.score`."""
        from atu.evaluation.scorers import score_generate

        return score_generate(probe, text)

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """See `Benchmark.judge`."""
        from atu.evaluation.scores import summarize

        return {
            name: Judgement(scores=summarize(rows, samples=samples), answers=rows) for name, rows in answers.items()
        }
