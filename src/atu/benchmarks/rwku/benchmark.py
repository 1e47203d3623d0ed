"""RWKU as a benchmark: targets, what to forget, and what to ask."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.benchmarks.curriculum import Curriculum
from atu.benchmarks.options import Option
from atu.benchmarks.rwku.config import RwkuConfig
from atu.benchmarks.rwku.corpora import corpus_file, expand_batch, foreign_writer, forget_and_retain
from atu.benchmarks.rwku.facts import checksum, choose_targets, own_facts, read_facts
from atu.benchmarks.rwku.files import INTRO, TRUTHFUL
from atu.benchmarks.rwku.prompts import TASKS, TRUTHFULNESS, build_probes
from atu.benchmarks.rwku.questionnaire import QUESTIONNAIRE
from atu.benchmarks.rwku.reader import RwkuData, target_name
from atu.benchmarks.rwku.rows import TruthfulRow
from atu.benchmarks.rwku.wordings import FRAMES, wordings
from atu.benchmarks.rwku.words import FURTHER_SCORES, GROUPS, RWKU_WORDS
from atu.extras import NLTK, ROUGE, SCIKIT_LEARN, Package, needed_of, require
from atu.records import Answer, Judgement, Probe, Reference, Scoring, Target
from atu.storage.user_files import read_bytes

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel


class RwkuBenchmark(Benchmark):
    """The targets of one data folder; `1-10` stands for the first ten."""

    name = "rwku"
    groups = GROUPS
    words = RWKU_WORDS
    further_scores = FURTHER_SCORES
    config: RwkuConfig
    config_class = RwkuConfig
    data_option = "rwku-positive"
    scorings = ("released", "corrected")
    options = (
        Option(
            flag="--tasks",
            key="tasks",
            help="Tasks to ask, joined by commas; all of them by default.",
            commands=("evaluate",),
            is_list=True,
        ),
    )
    asked_by_attacks: ClassVar = {"tasks": ("forget", "neighbor")}
    how_to_ask = "put forget into data.tasks"

    def __init__(self, config: RwkuConfig | None = None) -> None:
        """Raises UserError where the data folder is missing or has no target."""
        super().__init__(config)
        self.data = RwkuData(self.config.data_dir)

    def checksum(self, folder: str) -> str:
        """sha256 over names and bytes of the target's files."""
        digest = hashlib.sha256()
        for path in sorted(self.data.path(folder).glob("*.json")):
            digest.update(f"{folder}/{path.name}\n".encode())
            digest.update(read_bytes(path))
        return digest.hexdigest()

    def targets(self) -> list[str]:
        """Folder names of the targets in the data folder, by number."""
        return self.data.targets()

    def members(self, name: str) -> tuple[str, ...]:
        """See `Benchmark.members`; `1-10` is the first ten targets."""
        return expand_batch(self.data, name)

    def target(self, folder: str) -> Target:
        """Name and description from `intro.json`; neighbors are the other targets in the data folder.

        The neighbors that the benchmark asks about stay unknown: they are for judging.
        Raises UserError for an unknown target.
        """
        self.data.path(folder)
        return Target(
            name=target_name(folder),
            folder=folder,
            description=self._describe(folder),
            neighbors=tuple(target_name(other) for other in self.targets() if other != folder),
        )

    def probes(self, folder: str) -> list[Probe]:
        """All probes of the benchmark's tasks about a target."""
        return build_probes(self.data, folder, self.config.tasks or tuple(TASKS), icu=self.config.icu)

    @classmethod
    def data_command(cls) -> Callable[..., None]:
        """See `Benchmark.data_command`."""
        from atu.benchmarks.rwku.command import fetch  # brings typer

        return fetch

    def packages(self, scoring: str) -> dict[str, Package]:
        """See `Benchmark.packages`. The corrected scores of forget and neighbor probes need nothing."""
        tasks = set(self.config.tasks or TASKS)
        needed = {
            "RWKU's released scoring": (ROUGE, scoring != "corrected" and bool(tasks & {"forget", "neighbor"})),
            "RWKU's task mia": (SCIKIT_LEARN, "mia" in tasks),
            "RWKU's task fluency": (NLTK, "fluency" in tasks),
        }
        return needed_of(needed)

    def settings(self) -> dict[str, Any]:
        """See `Benchmark.settings`."""
        return {"tasks": list(self.config.tasks), **super().settings()}

    def texts(self, target: Target, *, writer: str, seed: int) -> GivenTexts:
        """Biographies that a model wrote, or passages, about the target and about others."""
        corpus = self.config.corpus
        file = corpus_file(corpus.rwku_file, writer)
        forget, retain = forget_and_retain(
            self.data,
            target.folder,
            file,
            num_forget_texts=corpus.num_forget_texts,
            num_others=corpus.num_neighbors,
            num_texts_per_other=corpus.num_texts_per_neighbor,
            seed=seed,
        )
        foreign = foreign_writer(file, writer)
        return GivenTexts(
            forget=forget,
            retain=retain,
            questionnaire=QUESTIONNAIRE,
            remark=None if foreign is None else f"the corpus {file} was written by {foreign}, not by {writer}",
        )

    def curriculum(self, wanted: Sequence[str], without: Sequence[str], *, limit: int | None) -> Curriculum:
        """See `Benchmark.curriculum`: people and their neighbors, from the fill-in and question files."""
        targets = choose_targets(self.data, wanted, without, limit)
        left_out = tuple(self.data.path(name).name for name in without)
        return Curriculum(
            facts=[wordings(fact) for fact in read_facts(self.data, targets, left_out)],
            left_out=[wordings(fact) for fact in own_facts(self.data, left_out)],
            taught=tuple(name for name in targets if name not in left_out),
            without=left_out,
            checksum=checksum(self.data, targets),
            frames=FRAMES,
            subject="the people of RWKU",
            account="facts from the fill-in and question files of RWKU about them and their neighbors. RWKU's "
            "adversarial questions, membership texts and utility files were not read. The forget files of people who "
            "were left out were not read either, nor any row that names one of them. RWKU's data are CC-BY-4.0.",
        )

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
        """See `Benchmark.ask`. One request serves both scorings where its tokens are the same."""
        require(self.packages(config.scoring))
        from atu.benchmarks.rwku.evaluator import ask_probes

        return ask_probes(
            llm,
            probes,
            self._truthful_rows(probes),
            reference=reference,
            as_loaded=as_loaded,
            config=config,
            progress=progress,
        )

    def score(self, probe: Probe, text: str) -> float:
        """See `Benchmark.score`."""
        from atu.benchmarks.rwku.corrected import row_score

        return row_score(probe, text)

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """See `Benchmark.judge`."""
        from atu.benchmarks.rwku.summary import corrected_scores, released_scores  # brings numpy

        score = {"released": released_scores, "corrected": corrected_scores}
        return {
            name: Judgement(scores=score[name](rows, samples=samples), answers=rows) for name, rows in answers.items()
        }

    def _truthful_rows(self, probes: Sequence[Probe]) -> dict[str, TruthfulRow]:
        """The rows of the TruthfulQA probes by id: which choices belong to MC1 is not in a probe."""
        asked = [probe.id for probe in probes if probe.group == TRUTHFULNESS]
        rows = {folder: self.data.read(folder, TRUTHFUL) for folder in {_split(probe_id)[0] for probe_id in asked}}
        return {probe_id: rows[folder][number] for probe_id in asked for folder, number in [_split(probe_id)]}

    def _describe(self, folder: str) -> str:
        row = self.data.read(folder, INTRO)[0]
        return row.intro.removeprefix(f"Please forget {row.target}").lstrip(". ")


def _split(probe_id: str) -> tuple[str, int]:
    """Target folder and row of `rwku/<folder>/<file>/<row>`."""
    _, folder, _, number = probe_id.split("/")
    return folder, int(number)
