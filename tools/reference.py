"""Write docs/cli.md: every command with its options, and every key of the config with its default and meaning.

    python tools/reference.py

The commands are as typer tells them, the keys as the dataclasses and their docstrings do; a test compares the page.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from atu.benchmarks.catalog import BENCHMARKS
from atu.config import RunConfig, dotted_values
from atu.entry.compose import compose_run
from atu.methods.terms import TERMS
from atu.typed import HasKinds

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"
HEAD = """\
# Commands and keys

```
python launch_training.py --help              # every key, with the default of what the command line chooses
python launch_training.py --dry-run -m seed=0,1,2     # which runs a command would start; nothing is started or written
atu evaluate --help
```

`python launch_training.py KEY=VALUE ...` and `atu train KEY=VALUE ...` are the same. The other commands take options,
`--name value`. What is forgotten may be given as `unlearning_target=X` or `--target X` in all of them.

`atu --install-completion` completes commands and options in your shell. For the keys of `launch_training.py`, Hydra
brings its own: `eval "$(python launch_training.py -sc install=bash)"`.

This page is written by `python tools/reference.py`.

"""


def page() -> str:
    """The text of docs/cli.md."""
    return f"{HEAD}{_commands()}\n{_keys()}"


def _commands() -> str:
    """All commands, by typer's own writer, one heading lower."""
    command = [sys.executable, "-m", "typer", "atu.cli", "utils", "docs", "--name", "atu"]
    environment = {**os.environ, "COLUMNS": "120", "TERM": "dumb"}
    told = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=ROOT).stdout
    lines = [f"#{line}" if re.match(r"#+ ", line) else line for line in told.strip().splitlines()]
    return "\n".join(line.replace("```console", "```text").rstrip() for line in lines) + "\n"


def _keys() -> str:
    defaults = dotted_values(compose_run([]))
    lines = [
        "## Keys of a run",
        "",
        "Defaults are those of `python launch_training.py` without a key; another option of a group (`data=`, `task=`,",
        "`pre_trained_llm=` ...) brings its own.",
        "",
    ]
    seen: set[str] = set()
    for section, rows in _sections():
        new = [row for row in rows if row[0] not in seen]
        if not new:
            continue
        seen |= {key for key, _, _ in new}
        lines += [f"### {section}", "", "| key | default | |", "| --- | --- | --- |"]
        lines += [f"| `{key}` | {_cell(defaults.get(key, default))} | {_inline(told)} |" for key, default, told in new]
        lines.append("")
    lines += [
        "### Terms of the objective",
        "",
        "`task.objective.NAME.OPTION`; `+` before it adds a term, `~task.objective.NAME` leaves one out.",
        "",
        "| term | options and defaults | |",
        "| --- | --- | --- |",
    ]
    for name, kind in TERMS.items():
        term = kind()
        options = ", ".join(f"`{one.name}`: {_shown(getattr(term, one.name))}" for one in dataclasses.fields(term))
        lines.append(f"| `{name}` | {options} | {_inline(term.sentence.en)} |")
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[tuple[str, list[tuple[str, object, str]]]]:
    """Heading, and its keys with default and meaning: the top level, and each part that is a dataclass."""

    def walk(cls: type, prefix: str, heading: str) -> Iterator[tuple[str, list[tuple[str, object, str]]]]:
        hints, told = get_type_hints(cls), _docs(cls)
        rows: list[tuple[str, object, str]] = []
        parts: list[tuple[str, type]] = []
        for one in dataclasses.fields(cls):
            hint = hints[one.name]
            if dataclasses.is_dataclass(hint) and isinstance(hint, type):
                parts.append((f"{prefix}{one.name}", hint))
            else:
                choices = [str(value) for value in get_args(hint)] if get_origin(hint) is Literal else []
                listed = f"One of {', '.join(f'`{value}`' for value in choices)}." if choices else ""
                rows.append((f"{prefix}{one.name}", _default(one), f"{told.get(one.name, '')} {listed}".strip()))
        yield heading, rows
        for key, part in parts:
            kinds = part.kinds() if issubclass(part, HasKinds) else {"": part}
            for kind, own in kinds.items():
                suffix = f" of benchmark `{kind}`" if kind in BENCHMARKS and kind != "builtin" else ""
                yield from walk(own, f"{key}.", f"`{key}`{suffix}")

    yield from walk(RunConfig, "", "The run")


def _default(one: dataclasses.Field[Any]) -> object:
    if one.default_factory is not dataclasses.MISSING:
        value = one.default_factory()
        return list(value) if isinstance(value, tuple) else value
    return None if one.default is dataclasses.MISSING else one.default


@cache
def _docs(cls: type) -> dict[str, str]:
    """Field → its docstring, of the class and of those that it is made from."""
    found: dict[str, str] = {}
    for base in reversed([one for one in cls.__mro__ if dataclasses.is_dataclass(one)]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
                text = after.value
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[field.target.id] = " ".join(text.value.split())
    return found


def _cell(value: object) -> str:
    shown = _shown(value)
    return f"`{shown}`" if len(shown) <= 60 else "see `--help`"


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(list(value) if isinstance(value, tuple) else value).replace("|", "\\|")


def _inline(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
