"""What `generate_results.py` is told: on the command line, and in a yaml file whose keys the command line overrules."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

from atu.errors import UserError, did_you_mean
from atu.records import Scoring
from atu.report.collect import FILTERS
from atu.storage.user_files import read_yaml
from atu.typed import from_mapping

Source = Literal["local", "json", "wandb"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that one call is told."""

    source: Source = "local"
    runs: Path = Path("runs")
    json_path: Path | None = None
    entity: str | None = None
    project: str | None = None
    run_ids: tuple[str, ...] = ()
    run_names: tuple[str, ...] = ()
    aggregate: bool = False
    scoring: Scoring = "corrected"
    stage: str = "last"
    output_dir: Path = Path("results")
    method_names: Mapping[str, str] = field(default_factory=dict)
    """Method → label in tables and figures."""
    filters: Mapping[str, list[Any]] = field(default_factory=dict)
    """One of `FILTERS` → values that stay."""

    def __post_init__(self) -> None:
        for name in self.filters:
            if name not in FILTERS:
                raise UserError(f"there is no filter '{name}'.{did_you_mean(name, FILTERS)}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as for every other mistake of the user."""
        raise UserError(f"{message}. See {self.prog} --help.")


def read_options(arguments: Sequence[str]) -> Options:
    """The options of a command line and of the file that it names.

    Raises:
        UserError: an unknown key or a value of the wrong type.
        SystemExit: after `--help`.
    """
    given = vars(_parser().parse_args(arguments))
    path = given.pop("config", None)
    options = replace(Options() if path is None else _read_file(path), **given)
    if options.source == "json" and options.json_path is None:
        raise UserError("--source json needs --json_path FILE.")
    if options.source == "wandb" and (options.entity is None or options.project is None):
        raise UserError("--source wandb needs --entity NAME and --project NAME.")
    return options


def _parser() -> _Parser:
    parser = _Parser(
        prog="generate_results.py",
        description="Tables, figures and a page from runs. RESULTS_GUIDE.md says how to read them.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--source", choices=get_args(Source), help="where the runs are (default: local)")
    add("--runs", type=Path, metavar="DIR", help="local: folder with run folders in it (default: runs)")
    add("--json_path", type=Path, metavar="FILE", help="json: a file of `atu report export`, or one written by hand")
    add("--entity", help="wandb: user or team")
    add("--project", help="wandb: project")
    add("--run_ids", nargs="+", metavar="ID", help="only these runs: folders, or ids of wandb")
    add("--run_names", nargs="+", metavar="NAME", help="only the runs of these names")
    add("--aggregate", action="store_true", help="means over the targets of a method, with 95%% intervals")
    add("--scoring", choices=sorted(get_args(Scoring)), help="whose scores (default: corrected)")
    add(
        "--stage",
        metavar="RULE",
        help="stage shown of every run: last (default), matched:LEVEL (first stage with LEVEL of the forget score "
        "before, such as matched:0.33, interpolated), or best (of every method, never of one)",
    )
    add("--output_dir", type=Path, metavar="DIR", help="where everything is written (default: results)")
    add("--config", type=Path, metavar="FILE", help="yaml with these keys, and method_names and filters")
    return parser


def _read_file(path: Path) -> Options:
    values = read_yaml(path)
    for key in ("run_ids", "run_names"):
        if isinstance(values.get(key), list):
            values[key] = [str(value) for value in values[key]]  # yaml takes some of them for numbers
    try:
        return from_mapping(Options, values, "")
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
