"""What a benchmark is: targets, and the probes that are asked about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from atu.records import Answer, Before, Judgement, Probe, Scoring, Target

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel


@runtime_checkable
class Benchmark(Protocol):
    """A judge: says what can be forgotten, and what to ask before and after.

    `target` and `probes` raise UserError for a folder that the benchmark does not have.
    """

    @property
    def name(self) -> str:
        """Where its probe ids begin."""
        ...

    def targets(self) -> list[str]:
        """Folder names of all targets."""
        ...

    def target(self, folder: str) -> Target:
        """What to forget."""
        ...

    def probes(self, folder: str) -> list[Probe]:
        """What to ask: about the target, its neighbors and anything else."""
        ...

    def checksum(self, folder: str) -> str:
        """sha256 (hex) of the data behind the probes of a target, for a run's manifest."""
        ...

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
        """The model's answer to each probe, in the order of the probes, under each scoring of `config.scoring`.

        `before`: the corrected answers of the untouched model, or that `llm` is that model itself; with None nothing
        is compared, and no score relative to before can be had from the answers.
        `is_untouched`: the weights are those that `llm.provenance` names, so that answers may be found again.
        Raises UserError for whatever keeps a probe from being asked: never a score for it.
        """
        ...

    def score(self, probe: Probe, text: str) -> float:
        """Corrected row score (0..1) of a text written in answer to a `forget/` or `neighbor/` probe."""
        ...

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """Scores from answers, with `samples` resamplings behind each interval; needs no model."""
        ...
