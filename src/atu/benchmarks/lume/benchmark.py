"""LUME as a benchmark: what is to be forgotten, what is asked, and what the organisers make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.benchmarks.config import DataConfig
from atu.benchmarks.curriculum import Curriculum
from atu.benchmarks.general import files_sha256
from atu.benchmarks.gold import GOLD, gold_answers
from atu.benchmarks.icu import ask_in_context
from atu.benchmarks.lume.config import LumeConfig
from atu.benchmarks.lume.curriculum import RECIPE, lume_curriculum
from atu.benchmarks.lume.probes import GROUPS, build_probes, choose_rows, training_texts
from atu.benchmarks.lume.reader import SIDES, LumeData
from atu.benchmarks.lume.words import FURTHER_SCORES, LUME_WORDS
from atu.benchmarks.options import Option
from atu.benchmarks.privacy import MEMBERS, OTHERS, PRIVACY_SCORES
from atu.errors import UserError
from atu.extras import ROUGE_SCORE, SCIKIT_LEARN, Package, require
from atu.records import Answer, Judgement, Probe, Reference, Score, Scoring, Target
from atu.typed import from_mapping

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel

TARGET = Target(
    name="LUME's forget set",
    folder="forget",
    description="Invented stories, invented people with their private data, and biographies of real people.",
)


class LumeBenchmark(Benchmark):
    """One target: the forget set, or its part of some tasks."""

    name = "lume"
    groups = (*GROUPS, MEMBERS, OTHERS)
    further_scores = (*FURTHER_SCORES, *PRIVACY_SCORES)
    words = LUME_WORDS
    config: LumeConfig
    config_class = LumeConfig
    scorings = ("released", "corrected")
    options = (
        Option(
            flag="--tasks",
            key="tasks",
            help="1 (stories), 2 (invented people) and 3 (biographies), joined by commas; all of them by default.",
            is_list=True,
        ),
        Option(flag="--limit", key="limit", help="The first documents of each task and side alone.", takes=int),
        Option(
            flag="--utility-tasks",
            key="utility_tasks",
            help="Tasks of lm-evaluation-harness that are asked too; mmlu gives the organisers' final score.",
            commands=("evaluate",),
            is_list=True,
        ),
        GOLD,
    )
    recipe: ClassVar = RECIPE
    how_to_ask = "put a task that has rows into data.tasks"
    asked_by_attacks: ClassVar = {"utility_tasks": ()}

    def __init__(self, config: LumeConfig | None = None) -> None:
        """Raises UserError where the data folder is missing."""
        super().__init__(config)
        self.data = LumeData(self.config.data_dir)

    @property
    def default_target(self) -> str:
        """The only one."""
        return TARGET.folder

    def targets(self) -> list[str]:
        """The forget set."""
        return [TARGET.folder]

    def target(self, folder: str) -> Target:
        """The forget set. Raises UserError for another name."""
        if folder != TARGET.folder:
            raise UserError(f"LUME has no target '{folder}': its only one is '{TARGET.folder}', the forget set.")
        return TARGET

    def probes(self, folder: str) -> list[Probe]:
        """All rows of both sides, the membership texts where they are at hand, and the rows of `utility_tasks`."""
        probes = build_probes(self.data, self.config.tasks, self.config.limit)
        if self.config.icu:
            probes = ask_in_context(probes, self.target(folder).name)
        harness = self._harness()
        return probes if harness is None else [*probes, *harness.probes(folder)]

    def checksum(self, folder: str) -> str:
        """sha256 over both files, and the membership texts where they are at hand."""
        files: dict[str, Path] = {side: self.data.path(side) for side in SIDES}
        return files_sha256(files | self.data.membership_files())

    @classmethod
    def data_command(cls) -> Callable[..., None]:
        """See `Benchmark.data_command`."""
        from atu.benchmarks.lume.command import fetch  # brings typer

        return fetch

    def packages(self, scoring: str) -> dict[str, Package]:
        """See `Benchmark.packages`."""
        needed = {"LUME's ROUGE": ROUGE_SCORE}
        if self.data.membership_files():
            needed["LUME's membership score"] = SCIKIT_LEARN
        harness = self._harness()
        return needed if harness is None else needed | harness.packages(scoring)

    def settings(self) -> dict[str, Any]:
        """See `Benchmark.settings`."""
        harness = self._harness()
        return {
            "tasks": list(self.config.tasks),
            "limit": self.config.limit,
            "utility": None if harness is None else harness.settings(),
            **super().settings(),
        }

    def texts(self, target: Target, *, writer: str, seed: int) -> GivenTexts:
        """Both sides: beginnings with what follows them as prose, questions with their answers as turns."""
        chosen = {side: choose_rows(self.data, side, self.config.tasks, self.config.limit) for side in SIDES}
        return GivenTexts(
            forget=training_texts(chosen["forget"], target.name),
            retain=training_texts(chosen["retain"], "LUME's retain set"),
        )

    def curriculum(self, wanted: Sequence[str], without: Sequence[str], *, limit: int | None) -> Curriculum:
        """See `Benchmark.curriculum`: the documents of both sides; `limit` as in `data.limit`."""
        return lume_curriculum(self.data, wanted, without, limit)

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
        """See `Benchmark.ask`. Questions are asked by `corrected` as any others are, so they may be found again."""
        require(self.packages(config.scoring))
        from atu.benchmarks.lume.corrected import MAX_ANSWER_TOKENS
        from atu.benchmarks.lume.evaluator import ask_rows, is_question
        from atu.evaluation.batching import part_of
        from atu.evaluation.evaluate import answers_by_id, check_ids

        earlier = answers_by_id(reference)
        check_ids(probes, earlier)
        own = [probe for probe in probes if probe.id.startswith("lume/")]
        rest = [probe for probe in probes if not probe.id.startswith("lume/")]
        questions = [probe for probe in own if is_question(probe)] if config.scoring != "released" else []
        total = max(1, len(own) + len(questions) + len(rest))
        answers = ask_rows(
            llm,
            own,
            reference=reference,
            earlier=earlier,
            config=config,
            progress=part_of(progress, first=0, size=len(own), total=total),
        )
        if questions:
            short = [replace(probe, max_new_tokens=MAX_ANSWER_TOKENS) for probe in questions]
            answers["corrected"] += super().ask(
                llm,
                short,
                reference=reference,
                as_loaded=as_loaded,
                config=config,
                progress=part_of(progress, first=len(own), size=len(questions), total=total),
            )["corrected"]
        harness = self._harness()
        if rest and harness is not None:
            found = harness.ask(
                llm,
                rest,
                reference=reference,
                as_loaded=as_loaded,
                config=config,
                progress=part_of(progress, first=len(own) + len(questions), size=len(rest), total=total),
            )["corrected"]
            answers = {name: [*rows, *found] for name, rows in answers.items()}
        place = {probe.id: number for number, probe in enumerate(probes)}
        return {name: sorted(rows, key=lambda row: place[row.probe_id]) for name, rows in answers.items()}

    def score(self, probe: Probe, text: str) -> float:
        """ROUGE-L recall of a continuation, or whether a question is answered."""
        from atu.benchmarks.lume.evaluator import is_question
        from atu.evaluation.rouge import rouge

        if is_question(probe):
            return super().score(probe, text)
        return rouge(probe.references[0], text, use_stemmer=True).rougeL_recall

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """See `Benchmark.judge`."""
        from atu.benchmarks.lume.summary import lume_scores  # brings numpy

        judged, harness = {}, self._harness()
        for name, rows in answers.items():
            own = [row for row in rows if row.probe_id.startswith("lume/")]
            rest = [row for row in rows if not row.probe_id.startswith("lume/")]
            gold = None if self.config.gold is None else gold_answers(self.config.gold, own, name)
            utility: Mapping[str, Score] = {}
            if rest and harness is not None:
                utility = harness.judge({"corrected": rest}, samples=samples)["corrected"].scores
            scores = lume_scores(own, gold, utility, samples=samples)
            judged[name] = Judgement(scores=scores, answers=rows)
        return judged

    def _harness(self) -> Benchmark | None:
        """What asks `utility_tasks`; None where there are none."""
        if not self.config.utility_tasks:
            return None
        from atu.benchmarks.catalog import build_benchmark  # it imports this

        keys = {"benchmark": "lm-eval", "tasks": list(self.config.utility_tasks), "forget_tasks": []}
        return build_benchmark(from_mapping(DataConfig, keys, ""))
