"""`index.html`: many runs on one self-contained page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from atu.attacks.rows import read_attack_rows
from atu.errors import UserError
from atu.records import AttackRow, RunRecord
from atu.report.index_data import index_data, local_folder
from atu.report.page_template import render_page
from atu.storage.files import write_text_atomic


def write_index(runs: Sequence[RunRecord], path: Path, attacks: Sequence[Sequence[AttackRow]] | None = None) -> Path:
    """Write the page about many runs, finished or not, and return its path.

    It opens offline and asks the network nothing; a run that was read from a folder is linked to its own report.

    Args:
        runs: at least one; two of the same name are both shown.
        path: of the page, such as `results/index.html`.
        attacks: what attacks brought back, for each run in the order of `runs`; None reads the `attacks.json`
            of those that were read from a folder.

    Raises:
        UserError: no runs, a broken `attacks.json`, or the page can't be written.
    """
    if not runs:
        raise UserError(f"There are no runs to show in {path}.")
    if attacks is None:
        attacks = [_own_attacks(run) for run in runs]
    data = index_data(runs, attacks, path.parent)
    has_scores = bool(data["scored"])
    # Before and after are two points, and no path.
    has_paths = any(sum(bool(stage.scores) for stage in stages) > 2 for run in runs for stages in run.stages.values())
    sections = (
        "frontier",
        *(("paths",) if has_paths else ()),
        *(("attacks",) if data["attacks"] else ()),
        "table",
        *(("difference",) if len(runs) > 1 else ()),
    )
    page = render_page(
        "index.html.j2",
        title="index_title",
        sections=sections,
        scripts=(
            "base.js",
            "drawing.js",
            "runs.js",
            "frontier.js",
            "attacks.js",
            "table.js",
            "difference.js",
            "start.js",
        ),
        styles=("page.css", "index.css"),
        data=data,
        has_scores=has_scores,
        counts={
            "runs": len(runs),
            "methods": len({run.method for run in runs}),
            "targets": len({run.target for run in runs}),
            "models": len({run.model for run in runs}),
        },
        unfinished=Counter(run.state for run in runs if run.state != "done"),
    )
    write_text_atomic(path, page)
    return path


def _own_attacks(run: RunRecord) -> list[AttackRow]:
    folder = local_folder(run)
    return read_attack_rows(folder / "attacks.json") if folder else []
