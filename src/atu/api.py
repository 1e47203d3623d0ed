"""The Python API: what the command line does, from a program or a notebook (docs/python.md).

Torch, transformers and pandas are imported by the functions that need them, so that `import atu` shows at once.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from atu.attacks.config import FULL, QUICK, parse_attacks, parse_seeds
from atu.config import RunConfig
from atu.entry.compose import compose_run
from atu.entry.evaluate import EvaluationRequest, evaluate_model
from atu.entry.overrides import as_override
from atu.errors import UserError
from atu.launch import run_checked
from atu.records import Answer, AttackRow, Score, Scoring
from atu.runs.run_folder import RunFolder
from atu.text.escaping import file_name
from atu.typed import from_mapping

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    LoadedModel: TypeAlias = tuple[PreTrainedModel, PreTrainedTokenizerBase]

_PAGE_HEIGHT = 720
"""Of a run's report in a notebook, in CSS pixels."""


@dataclass(frozen=True)
class Run:
    """A run's folder, as plain values, tables and a model: `Run("runs/x")` opens one that is there."""

    folder: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))
        self._files.read_config()

    @property
    def model_dir(self) -> Path:
        """The unlearned model, a folder that plain transformers loads."""
        return self._files.model_dir

    @property
    def report(self) -> Path:
        """The run's page, one HTML file that opens offline."""
        return self._files.report_path

    @property
    def config(self) -> dict[str, Any]:
        """Every key of the run, as in config.yaml."""
        return self._files.read_config()

    @property
    def scores(self) -> pd.DataFrame:
        """A row a score: `before` and `after` the run, the 95% interval `low` and `high` of after, and `n`.

        Units and directions are those of the report: percent for shares of right answers.

        Raises:
            UserError: the run has no stage that was measured, or its files are damaged.
        """
        import pandas as pd

        before, after = self._files.read_ends()
        names = list(dict.fromkeys([*before, *after]))
        if not names:
            raise self._unmeasured()
        rows = [_row(before.get(name), after.get(name)) for name in names]
        return pd.DataFrame(rows, index=pd.Index(names, name="score"))

    @property
    def answers(self) -> pd.DataFrame:
        """A row a probe: what was asked, and text and score of the answer before and after.

        Further columns: `group`, `references` (accepted answers), `known_before`, and the numbers of the answer after,
        such as `p` and `nll`.

        Raises:
            UserError: as `scores`.
        """
        import pandas as pd

        stages = self._files.read_measured()
        if not stages:
            raise self._unmeasured()
        first, last = (self._files.read_answers(stage.label) for stage in (stages[0], stages[-1]))
        before = {answer.probe_id: answer for answer in first} if stages[0].kind == "before" else {}
        return pd.DataFrame([_answer_row(before.get(answer.probe_id), answer) for answer in last])

    def load(self, **arguments: Any) -> LoadedModel:
        """The unlearned model and its tokenizer, as plain transformers gives them.

        Args:
            arguments: of `AutoModelForCausalLM.from_pretrained`, such as `device_map="auto"`.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(self.model_dir, **arguments)
        return model, AutoTokenizer.from_pretrained(self.model_dir)

    def _repr_html_(self) -> str:
        """The report itself, where a notebook shows the run."""
        if not self.report.is_file():
            return f"<p>{html.escape(str(self))}</p>"
        page = html.escape(self.report.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:{_PAGE_HEIGHT}px;border:0"></iframe>'

    @property
    def _files(self) -> RunFolder:
        return RunFolder(root=self.folder)

    def _unmeasured(self) -> UserError:
        return UserError(f"{self.folder} has no stage that was measured yet.")


@dataclass(frozen=True)
class Evaluation:
    """What a model answered and what that is worth, by scoring (`corrected`, and `released` where there is one)."""

    folder: Path
    scores: Mapping[Scoring, pd.DataFrame]
    """A row a score: `value`, the 95% interval `low` and `high`, and `n`."""
    answers: Mapping[Scoring, pd.DataFrame]
    """A row a probe."""


def unlearn(
    model: str | Path | LoadedModel,
    concept: str | Sequence[str],
    *,
    method: str = "unlearning_atu",
    overrides: Mapping[str, object] | None = None,
    **keys: object,
) -> Run:
    """Make a model forget a concept, or several together, and measure what it forgot and what it kept.

    The same as `python launch_training.py unlearning_target=... task=...`. The same call again resumes a run that was
    stopped, and opens one that is done.

    Args:
        model: a name of config/pre_trained_llm, a folder, a hub id, or a model and its tokenizer that are loaded
            already. The loaded model itself stays as it is.
        concept: its name, such as "William Shakespeare", or several names.
        method: a name of config/task.
        overrides: keys of the config by their dotted names, such as `{"task.objective.retain_kl.weight": 6}`.
        keys: the same for keys without a dot, such as `seed=1`, `data="own"` or `runs_dir="runs"`.

    Raises:
        UserError: anything that the user can mend.
    """
    names = [name.strip().replace(" ", "_") for name in ([concept] if isinstance(concept, str) else concept)]
    given = {
        "pre_trained_llm": _name_of(model),
        "unlearning_target": names[0] if len(names) == 1 else names,
        "task": method,
        **keys,
        **(overrides or {}),
    }
    config = compose_run([f"{key}={_as_value(value)}" for key, value in given.items()])
    return Run(run_checked(config).root)


def evaluate(
    model: str | Path | Run | LoadedModel,
    *,
    benchmark: str | None = None,
    target: str | None = None,
    before: str | Path | Run | None = None,
    out: str | Path | None = None,
    data: str | Path | None = None,
    scoring: Literal["released", "corrected", "both"] | None = None,
    batch_size: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    **options: Any,
) -> Evaluation:
    """Ask a model the probes of a concept: the same as `atu evaluate`.

    Args:
        model: as for `unlearn`, or a run, whose model is meant.
        target: folder name of the concept; by default that of `before`, or what the model's card says.
        before: a run or model to compare with; without it, scores that compare are left out.
        out: folder for scores and answers; by default one in `evaluations`.
        data: folder of the benchmark's files.
        options: of the benchmark, such as `tasks="forget,neighbor"`.

    Raises:
        UserError: anything that the user can mend.
    """
    name = _name_of(model)
    folder = Path(out) if out is not None else Path("evaluations") / _evaluation_name(name, benchmark, target)
    found = evaluate_model(
        EvaluationRequest(
            model=name,
            out=folder,
            target=target,
            before=None if before is None else str(before.folder if isinstance(before, Run) else before),
            benchmark=benchmark,
            data_dir=None if data is None else str(data),
            options=options,
            scoring=scoring,
            icu=False,
            batch_size=batch_size,
            dtype=None,
            quantization=None,
            device=device,
        )
    )
    return Evaluation(
        folder=folder,
        scores={rules: _score_frame(judgement.scores) for rules, judgement in found.items()},
        answers={rules: _answer_frame(judgement.answers) for rules, judgement in found.items()},
    )


def attack(
    run: str | Path | Run,
    attacks: Sequence[str] | str = "all",
    *,
    quick: bool = True,
    seeds: Sequence[int] | None = None,
    out: str | Path | None = None,
) -> pd.DataFrame:
    """Try to bring back what a run made its model forget: the same as `atu attack` on its model.

    Args:
        run: a run, or its folder.
        attacks: names of attacks, or "all" (docs/attacks.md).
        quick: a budget of minutes, for a small model and one seed.
        seeds: by default that of the run, and the two after it unless it is to be quick.
        out: folder for attacks.json and attacks.md; by default the run's.

    Returns:
        A row a measurement, with the fields of `AttackRow`; `score` is split into `value`, `low`, `high` and `n`.

    Raises:
        UserError: anything that the user can mend.
    """
    run = run if isinstance(run, Run) else Run(Path(run))
    names = parse_attacks(attacks if isinstance(attacks, str) else ",".join(attacks))
    from rich.console import Console

    from atu.audit import audit, audit_config, named_encoder
    from atu.runs.progress import RunProgress

    config = from_mapping(RunConfig, run.config, "")
    default = (config.seed,) if quick else (config.seed, config.seed + 1, config.seed + 2)
    budget = QUICK if quick else FULL
    asked = replace(
        audit_config(config, run._files, run.folder if out is None else Path(out)),
        attacks=names,
        seeds=default if seeds is None else parse_seeds(",".join(map(str, seeds))),
        budget=budget,
        encoders=(config.text_encoder,) if quick else tuple(map(named_encoder, budget.encoders)),
    )
    with RunProgress(Console()) as progress:
        return _attack_frame(audit(asked, progress))


def _name_of(model: str | Path | Run | LoadedModel) -> str:
    """What resolves to the model; one that is loaded is written to the cache first."""
    if isinstance(model, Run):
        return str(model.model_dir)
    if isinstance(model, str | Path):
        return str(model)
    from atu.models.given import kept_model

    return str(kept_model(*model))


def _as_value(value: object) -> str:
    """A value behind `key=`: a text as it is, anything else in Hydra's grammar."""
    return str(value) if isinstance(value, str | Path) else as_override(value)


def _evaluation_name(model: str, benchmark: str | None, target: str | None) -> str:
    path = Path(model)
    name = path.parent.name if path.name == "model" else path.name
    return file_name("-".join(part for part in (name, benchmark, target) if part))


def _row(before: Score | None, after: Score | None) -> dict[str, float | int]:
    """A side that was not measured is NaN."""
    known = after or before
    assert known is not None
    return {
        "before": before.value if before else math.nan,
        "after": after.value if after else math.nan,
        "low": after.low if after else math.nan,
        "high": after.high if after else math.nan,
        "n": known.n,
    }


def _answer_row(before: Answer | None, after: Answer) -> dict[str, Any]:
    return {
        "probe_id": after.probe_id,
        "group": after.group,
        "prompt": after.prompt,
        "references": list(after.references),
        "text_before": before and before.text,
        "text_after": after.text,
        "score_before": before and before.score,
        "score_after": after.score,
        "known_before": after.known_before,
        **after.values,
    }


def _score_frame(scores: Mapping[str, Score]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame([asdict(score) for score in scores.values()], index=pd.Index(list(scores), name="score"))


def _answer_frame(answers: Sequence[Answer]) -> pd.DataFrame:
    import pandas as pd

    rows = [{**asdict(answer), **answer.values} for answer in answers]
    return pd.DataFrame(rows).drop(columns="values", errors="ignore")


def _attack_frame(rows: Sequence[AttackRow]) -> pd.DataFrame:
    import pandas as pd

    flat = [{**asdict(row), **asdict(row.score)} for row in rows]
    return pd.DataFrame(flat).drop(columns="score", errors="ignore")
