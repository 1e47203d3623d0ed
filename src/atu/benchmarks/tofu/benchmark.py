"""TOFU as a benchmark: which authors are forgotten, what is asked about them and others, and what it is worth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from atu.benchmarks.base import Benchmark, GivenTexts
from atu.benchmarks.curriculum import Curriculum
from atu.benchmarks.gold import GOLD, gold_sha256
from atu.benchmarks.icu import forget_in_context
from atu.benchmarks.options import Option
from atu.benchmarks.privacy import GRADNORM
from atu.benchmarks.tofu.authors import author_names
from atu.benchmarks.tofu.config import TASKS, TofuConfig
from atu.benchmarks.tofu.curriculum import RECIPE, tofu_curriculum
from atu.benchmarks.tofu.files import SPLITS
from atu.benchmarks.tofu.probes import GROUPS, build_probes, parts_of, row_of
from atu.benchmarks.tofu.reader import TofuData
from atu.benchmarks.tofu.words import FURTHER_SCORES, TOFU_WORDS
from atu.errors import UserError, did_you_mean
from atu.extras import ROUGE_SCORE, SCIKIT_LEARN, Package, needed_of, require
from atu.records import Answer, Judgement, Probe, Reference, Scoring, Target, Text
from atu.storage.user_files import read_bytes

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel


class TofuBenchmark(Benchmark):
    """The authors of one split, all of whom are one target."""

    name = "tofu"
    groups = GROUPS
    words = TOFU_WORDS
    further_scores = FURTHER_SCORES
    config: TofuConfig
    config_class = TofuConfig
    scorings = ("released", "corrected")
    options = (
        Option(flag="--split", key="split", help=f"Authors to forget: {', '.join(SPLITS)}."),
        Option(
            flag="--tasks",
            key="tasks",
            help=f"What to ask, joined by commas: {', '.join(TASKS)}; all of it by default.",
            commands=("evaluate",),
            is_list=True,
        ),
        Option(flag="--template", key="template", help="Put questions by the chat template or plain: chat, plain."),
        GRADNORM,
        replace(GOLD, help=f"{GOLD.help[:-1]}, or a TOFU_EVAL.json."),
    )
    asked_by_attacks: ClassVar = {
        "tasks": ("forget", "retain"),
        "corpus": {
            "source": "tofu",
            "num_question_rows": 0,
            "num_neighbor_question_rows": 0,
            "num_quiz_rows": 0,
            "num_neighbor_quiz_rows": 0,
            "held_out_share": 0,
        },
    }
    recipe: ClassVar = RECIPE
    how_to_ask = "put forget into data.tasks"

    def __init__(self, config: TofuConfig | None = None) -> None:
        """Raises UserError where the data folder is missing or holds no file of TOFU."""
        super().__init__(config)
        self.data = TofuData(self.config.data_dir)

    @property
    def default_target(self) -> str:
        """The split that `data.split` names."""
        return self.config.split

    def targets(self) -> list[str]:
        """The split that `data.split` names, and no other: the others have other questions."""
        return [self.config.split]

    def target(self, folder: str) -> Target:
        """All authors of the split.

        Raises:
            UserError: `folder` is not what `data.split` names.
        """
        if folder != self.config.split:
            how = f"set data.split={folder} (--split {folder})" if folder in SPLITS else did_you_mean(folder, SPLITS)
            raise UserError(f"data.split is {self.config.split}, so '{folder}' is no target: {how.strip()}.")
        files = SPLITS[self.config.split]
        names = tuple(dict.fromkeys(author_names(self.data.rows(files.forget))))
        return Target(
            name=", ".join(names),
            folder=folder,
            description=f"{', '.join(names)}: writers of novels and other books.",
            neighbors=tuple(dict.fromkeys(author_names(self.data.rows(files.retain)))),
            aliases=names,
            members=names,
        )

    def probes(self, folder: str) -> list[Probe]:
        """The rows of the tasks that are asked."""
        target = self.target(folder)
        asked = build_probes(self.data, self.config.split, self.config.tasks)
        return forget_in_context(asked, target.name) if self.config.icu else asked

    def checksum(self, folder: str) -> str:
        """sha256 over names and bytes of the files that are asked or trained on."""
        files = SPLITS[self.config.split]
        names = {files.forget, files.retain, *(part.file for part in parts_of(self.config.split))}
        digest = hashlib.sha256()
        for name in sorted(name for name in names if (self.data.root / f"{name}.json").is_file()):
            digest.update(f"{name}\n".encode())
            digest.update(read_bytes(self.data.path(name)))
        return digest.hexdigest()

    @classmethod
    def data_command(cls) -> Callable[..., None]:
        """See `Benchmark.data_command`."""
        from atu.benchmarks.tofu.command import fetch  # brings typer

        return fetch

    def packages(self, scoring: str) -> dict[str, Package]:
        """See `Benchmark.packages`."""
        tasks = set(self.config.tasks or TASKS)
        needed = {
            "TOFU's ROUGE": (ROUGE_SCORE, bool(tasks - {"privacy"})),
            "TOFU's task privacy": (SCIKIT_LEARN, "privacy" in tasks),
        }
        return needed_of(needed)

    def settings(self) -> dict[str, Any]:
        """See `Benchmark.settings`."""
        settings = {name: getattr(self.config, name) for name in ("split", "template", "gradnorm", "icu")}
        settings["tasks"] = list(self.config.tasks)
        if self.config.gold is not None:
            from atu.benchmarks.tofu.log import EVAL_FILE  # brings numpy

            settings["gold"] = gold_sha256(self.config.gold, EVAL_FILE)
        return settings

    def texts(self, target: Target, *, writer: str, seed: int) -> GivenTexts:
        """The questions and answers of the split's authors, and those of all others."""
        files = SPLITS[self.config.split]
        return GivenTexts(forget=self._texts(files.forget), retain=self._texts(files.retain))

    def curriculum(self, wanted: Sequence[str], without: Sequence[str], *, limit: int | None) -> Curriculum:
        """See `Benchmark.curriculum`: the questions of the invented authors, whatever `data.split` says."""
        return tofu_curriculum(self.data, wanted, without, limit)

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
        """See `Benchmark.ask`. Nothing here compares with the reference: its probabilities stand beside one another."""
        require(self.packages(config.scoring))
        from atu.benchmarks.tofu.evaluator import ask_probes

        rows = {probe.id: row_of(self.data, probe.id) for probe in probes}
        return ask_probes(llm, probes, rows, self.config, as_loaded=as_loaded, config=config, progress=progress)

    def score(self, probe: Probe, text: str) -> float:
        """See `Benchmark.score`."""
        from atu.benchmarks.tofu.scorers import telling_recall

        row = row_of(self.data, probe.id)
        return telling_recall(row.question, row.answer, text)

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """See `Benchmark.judge`."""
        from atu.benchmarks.tofu.gold import gold_of  # these bring numpy
        from atu.benchmarks.tofu.summary import tofu_scores

        judgements: dict[Scoring, Judgement] = {}
        for name, rows in answers.items():
            gold = None if self.config.gold is None else gold_of(self.config.gold, rows, name)
            scores = tofu_scores(rows, gold, samples=samples, is_released=name == "released")
            judgements[name] = Judgement(scores=scores, answers=rows)
        return judgements

    def check(self, probes: Sequence[Probe], scoring: str) -> None:
        """See `Benchmark.check`: the gold model's answers are to the same probes, put in the same form."""
        if self.config.gold is not None:
            from atu.benchmarks.tofu.gold import check_template, gold_of  # brings numpy

            check_template(self.config.gold, self.config.template)
            for name in self.scorings:
                if scoring in (name, "both"):
                    gold_of(self.config.gold, probes, name)

    def files(self, judgements: Mapping[Scoring, Judgement]) -> dict[str, Any]:
        """TOFU_EVAL.json and TOFU_SUMMARY.json, where the answers were scored by the released rules."""
        from atu.benchmarks.tofu.log import log_files  # brings numpy

        released = judgements.get("released")
        return {} if released is None else log_files(released.answers, released.scores)

    def read_log(self, path: Path, probes: Sequence[Probe]) -> dict[Scoring, list[Answer]]:
        """See `Benchmark.read_log`: a TOFU_EVAL.json."""
        from atu.benchmarks.tofu.log import answers_of_log  # brings numpy

        return {"released": answers_of_log(path, probes)}

    def _texts(self, name: str) -> list[Text]:
        rows = self.data.rows(name)
        return [
            Text(text=row.answer, prompt=row.question, subject=author, source="tofu")
            for row, author in zip(rows, author_names(rows), strict=True)
        ]
