"""What a user sees on the terminal when a run ends."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from atu.benchmarks.comparison import GAP, Row, compare, number, signed
from atu.benchmarks.config import DataConfig
from atu.benchmarks.verdict import verdict
from atu.records import Score
from atu.report.metrics import family_label
from atu.runs.run_folder import RunFolder
from atu.text.escaping import one_line

_CAPTION = " ↓ lower is better   ↑ higher is better   95%: bootstrap interval of `after`"


def print_outcome(folder: RunFolder, console: Console) -> None:
    """Print the verdict on a finished run, its scores before and after, and where model and report lie."""
    print_before_after(*folder.read_ends(), console)
    for what, path in (("model", folder.model_dir), ("report", folder.report_path)):
        console.print(one_line(f"{what}: {path}"), markup=False, highlight=False, soft_wrap=True)
    for line in _next_commands(folder):
        console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)


def _next_commands(folder: RunFolder) -> list[str]:
    """What a user may do with the run; of attacks where a command without further options is enough."""
    config, root = folder.read_config(), shlex.quote(str(folder.root))
    found = [f"ask both models: atu chat {root}"]
    model = config.get("pre_trained_llm", {})
    base = model.get("name" if model.get("packages") else "model_name")
    if base and config.get("data", {}).get("benchmark") == DataConfig.benchmark:
        attack = (
            f"atu attack {shlex.quote(str(folder.model_dir))} --before {shlex.quote(str(base))} --quick --out {root}"
        )
        found.append(f"try to bring it back: {attack}")
    return found


def print_before_after(before: Mapping[str, Score], after: Mapping[str, Score], console: Console) -> None:
    """Print the verdict and the table of scores before and after.

    An arrow says which way is good; a change is green when it went there, red when it went the
    other way, and its sign says the same without color.
    """
    table = Table(box=box.SIMPLE_HEAD, caption=_CAPTION, caption_justify="left", caption_style="dim")
    table.add_column("")
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("95%", style="dim", justify="right")
    table.add_column("change", justify="right")
    table.add_column("kept", justify="right")
    table.add_column("n", style="dim", justify="right")
    family = None
    for row in compare(before, after):
        if row.metric.family != family:
            if family is not None:
                table.add_section()
            family = row.metric.family
            unit = f", {row.metric.unit}" if row.metric.unit else ""
            table.add_row(Text(one_line(f"{family_label(family).en}{unit}"), style="bold"))
        table.add_row(*_cells(row))
    console.print(verdict(before, after).en, style="bold", highlight=False, markup=False)
    console.print(table, highlight=False)


def _cells(row: Row) -> list[Text]:
    unit, score = row.metric.unit, row.after or row.before
    color = {True: "green", False: "red", None: ""}[row.is_better]
    interval = f"{number(row.after.low, unit)}–{number(row.after.high, unit)}" if row.after else GAP
    return [
        Text(one_line(f"{row.metric.arrow} {row.metric.short.en}")),
        Text(number(row.before.value if row.before else None, unit)),
        Text(number(row.after.value if row.after else None, unit), style="bold"),
        Text(interval),
        Text(signed(row.change, unit), style=color),
        Text("" if row.kept is None else f"{row.kept:.0f}%"),
        Text(str(score.n) if score else ""),
    ]
