"""What `generate_results.py` is told: on the command line, and in a yaml file whose keys the command line overrules."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from atu.errors import UserError, did_you_mean
from atu.records import Scoring
from atu.report.collect import FILTERS
from atu.storage.user_files import read_yaml

Source = Literal["local", "json", "wandb"]

_ONLY_IN_FILE = ("method_names", "filters")


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
    filters: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """One of `FILTERS` → values that stay."""

    def __post_init__(self) -> None:
        if self.source == "json" and self.json_path is None:
            raise UserError("--source json needs --json_path FILE.")
        if self.source == "wandb" and (self.entity is None or self.project is None):
            raise UserError("--source wandb needs --entity NAME and --project NAME.")


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
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    path = given.pop("config", None)
    from_file = {} if path is None else _read_file(path, parser)
    return Options(**{**from_file, **given})


def _parser() -> _Parser:
    parser = _Parser(
        prog="generate_results.py",
        description="Tables, figures and a page from runs. RESULTS_GUIDE.md says how to read them.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--source", choices=["local", "json", "wandb"], help="where the runs are (default: local)")
    add("--runs", type=Path, metavar="DIR", help="local: folder with run folders in it (default: runs)")
    add("--json_path", type=Path, metavar="FILE", help="json: a file of `atu report export`, or one written by hand")
    add("--entity", help="wandb: user or team")
    add("--project", help="wandb: project")
    add("--run_ids", nargs="+", metavar="ID", help="only these runs: folders, or ids of wandb")
    add("--run_names", nargs="+", metavar="NAME", help="only the runs of these names")
    add("--aggregate", action="store_true", help="means over the targets of a method, with 95%% intervals")
    add("--scoring", choices=["corrected", "released"], help="whose scores (default: corrected)")
    add(
        "--stage",
        metavar="RULE",
        help="stage shown of every run: last (default), matched:LEVEL (first stage with LEVEL of the forget score "
        "before, such as matched:0.33, interpolated), or best (of every method, never of one)",
    )
    add("--output_dir", type=Path, metavar="DIR", help="where everything is written (default: results)")
    add("--config", type=Path, metavar="FILE", help="yaml with these keys, and method_names and filters")
    return parser


def _read_file(path: Path, parser: argparse.ArgumentParser) -> dict[str, Any]:
    """The keys of a yaml file, checked by the rules of the command line."""
    values = read_yaml(path)
    actions = {action.dest: action for action in parser._actions if action.dest not in ("help", "config")}
    found: dict[str, Any] = {}
    for key, value in values.items():
        if key not in actions and key not in _ONLY_IN_FILE:
            raise UserError(f"{path}: there is no key '{key}'.{did_you_mean(str(key), [*actions, *_ONLY_IN_FILE])}")
        found[key] = _checked(value, actions.get(key), key, path)
    return found


def _checked(value: Any, action: argparse.Action | None, key: str, path: Path) -> Any:
    if key == "method_names":
        return _mapping(value, str, "a name", key, path)
    if key == "filters":
        for name in _mapping(value, list, "a list", key, path):
            if name not in FILTERS:
                raise UserError(f"{path}: there is no filter '{name}'.{did_you_mean(name, FILTERS)}")
        return value
    assert action is not None
    if action.nargs == 0 and isinstance(value, bool):
        return value
    if action.nargs == "+" and isinstance(value, list):
        return tuple(map(str, value))
    if action.nargs is None and isinstance(value, str):
        if action.choices is not None and value not in action.choices:
            raise UserError(f"{path}: {key} must be one of {', '.join(action.choices)}, not '{value}'.")
        return action.type(value) if callable(action.type) else value
    wanted = {0: "true or false", "+": "a list", None: "text"}[action.nargs]
    raise UserError(f"{path}: {key} must be {wanted}, not {value!r}.")


def _mapping(value: Any, kind: type, word: str, key: str, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(item, kind) for item in value.values()):
        raise UserError(f"{path}: {key} must be a mapping with {word} behind each key.")
    return value
