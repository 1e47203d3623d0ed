"""`report.html`: one self-contained page made from nothing but the files of a run folder."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atu.attacks.rows import read_attack_rows
from atu.benchmarks.comparison import Row, checks, compare
from atu.benchmarks.verdict import evidence, verdict
from atu.errors import UserError
from atu.records import StageResult, Words
from atu.report.metrics import family_label
from atu.report.page_data import last_evaluated, page_data, wordings
from atu.report.page_template import render_page
from atu.runs.run_folder import RunFolder
from atu.runs.tracking import MetricLog
from atu.storage.files import write_text_atomic
from atu.storage.user_files import read_text


@dataclass(frozen=True, kw_only=True)
class _Family:
    name: str
    label: Words
    rows: tuple[Row, ...]
    scales: Mapping[str, float]
    """Unit → right end of the pictures."""

    @property
    def unit(self) -> str:
        return self.rows[0].metric.unit


def write_report(run_folder: RunFolder) -> Path:
    """Write `report.html` of a run, finished or not, and return its path.

    The page opens offline: style, script and data are inside it, and its content security policy
    forbids every request. Text of models and configs is data and is escaped.

    Raises:
        UserError: the folder is no run folder, a file of it is broken, or the page can't be written.
    """
    if not run_folder.config_path.exists():
        raise UserError(f"{run_folder.root} is not a run folder: it has no config.yaml.")
    stages = run_folder.read_stages()
    first = next((stage for stage in stages if stage.kind == "before"), None)
    last = last_evaluated(stages)
    attacks = read_attack_rows(run_folder.attacks_path)
    before = run_folder.read_answers(first.label) if first else []
    after = run_folder.read_answers(last.label) if last else []
    data = page_data(
        stages,
        before,
        after,
        MetricLog(run_folder.metrics_path).rows(),
        attacks,
    )
    manifest = run_folder.read_manifest()
    page = render_page(
        "report.html.j2",
        title="title",
        sections=("scores", "curves", *(("attacks",) if attacks else ()), "training", "stages", "answers", "setup"),
        scripts=("base.js", "drawing.js", "charts.js", "attacks.js", "answers.js", "start.js"),
        styles=("page.css",),
        data=data,
        header=_header(run_folder, manifest),
        status=_status(run_folder),
        stages=stages,
        first=first,
        last=last,
        families=_families(first, last),
        checks=checks(first.scores, last.scores) if first and last else [],
        # The cards have the numbers.
        verdict=verdict(first.scores, last.scores, with_numbers=False) if first and last else verdict({}, {}),
        evidence=evidence(last.scores, after) if first and last else (),
        num_evaluated=sum(bool(stage.scores) for stage in stages),
        headline=data["headline"],
        has_panels=bool(data["panels"]),
        wordings=wordings(before, after),
        num_answers=len(data["answers"]["rows"]),
        config=read_text(run_folder.config_path),
        manifest=manifest,
    )
    write_text_atomic(run_folder.report_path, page)
    return run_folder.report_path


def _header(run_folder: RunFolder, manifest: Mapping[str, Any]) -> dict[str, str]:
    """What the run was about; a run that failed before its manifest shows what its config says."""
    config = run_folder.read_config()
    known = {
        "target": manifest.get("target") or config.get("unlearning_target"),
        "model": manifest.get("model"),
        "method": manifest.get("method"),
        "seed": manifest.get("seed", config.get("seed")),
        "date": manifest.get("created"),
    }
    header = {key: str(value) for key, value in known.items() if value is not None}
    return {"target": run_folder.root.name, **header, "run": run_folder.root.name}


def _status(run_folder: RunFolder) -> dict[str, str]:
    status = {"state": "unknown", "stage": "", "message": "", "updated": ""}
    return {**status, **{key: str(value) for key, value in run_folder.read_status().items()}}


def _families(first: StageResult | None, last: StageResult | None) -> list[_Family]:
    """The table's rows by family; rows of one family and unit share a scale."""
    rows = compare(first.scores if first else {}, last.scores if last else {})
    families = []
    for name, members in itertools.groupby(rows, key=lambda row: row.metric.family):
        family_rows = tuple(members)
        label = family_label(name)
        scales = {unit: _scale(unit, family_rows) for unit in {row.metric.unit for row in family_rows}}
        families.append(_Family(name=name, label=label, rows=family_rows, scales=scales))
    return families


def _scale(unit: str, rows: Sequence[Row]) -> float:
    """The number at the right end of the pictures: 100%, or a little more than the largest."""
    if unit == "%":
        return 100.0
    scores = [s for row in rows if row.metric.unit == unit for s in (row.before, row.after) if s]
    ends = [end for score in scores for end in (score.value, score.high) if end > 0]
    return 1.1 * max(ends, default=1.0)
