"""The harness's tasks: found by name or file, read, and what they ask as probes. No torch here."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from atu.benchmarks.lm_eval.config import LmEvalConfig
from atu.errors import UserError, first_line
from atu.extras import LM_EVAL, import_absl, require
from atu.records import Probe

NEEDED = {"benchmark lm-eval": LM_EVAL}
_FEWSHOT_SEED = 1234
"""By which the harness draws worked examples where nothing else is said."""
_NEAR = 3
"""Names that are offered for one that does not exist."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number that the harness gives each row of a task."""

    key: str
    """As the harness writes it: `acc`, or with a filter `exact_match,strict-match`."""
    name: str
    filter: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Tasks that the harness also scores together, such as `mmlu`."""

    name: str
    tasks: tuple[str, ...]
    metrics: Mapping[str, bool]
    """Name of a metric → whether a task counts by its number of rows, rather than all tasks alike."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a task."""

    probe: Probe
    """Its id is task and number alone, `wmdp_cyber/0`; see `probe_of`."""
    context: str
    """The prompt of its first request."""
    num_requests: int
    """Texts whose likelihood is asked for it, or answers that are written."""


@dataclass(frozen=True)
class Loaded:
    """The tasks that a config names, with their data."""

    tasks: Mapping[str, Any]
    """Name → `lm_eval.api.task.Task`."""
    groups: tuple[Group, ...]
    forget_tasks: tuple[str, ...]
    limit: int | None

    def side(self, task: str) -> str:
        """`forget` or `utility`: a task's own name counts, or that of a group it belongs to."""
        names = [task, *(group.name for group in self.groups if task in group.tasks)]
        return "forget" if any(fnmatchcase(name, one) for name in names for one in self.forget_tasks) else "utility"

    @cached_property
    def rows(self) -> dict[str, Row]:
        """All rows of all tasks, each as the harness words it, by task and number."""
        rows = [row for name, task in self.tasks.items() for row in self._rows_of(name, task)]
        return {row.probe.id: row for row in rows}

    @cached_property
    def checksum(self) -> str:
        """sha256 (hex) over the rows of all tasks, as they came from the hub or from a file."""
        digest = sha256()
        for name, task in self.tasks.items():
            digest.update(f"{name} {task.VERSION}\n".encode())
            for _, row in task.doc_iterator(limit=self.limit):
                digest.update(json.dumps(row, sort_keys=True, default=str).encode())
        return digest.hexdigest()

    def metrics(self, task: str) -> list[Metric]:
        """What of a task's numbers is a mean over rows where more is better, in its own order: such have an interval.

        Raises:
            UserError: there is none.
        """
        found, kept = self.tasks[task], []
        filters = [one.name for one in getattr(found, "_filters", ())] or ["none"]
        means = [name for name, how in found.aggregation().items() if getattr(how, "__name__", "") == "mean"]
        for name in means:
            if found.higher_is_better().get(name, True):
                kept += [Metric(key=name if f == "none" else f"{name},{f}", name=name, filter=f) for f in filters]
        if not kept:
            named = ", ".join(found.aggregation()) or "nothing"
            raise UserError(
                f"lm-eval task '{task}' gives {named}: no mean over rows where more is better, so there is no score "
                "with an interval to take."
            )
        return kept

    def _rows_of(self, name: str, task: Any) -> list[Row]:
        self.metrics(name)
        if getattr(task, "UNSAFE_CODE", False):
            raise UserError(f"lm-eval task '{name}' runs code that a model writes, which is not done here.")
        if getattr(task, "MULTIMODAL", False):
            raise UserError(f"lm-eval task '{name}' asks about images or sound, which no model here reads.")
        prepare(task)
        with told(name), silent_bars():
            task.build_all_requests(limit=self.limit)
        asked: dict[int, list[Any]] = {}
        for instance in task.instances:
            asked.setdefault(instance.doc_id, []).append(instance)
        with told(name):
            return [
                Row(
                    probe=_probe(f"{self.side(name)}/{name}", f"{name}/{number}", task, parts),
                    context=str(parts[0].args[0]),
                    num_requests=len(parts),
                )
                for number, parts in asked.items()
            ]


def probe_of(row: Row, target: str) -> Probe:
    """A row as it is asked about a target, which decides nothing but its id."""
    return replace(row.probe, id=f"lm-eval/{target}/{row.probe.id}")


def row_key(probe_id: str) -> str:
    """Task and number of what `probe_of` gave."""
    return probe_id.split("/", 2)[2]


def load(config: LmEvalConfig) -> Loaded:
    """The tasks of a config; read once in a process.

    Raises:
        UserError: the package is missing, no task is named, one does not exist, or its data cannot be had.
    """
    require(NEEDED)
    if not config.tasks:
        raise UserError("data.tasks names no task: give some of lm-eval, such as --tasks wmdp_cyber,mmlu.")
    return _load(config.tasks, config.forget_tasks, config.num_fewshot, config.limit)


@cache
def _load(names: tuple[str, ...], forget_tasks: tuple[str, ...], num_fewshot: int | None, limit: int | None) -> Loaded:
    files = [name for name in names if _is_file(name)]
    with quiet():
        manager = _manager(len(files) < len(names))
        tasks: dict[str, Any] = {}
        groups: dict[str, Any] = {}
        for name in _specs(names, manager):
            with told(name):
                found = manager.load([name])
            tasks |= found["tasks"]
            groups |= found["groups"]
    for task in tasks.values():
        _set_examples(task, num_fewshot)
    return Loaded(tasks, tuple(map(_group, groups.values())), forget_tasks, limit)


@cache
def _manager(include_defaults: bool) -> Any:
    """What finds tasks. The index of all 14,000 names takes seconds, and a task file needs none of them."""
    import_absl()
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=include_defaults)


def prepare(task: Any) -> None:
    """Set the draw of worked examples back, so that a row's prompt is the same whenever it is built."""
    task.set_fewshot_seed(seed=_FEWSHOT_SEED)


@contextmanager
def told(name: str) -> Iterator[None]:
    """What goes wrong in a task as one line that names it.

    Raises:
        UserError: anything went wrong; the task's code and its data's server raise what they like.
    """
    try:
        with quiet():
            yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"lm-eval task '{name}' cannot be read: {first_line(error)}.") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without what the harness and its data library write beside the bars that there are here."""
    import datasets

    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets", "huggingface_hub")]
    levels, has_bars = [logger.level for logger in loggers], not datasets.utils.are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if has_bars:
            datasets.enable_progress_bars()


@contextmanager
def silent_bars() -> Iterator[None]:
    """Without the bar over rows, which the harness has no switch for."""
    from lm_eval.api import task as module

    bar = module.tqdm
    module.tqdm = lambda rows, **_: rows
    try:
        yield
    finally:
        module.tqdm = bar


def _is_file(name: str) -> bool:
    """Whether a name is that of a task file, which must be there then."""
    path = Path(name).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        return False
    if not path.is_file():
        raise UserError(f"data.tasks: there is no task file {path}.")
    return True


def _specs(names: Sequence[str], manager: Any) -> list[str]:
    known: set[str] = set(manager.all_tasks)
    specs: list[str] = []
    for name in names:
        found = [name] if name in known or _is_file(name) else []
        found = found or (manager.match_tasks([name]) if set(name) & set("*?[") else [])
        if not found:
            near = difflib.get_close_matches(name, known, n=_NEAR)
            hint = f"Near names: {', '.join(near)}." if near else "`lm-eval ls tasks` lists all."
            raise UserError(f"data.tasks: lm-eval has no task '{name}'. {hint}")
        specs += found
    return list(dict.fromkeys(specs))


def _set_examples(task: Any, num_fewshot: int | None) -> None:
    """As `lm_eval.simple_evaluate` does: a task that says 0 itself stays at 0, one that says nothing gets 0."""
    own = task.get_config("num_fewshot")
    if num_fewshot is not None and own != 0:
        task.set_config(key="num_fewshot", value=num_fewshot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)


def _group(group: Any) -> Group:
    metrics = {one.metric: one.weight_by_size for one in group.aggregate_metric_list or ()}
    return Group(name=group.name, tasks=tuple(task.task_name for task in group.get_all_tasks()), metrics=metrics)


def _probe(group: str, probe_id: str, task: Any, parts: Sequence[Any]) -> Probe:
    """One row, from its requests: the prompt, what can be said, and which of that is right."""
    doc, contexts = parts[0].doc, [str(part.args[0]) for part in parts]
    if parts[0].request_type == "generate_until":
        target = task.doc_to_target(doc)
        references = target if isinstance(target, list | tuple) else [target]
        return Probe(
            id=probe_id, group=group, kind="generate", prompt=contexts[0], references=tuple(map(str, references))
        )
    prompt, ends = contexts[0], [str(part.args[-1]) for part in parts]
    if len(set(contexts)) > 1 and len(set(ends)) == 1:  # Winogrande: the contexts are the choices
        prompt, said, target = ends[0], contexts, task.doc_to_text(doc)
    elif getattr(task, "OUTPUT_TYPE", "") == "multiple_choice":
        said, target = list(map(str, task.doc_to_choice(doc))), task.doc_to_target(doc)
    else:
        said, target = ends, ends[0]
    places = [said.index(one) if one in said else one for one in (target if isinstance(target, list) else [target])]
    return Probe(
        id=probe_id,
        group=group,
        kind="choose",
        prompt=prompt,
        references=tuple(said),
        correct=tuple(one for one in places if isinstance(one, int) and 0 <= one < len(said)),
    )
