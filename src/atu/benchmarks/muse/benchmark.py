"""MUSE as a benchmark: its two corpora, what to forget, and what to ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.benchmarks.general import files_sha256
from atu.benchmarks.gold import GOLD, gold_answers, gold_log, gold_sha256
from atu.benchmarks.icu import ask_in_context
from atu.benchmarks.muse.config import MuseConfig
from atu.benchmarks.muse.files import FILES, FORGET_SHOTS, RETAIN_SHOTS, RETAIN_TEXTS
from atu.benchmarks.muse.log import EVAL_FILE, log_files, texts_of_log
from atu.benchmarks.muse.prompts import FORGET_KNOWLEDGE, GROUPS, RETAIN_KNOWLEDGE, TASKS, build_probes
from atu.benchmarks.muse.reader import MuseData, Row
from atu.benchmarks.muse.words import MUSE_WORDS
from atu.benchmarks.options import Option
from atu.benchmarks.privacy import GRADNORM, MEMBERS, MEMORIZATION_SCORES, OTHERS, PRIVACY_SCORES
from atu.errors import UserError
from atu.extras import ROUGE_SCORE, SCIKIT_LEARN, Package, needed_of, require
from atu.records import Answer, Judgement, Probe, Reference, Scoring, Target, Text

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel

_TARGETS = {
    "news": Target(
        name="BBC News", folder="news", description="Articles of BBC News from after August 2023.", neighbors=()
    ),
    "books": Target(
        name="Harry Potter", folder="books", description="The Harry Potter novels by J. K. Rowling.", neighbors=()
    ),
}
_SHOTS = {FORGET_KNOWLEDGE: FORGET_SHOTS, RETAIN_KNOWLEDGE: RETAIN_SHOTS}


class MuseBenchmark(Benchmark):
    """Texts are the target, not a concept: articles of News or the novels of Books."""

    name = "muse"
    groups = GROUPS
    further_scores = (*PRIVACY_SCORES, *MEMORIZATION_SCORES)
    words = MUSE_WORDS
    config: MuseConfig
    config_class = MuseConfig
    scorings = ("released", "corrected")
    options = (
        Option(flag="--corpus", key="collection", help="Whose texts were to be forgotten: news or books."),
        Option(
            flag="--tasks",
            key="tasks",
            help="forget, retain, verbatim and privacy, joined by commas; all of them by default.",
            commands=("evaluate",),
            is_list=True,
        ),
        replace(GOLD, help=f"{GOLD.help[:-1]}, or a MUSE_EVAL.json."),
        GRADNORM,
    )
    asked_by_attacks: ClassVar = {
        "tasks": ("forget", "retain"),
        "corpus": {
            "source": "muse",
            "max_input_length": 2048,
            "num_question_rows": 0,
            "num_neighbor_question_rows": 0,
            "num_quiz_rows": 0,
            "num_neighbor_quiz_rows": 0,
        },
    }
    how_to_ask = "put forget into data.tasks"

    def __init__(self, config: MuseConfig | None = None) -> None:
        """Raises UserError where the data folder is missing or has no corpus."""
        super().__init__(config)
        self.data = MuseData(self.config.data_dir)

    @property
    def default_target(self) -> str | None:
        """The corpus that `--corpus` names."""
        return self.config.collection

    def targets(self) -> list[str]:
        """The corpora in the data folder."""
        return self.data.collections()

    def target(self, folder: str) -> Target:
        """A corpus. Raises UserError for one that is not there, or another one than `--corpus` names."""
        if self.config.collection not in (None, folder):
            raise UserError(f"The target is '{folder}', but --corpus (data.collection) is '{self.config.collection}'.")
        for name in (FORGET_SHOTS, RETAIN_SHOTS):
            self.data.path(folder, name)
        return _TARGETS[folder]

    def probes(self, folder: str) -> list[Probe]:
        """All rows of the tasks' files; with `icu` the request to forget stands in questions and before passages."""
        probes = build_probes(self.data, folder, self.config.tasks or tuple(TASKS))
        return ask_in_context(probes, self.target(folder).name) if self.config.icu else probes

    def checksum(self, folder: str) -> str:
        """sha256 over the files that are asked."""
        return files_sha256({name: self.data.path(folder, name) for name, file in FILES.items() if file.is_asked})

    def packages(self, scoring: str) -> dict[str, Package]:
        """See `Benchmark.packages`."""
        tasks = set(self.config.tasks or TASKS)
        needed = {
            "MUSE's ROUGE": (ROUGE_SCORE, bool(tasks - {"privacy"})),
            "MUSE's task privacy": (SCIKIT_LEARN, "privacy" in tasks),
        }
        return needed_of(needed)

    def settings(self) -> dict[str, Any]:
        """See `Benchmark.settings`."""
        settings = {name: getattr(self.config, name) for name in ("gradnorm", "icu")}
        settings["tasks"] = list(self.config.tasks)
        if self.config.gold is not None:
            settings["gold"] = gold_sha256(self.config.gold, EVAL_FILE)
        return settings

    @classmethod
    def data_command(cls) -> Callable[..., None]:
        """See `Benchmark.data_command`."""
        from atu.benchmarks.muse.command import fetch  # brings typer

        return fetch

    def texts(self, target: Target, *, writer: str, seed: int) -> GivenTexts:
        """The texts to forget and those that MUSE's baselines retain, as running text."""
        forget, retain = (
            [Text(text=row[0], subject=subject, source="muse") for row in self.data.rows(target.folder, name)]
            for name, subject in ((self.config.corpus.forget_texts, target.name), (RETAIN_TEXTS, "retain1"))
        )
        return GivenTexts(forget=forget, retain=retain, is_running=True)

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
        """See `Benchmark.ask`."""
        require(self.packages(config.scoring))
        from atu.benchmarks.muse.evaluator import ask_probes

        return ask_probes(
            llm,
            probes,
            self._shots(probes),
            reference=reference,
            config=config,
            with_gradients=self.config.gradnorm,
            progress=progress,
        )

    def score(self, probe: Probe, text: str) -> float:
        """ROUGE-L's F1 with the true answer."""
        from atu.evaluation.rouge import rouge

        return rouge(probe.references[0], text, use_stemmer=False).rougeL_f1

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """See `Benchmark.judge`."""
        from atu.benchmarks.muse.summary import muse_scores  # brings numpy

        judgements: dict[Scoring, Judgement] = {}
        for name, rows in answers.items():
            scores = muse_scores(rows, self._gold(rows, name), samples=samples, is_released=name == "released")
            judgements[name] = Judgement(scores=scores, answers=rows)
        return judgements

    def check(self, probes: Sequence[Probe], scoring: str) -> None:
        """See `Benchmark.check`: the gold model's answers are to the same texts."""
        for name in self.scorings:
            if scoring in (name, "both"):
                self._gold(probes, name)

    def files(self, judgements: Mapping[Scoring, Judgement]) -> dict[str, Any]:
        """MUSE_EVAL.json and MUSE_SUMMARY.json, where the answers were scored by the released rules."""
        released = judgements.get("released")
        return {} if released is None else log_files(released.answers, released.scores)

    def _gold(self, asked: Sequence[Probe | Answer], scoring: Scoring) -> list[Answer] | None:
        """What the gold model gave to the texts of the membership attacks, which alone are compared.

        None also where a log is given and the scoring is another than the log's: two rules do not compare.
        """
        if self.config.gold is None:
            return None
        texts = [one for one in asked if one.group in (MEMBERS, OTHERS)]
        log = gold_log(self.config.gold, EVAL_FILE)
        if log is None:
            return gold_answers(self.config.gold, texts, scoring)
        return texts_of_log(log, texts) if scoring == "released" and texts else None

    def _shots(self, probes: Sequence[Probe]) -> dict[str, Sequence[Row]]:
        """The worked examples before the questions of each group that is asked."""
        asked = {probe.group: probe.id.split("/")[1] for probe in probes}
        return {group: self.data.rows(asked[group], name) for group, name in _SHOTS.items() if group in asked}
