"""The contract of a benchmark: what can be forgotten, what is asked about it, and what the answers are worth.

No torch here: configs, help and reports read from a benchmark's class what it takes and what its scores mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from atu.benchmarks.config import DataConfig
from atu.benchmarks.curriculum import Curriculum
from atu.benchmarks.gold import GoldConfig, gold_file
from atu.benchmarks.options import Option
from atu.errors import UserError
from atu.extras import Package
from atu.records import Answer, Judgement, Probe, Reference, Scoring, Target, Text
from atu.storage.user_files import file_sha256
from atu.text.metric_words import MetricWords

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True)
class GivenTexts:
    """Texts to train on that lie in files."""

    forget: Sequence[Text] = ()
    """About the concept."""
    retain: Sequence[Text] = ()
    """About anything else, which must stay."""
    questionnaire: Sequence[str] = ()
    """Questions with `{name}` in them, for the rows that are asked of the model and added to these texts."""
    is_running: bool = False
    """Whether each side is running text: it is joined and cut into pieces of `data.corpus.max_input_length` tokens."""
    remark: str | None = None
    """What a user should know of them."""


class Benchmark(ABC):
    """A judge: says what can be forgotten, and what to ask before and after.

    A benchmark is a folder: a subclass of this with its files, its config class and the words of its scores, and a line
    in `atu.benchmarks.catalog`. `target` and `probes` must be given; a benchmark that asks in its own way overrides
    `ask`, and `score` and `judge` with it. `target`, `probes` and `checksum` raise UserError for a folder that the
    benchmark does not have.
    """

    name: ClassVar[str]
    """Where its probe ids begin, and what `data.benchmark` calls it."""
    config_class: ClassVar[type[DataConfig]] = DataConfig
    """Its keys under `data`."""
    data_option: ClassVar[str]
    """The option of config/data that chooses it; its name where nothing else is said."""
    options: ClassVar[tuple[Option, ...]] = ()
    """What `atu evaluate` and `atu attack` take for it alone."""
    scorings: ClassVar[tuple[Scoring, ...]] = ("corrected",)
    """The rules by which its answers can be scored; `corrected` among them."""
    groups: ClassVar[tuple[str, ...]]
    """The groups of its probes, such as `forget/qa`: the names of their scores. What begins with `forget/`, `neighbor/`
    or `utility/` is read by the verdict."""
    further_scores: ClassVar[tuple[str, ...]] = ()
    """Names of scores besides those that `atu.evaluation.score_words` makes of the groups."""
    words: ClassVar[MetricWords] = MetricWords()
    """What its scores mean, where the words of `atu.evaluation.score_words` do not say it. A name means the same in
    every benchmark."""
    asked_by_attacks: ClassVar[Mapping[str, object]] = {}
    """Keys of its config as `atu attack` sets them: attacks ask about the target and its neighbors alone."""
    how_to_ask: ClassVar[str] = "choose another part of the benchmark"
    """What a user does to have something asked about the concept, where nothing is."""

    recipe: ClassVar[Mapping[str, object]] = {}
    """What `atu teach` does with its facts otherwise than config/teach.yaml says: keys of `recipe` there."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "data_option" not in vars(cls) and "name" in vars(cls):
            cls.data_option = cls.name

    def __init__(self, config: DataConfig | None = None) -> None:
        self.config = self.config_class() if config is None else config

    @property
    def proposes_probes(self) -> bool:
        """Whether the model that is to forget proposes what is asked, since nothing else was given."""
        return False

    def propose_probes(
        self, path: Path, llm: LanguageModel, target: Target, *, seed: int, progress: Callable[[str], Progress | None]
    ) -> str:
        """Have the model propose probes about a target, write them to a file, and say how many there are.

        Raises:
            UserError: it knows nothing of the target.
        """
        raise NotImplementedError

    def with_probes(self, path: Path) -> Benchmark:
        """The same with the probes of such a file."""
        raise NotImplementedError

    @abstractmethod
    def targets(self) -> list[str]:
        """Folder names of all targets."""

    def members(self, name: str) -> tuple[str, ...]:
        """Folder names that one name stands for: here that name alone, elsewhere perhaps several targets.

        Raises:
            UserError: it stands for a target that the benchmark does not have.
        """
        return (name,)

    @property
    def default_target(self) -> str | None:
        """The target where `atu evaluate` names none; None where it has to be named, or the model's card says it."""
        return None

    @abstractmethod
    def target(self, folder: str) -> Target:
        """What to forget."""

    @abstractmethod
    def probes(self, folder: str) -> list[Probe]:
        """What to ask: about the target, its neighbors and anything else."""

    @abstractmethod
    def checksum(self, folder: str) -> str:
        """sha256 (hex) of the data behind the probes of a target, for a run's manifest."""

    @classmethod
    def data_command(cls) -> Callable[..., None] | None:
        """What `atu data NAME` does to get its files: a function whose parameters typer reads; None for no command."""
        return None

    def packages(self, scoring: str) -> dict[str, Package]:
        """What asking and scoring need of the project's extras, for `require`: setting → package.

        Args:
            scoring: `evaluation.scoring`, a name of `scorings` or `both`.
        """
        return {}

    def settings(self) -> dict[str, Any]:
        """What of its config decides what is asked and how it is scored, as `evaluation.json` has it."""
        settings: dict[str, Any] = {"icu": self.config.icu}
        if isinstance(self.config, GoldConfig) and self.config.gold is not None:
            settings["gold"] = file_sha256(gold_file(self.config.gold))
        return settings

    def texts(self, target: Target, *, writer: str, seed: int) -> GivenTexts:
        """Its own texts to train on (`data.corpus.source` is its name).

        Args:
            writer: name of the model that is trained.

        Raises:
            UserError: it has none, or none for this model.
        """
        raise UserError(f"The benchmark '{self.name}' has no texts to train on: set data.corpus.source=generated.")

    def curriculum(self, wanted: Sequence[str], without: Sequence[str], *, limit: int | None) -> Curriculum:
        """What `atu teach` teaches a model, so that there is something to forget.

        Args:
            wanted: names of the parts to teach; `("all",)` means all that there are.
            without: names of parts among them that the model shall never meet.
            limit: most people, authors or documents to teach; None for all.

        Raises:
            UserError: it has nothing to teach, no such part, or nothing is left of what was chosen.
        """
        raise UserError(f"The benchmark '{self.name}' has nothing to teach.")

    def ask(
        self,
        llm: LanguageModel,
        probes: Sequence[Probe],
        *,
        reference: Reference,
        as_loaded: bool,
        config: EvaluationConfig,
        progress: Progress | None = None,
    ) -> dict[Scoring, list[Answer]]:
        """The model's answer to each probe, in the order of the probes, under each scoring of `config.scoring`.

        Here each probe is asked once and scored by the general rules of `atu.evaluation`.

        `reference`: the corrected answers of the model as it was, or that `llm` is that model itself; with None nothing
        is compared, and no score relative to it can be had from the answers.
        `as_loaded`: the weights are those that `llm.provenance` names, so that answers may be found again.
        Raises UserError for whatever keeps a probe from being asked: never a score for it.
        """
        from atu.evaluation.cached import cached_answers
        from atu.evaluation.evaluate import evaluate

        if as_loaded and (reference is None or isinstance(reference, str)):
            return {"corrected": cached_answers(llm, probes, config, progress, reference=reference)}
        return {"corrected": evaluate(llm, probes, reference=reference, config=config, progress=progress)}

    def score(self, probe: Probe, text: str) -> float:
        """Corrected row score (0..1) of a text written in answer to a `forget/` or `neighbor/` probe."""
        from atu.evaluation.scorers import score_generate

        return score_generate(probe, text)

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """Scores from answers, with `samples` resamplings behind each interval; needs no model."""
        from atu.evaluation.scores import summarize

        return {
            name: Judgement(scores=summarize(rows, samples=samples), answers=rows) for name, rows in answers.items()
        }

    def check(self, probes: Sequence[Probe], scoring: str) -> None:
        """Raise UserError for what would keep the answers to these probes from being judged, before a model is asked.

        Args:
            scoring: `evaluation.scoring`, a name of `scorings` or `both`.
        """
        return

    def files(self, judgements: Mapping[Scoring, Judgement]) -> dict[str, Any]:
        """Further files of an evaluation's folder, name → JSON value: scores in the form that other programs read."""
        return {}

    def read_log(self, path: Path, probes: Sequence[Probe]) -> dict[Scoring, list[Answer]]:
        """The answers that another program's log of this benchmark tells of, in place of a model's.

        Raises:
            UserError: the benchmark knows no such log, or this is none, or it is of other probes.
        """
        raise UserError(f"{path}: the benchmark '{self.name}' evaluates models, and no file of results.")
