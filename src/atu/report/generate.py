"""From runs to tables, figures and the page: what `generate_results.py` does."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from atu.records import RunRecord
from atu.report.collect import Collection, choose, read_local
from atu.report.options import Options
from atu.report.selection import parse_rule
from atu.report.study import Study, build_study, refuse_repeats
from atu.storage.files import PARTIAL_SUFFIX, disk_errors

if TYPE_CHECKING:
    from atu.report.tables import Table


def generate(options: Options) -> Table:
    """Write everything into the output folder, all of it or nothing; files of other names in it stay.

    Raises:
        UserError: what the user can mend: no runs, a broken file, an unknown name or level, a folder that can't be
            written.
    """
    rule = parse_rule(options.stage)
    chosen = choose(_collect(options), ids=options.run_ids, names=options.run_names, filters=options.filters)
    study = build_study(chosen, rule=rule, scoring=options.scoring, names=options.method_names)
    if options.aggregate:
        refuse_repeats(study)
    table, files = _tables_and_figures(study, is_aggregate=options.aggregate)
    _publish(files, chosen.runs, options.output_dir)
    return table


def _collect(options: Options) -> Collection:
    if options.source == "local":
        return read_local(options.runs)
    if options.source == "json":
        from atu.report.exchange import read_runs

        assert options.json_path is not None
        return Collection(runs=tuple(read_runs(options.json_path)))
    from atu.report.wandb_source import read_wandb

    assert options.entity is not None
    assert options.project is not None
    runs = read_wandb(options.entity, options.project, run_ids=options.run_ids, run_names=options.run_names)
    return Collection(runs=tuple(runs))


def _tables_and_figures(study: Study, *, is_aggregate: bool) -> tuple[Table, dict[str, bytes]]:
    """The comparison table, and each file by its name."""
    # These bring pandas, scipy and matplotlib, which `--help` and a wrong option need not wait for.
    from atu.report.drawing import look, pdf, png
    from atu.report.figures import draw_figures
    from atu.report.table_formats import as_csv, as_latex, as_markdown
    from atu.report.table_picture import draw_table
    from atu.report.tables import aggregate_table, paired_table, run_table

    table, paired = aggregate_table(study) if is_aggregate else run_table(study), paired_table(study)
    files = {
        "comparison_table.csv": as_csv(table).encode(),
        "comparison_table.md": as_markdown(table).encode(),
        "comparison_table.tex": as_latex(table).encode(),
        "paired_comparison.csv": as_csv(paired).encode(),
        "paired_comparison.md": as_markdown(paired).encode(),
    }
    with look():
        files["table1_comparison.png"] = png(draw_table(table))
        for name, figure in draw_figures(study, is_aggregate=is_aggregate).items():
            files |= {f"{name}.png": png(figure), f"{name}.pdf": pdf(figure)}
    return table, files


def _publish(files: Mapping[str, bytes], runs: Sequence[RunRecord], folder: Path) -> None:
    """Write all files to a folder of their own, then the page, and only then give them their names."""
    from atu.report.index_page import write_index

    is_new = not folder.exists()
    partial = folder / f".{secrets.token_hex(4)}{PARTIAL_SUFFIX}"
    try:
        with disk_errors(folder):
            partial.mkdir(parents=True)
            for name, data in files.items():
                (partial / name).write_bytes(data)
        write_index(runs, folder / "index.html")  # in its place: it has links to the folders of runs
        with disk_errors(folder):
            for path in sorted(partial.iterdir()):
                path.replace(folder / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
