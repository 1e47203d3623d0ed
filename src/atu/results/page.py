"""`report.html`: one self-contained page made from nothing but the files of a run folder."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from atu.errors import UserError
from atu.records import StageResult
from atu.results.comparison import Row, checks, compare, number, signed, verdict
from atu.results.files import write_text_atomic
from atu.results.metrics import DIRECTIONS, FAMILIES, KNOWN_SUFFIX, Words, describe
from atu.results.page_data import last_evaluated, page_data, script_json
from atu.results.run_folder import RunFolder
from atu.results.terminal import duration
from atu.results.tracking import MetricLog

_TEMPLATES = Path(__file__).parent / "templates"
_SCRIPTS = ("base.js", "charts.js", "answers.js", "start.js")


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
    data = page_data(
        stages,
        run_folder.read_answers(first.label) if first else [],
        run_folder.read_answers(last.label) if last else [],
        MetricLog(run_folder.metrics_path).rows(),
    )
    manifest = run_folder.read_manifest()
    script = _script()
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            header=_header(run_folder, manifest),
            status=_status(run_folder),
            stages=stages,
            first=first,
            last=last,
            families=_families(first, last),
            checks=checks(first.scores, last.scores) if first and last else [],
            verdict=verdict(first.scores, last.scores) if first and last else None,
            headline=data["headline"],
            has_panels=bool(data["panels"]),
            num_answers=len(data["answers"]["rows"]),
            config=run_folder.config_path.read_text(encoding="utf-8"),
            manifest=manifest,
            data=Markup(script_json({**data, "words": _words()})),
            script=Markup(script),
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
            style=Markup(_template("report.css")),
        )
    )
    write_text_atomic(run_folder.report_path, page)
    return run_folder.report_path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "signed": signed, "duration": duration}
    environment.globals |= {
        "t": _both_languages,
        "w": _interface_words,
        "words": _words(),
        "directions": DIRECTIONS,
        "describe": describe,
        "family_labels": FAMILIES,
        "known_suffix": KNOWN_SUFFIX,
    }
    return environment


@cache
def _words() -> dict[str, list[str]]:
    words: dict[str, list[str]] = json.loads(_template("words.json"))
    return words


def _template(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _script() -> str:
    body = "\n".join(_template(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{body}}})();\n'


def _both_languages(words: Words) -> Markup:
    """Both languages side by side; the style sheet shows the one that is chosen."""
    if words.en == words.zh:
        return Markup("{}").format(words.en)
    return Markup('<span class="en" lang="en">{}</span><span class="zh" lang="zh">{}</span>').format(*words)


def _interface_words(key: str, **values: object) -> Markup:
    """Words of the page itself, from `words.json`."""
    return _both_languages(Words(*(text.format(**values) for text in _words()[key])))


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
        label = FAMILIES[name].label if name in FAMILIES else Words(name, name)
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
