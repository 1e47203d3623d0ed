"""Tasks of lm-evaluation-harness as a benchmark: it words, asks and scores the rows, the intervals are ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from atu.benchmarks.base import Benchmark
from atu.benchmarks.lm_eval.config import LmEvalConfig
from atu.benchmarks.lm_eval.tasks import NEEDED, load, probe_of
from atu.benchmarks.lm_eval.words import LM_EVAL_WORDS
from atu.benchmarks.options import Option
from atu.errors import UserError
from atu.extras import Package
from atu.records import Answer, Judgement, Probe, Reference, Scoring, Target

if TYPE_CHECKING:
    from atu.evaluation.batching import Progress
    from atu.evaluation.config import EvaluationConfig
    from atu.models.language_model import LanguageModel


class LmEval(Benchmark):
    """What `data.tasks` names: `forget/...` where it is to be forgotten (`data.forget_tasks`), else `utility/...`.

    Any name is a target: the harness knows of no concepts. Its tasks have no texts to train on.
    """

    name = "lm-eval"
    groups = ("forget/wmdp_bio", "forget/wmdp_chem", "forget/wmdp_cyber", "utility/mmlu")
    """Of the tasks that most people ask; each other task has its own."""
    further_scores = ("forget/wmdp",)
    words = LM_EVAL_WORDS
    config: LmEvalConfig
    config_class = LmEvalConfig
    options = (
        Option(
            flag="--tasks",
            key="tasks",
            help="Tasks as lm-evaluation-harness spells them (wmdp_cyber,mmlu), or task files, joined by commas.",
            is_list=True,
        ),
        Option(
            flag="--forget-tasks",
            key="forget_tasks",
            help="Those of the tasks that ask what is to be forgotten; wmdp* by default.",
            is_list=True,
        ),
        Option(
            flag="--num-fewshot",
            key="num_fewshot",
            help="Worked examples before each question; by default what the task says.",
            takes=int,
        ),
        Option(flag="--limit", key="limit", help="The first rows of each task alone.", takes=int),
        Option(
            flag="--apply-chat-template",
            key="apply_chat_template",
            help="Put each question as a user's message; the harness does not by default.",
            takes=bool,
        ),
    )
    how_to_ask = "name a task in data.tasks that is in data.forget_tasks"

    @property
    def default_target(self) -> str:
        """What an evaluation that names no target is filed under."""
        return "lm-eval"

    def targets(self) -> list[str]:
        """Any name is a target here, so none is listed."""
        return []

    def target(self, folder: str) -> Target:
        """The name alone."""
        name = folder.replace("_", " ")
        return Target(name=name, folder=folder, description=name)

    def probes(self, folder: str) -> list[Probe]:
        """Every row of the tasks, whatever the target is.

        Raises:
            UserError: the package is missing, a task does not exist, or its data cannot be had.
        """
        return [probe_of(row, folder) for row in load(self.config).rows.values()]

    def checksum(self, folder: str) -> str:
        """sha256 over the rows of the tasks: the hub's may change, since the harness names no revision of them."""
        return load(self.config).checksum

    @classmethod
    def data_command(cls) -> Callable[..., None]:
        """See `Benchmark.data_command`."""
        from atu.benchmarks.lm_eval.command import fetch  # brings typer

        return fetch

    def packages(self, scoring: str) -> dict[str, Package]:
        """See `Benchmark.packages`."""
        return dict(NEEDED)

    def settings(self) -> dict[str, Any]:
        """See `Benchmark.settings`."""
        return {
            "tasks": list(self.config.tasks),
            "forget_tasks": list(self.config.forget_tasks),
            "num_fewshot": self.config.num_fewshot,
            "limit": self.config.limit,
            "apply_chat_template": self.config.apply_chat_template,
            "lm_eval": version("lm_eval"),
            **super().settings(),
        }

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
        """See `Benchmark.ask`. The rules are the harness's own, so there is one scoring."""
        loaded = load(self.config)  # first: it says what is missing
        from atu.benchmarks.lm_eval.asking import ask_tasks
        from atu.evaluation.evaluate import answers_by_id, check_ids
        from atu.evaluation.known import is_known

        earlier = answers_by_id(reference)
        check_ids(probes, earlier)
        answers = ask_tasks(
            llm,
            probes,
            loaded,
            batch_size=config.batch_size,
            apply_chat_template=self.config.apply_chat_template,
            progress=progress,
        )
        if reference is not None:
            earlier = earlier or {answer.probe_id: answer for answer in answers}
            answers = [replace(answer, known_before=is_known(earlier[answer.probe_id])) for answer in answers]
        return {"corrected": answers}

    def score(self, probe: Probe, text: str) -> float:
        """The harness scores a row by what it asks itself, and no text that was written elsewhere."""
        raise UserError("lm-eval's rows are asked by the harness alone: leave out the attacks that let a model write.")

    def judge(self, answers: Mapping[Scoring, Sequence[Answer]], *, samples: int) -> dict[Scoring, Judgement]:
        """See `Benchmark.judge`."""
        from atu.benchmarks.lm_eval.summary import task_scores  # brings numpy

        loaded = load(self.config)
        return {
            name: Judgement(scores=task_scores(rows, loaded, samples=samples), answers=rows)
            for name, rows in answers.items()
        }
