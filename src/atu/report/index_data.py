"""The runs, scores and configs that `index.html` draws, as one JSON value."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

from atu.benchmarks.metrics import is_main
from atu.records import AttackRow, RunRecord, Scoring
from atu.report.metrics import all_words, sort_key
from atu.report.page_data import attack_data, headlines, metrics_data, stage_data
from atu.report.styles import method_order, method_style
from atu.runs.run_folder import flat_keys


def index_data(runs: Sequence[RunRecord], attacks: Sequence[Sequence[AttackRow]], folder: Path) -> dict[str, Any]:
    """Everything that the page's script needs.

    Args:
        runs: in any order; the page lists them by method, target, seed and name.
        attacks: rows of each run, in the order of `runs`.
        folder: where the page will lie; links to the runs' own reports start there.
    """
    order = sorted(range(len(runs)), key=lambda at: _order(runs[at]))
    methods = sorted({run.method for run in runs}, key=method_order)
    stages = [stage for run in runs for scored in run.stages.values() for stage in scored]
    scored_names = {name for stage in stages for name in stage.scores}
    attack_rows = [{"run": place, **attack_data(row)} for place, at in enumerate(order) for row in attacks[at]]
    scored = sorted(scored_names, key=sort_key)
    return {
        "metrics": metrics_data({*scored_names, *(row["group"] for row in attack_rows)}),
        "scored": scored,
        "columns": _main(scored),
        "first": _first(_main(scored)),
        "headline": headlines(stages),
        "families": all_words().family_labels(),
        "methods": [_method(method) for method in methods],
        "scorings": _scorings(runs),
        "runs": [_run(runs[at], place, methods.index(runs[at].method), folder) for place, at in enumerate(order)],
        "attacks": attack_rows,
    }


def _main(scored: Sequence[str]) -> list[str]:
    """The scores that a table shows where not all are wanted; all, where none of them is such a one."""
    return [name for name in scored if is_main(name)] or list(scored)


def _first(names: Sequence[str]) -> list[str]:
    """Of each family the first, which stands for it."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.partition("/")[0], name)
    return list(found.values())


def local_folder(run: RunRecord) -> Path | None:
    """The folder that a run was read from; None when it came from a file or from a server."""
    folder = Path(run.source)
    return folder if (folder / "config.yaml").is_file() else None


def _order(run: RunRecord) -> tuple[tuple[int, str], str, float, str, str]:
    return method_order(run.method), run.target, -1 if run.seed is None else run.seed, run.name, run.source


def _method(method: str) -> dict[str, Any]:
    style = method_style(method)
    return {"name": method, "label": style.label, "color": style.color, "marker": style.marker}


def _scorings(runs: Iterable[RunRecord]) -> list[str]:
    """The scorings that some run has, the corrected one first."""
    found = {scoring for run in runs for scoring in run.stages}
    return [scoring for scoring in reversed(get_args(Scoring)) if scoring in found]


def _run(run: RunRecord, place: int, method: int, folder: Path) -> dict[str, Any]:
    return {
        "id": place,
        "name": run.name,
        "source": run.source,
        "report": _report_link(run, folder),
        "method": method,
        "target": run.target,
        "model": run.model,
        "seed": run.seed,
        "state": run.state,
        "stages": {scoring: [stage_data(stage) for stage in stages] for scoring, stages in run.stages.items()},
        "config": {key: _text(value) for key, value in flat_keys(run.config).items()},
    }


def _report_link(run: RunRecord, folder: Path) -> str | None:
    """From the page to the run's own report; None where there is none."""
    home = local_folder(run)
    if home is None or not (home / "report.html").is_file():
        return None
    # Every character that could mean a scheme, a query or markup is quoted.
    return "./" + quote(os.path.relpath(home / "report.html", folder).replace(os.sep, "/"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
