"""All of TOFU's probes asked of a model under one scoring or both; what a model says as it was loaded is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import groupby

from atu import __version__
from atu.benchmarks.tofu.asking import Asking, ask_rows
from atu.benchmarks.tofu.config import TofuConfig
from atu.benchmarks.tofu.files import Row, rows_sha256
from atu.evaluation.batching import Progress, part_of
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import check_ids
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe, Scoring
from atu.runs.rows import read_answers, to_row
from atu.storage.cache import find_file, new_file
from atu.storage.files import content_key, write_jsonl_atomic


def ask_probes(
    llm: LanguageModel,
    probes: Sequence[Probe],
    rows: Mapping[str, Row],
    keys: TofuConfig,
    *,
    as_loaded: bool,
    config: EvaluationConfig,
    progress: Progress | None = None,
) -> dict[Scoring, list[Answer]]:
    """The answers of `Benchmark.ask`; `rows`: what each probe asks about, by its id."""
    check_ids(probes, None)
    scorings: list[Scoring] = [name for name in ("released", "corrected") if config.scoring in (name, "both")]
    groups = [list(group) for _, group in groupby(probes, key=lambda probe: probe.group)]
    answers: dict[Scoring, list[Answer]] = {}
    done = 0
    for scoring in scorings:
        how = Asking(scoring=scoring, template=keys.template, gradnorm=keys.gradnorm, batch_size=config.batch_size)
        answers[scoring] = []
        for group in groups:
            size = len(group)
            report = part_of(progress, first=done // len(scorings), size=size // len(scorings), total=len(probes))
            answers[scoring] += _ask(llm, group, rows, how, report, is_kept=as_loaded and bool(llm.reading_key))
            done += size
    return answers


def _ask(
    llm: LanguageModel,
    probes: Sequence[Probe],
    rows: Mapping[str, Row],
    how: Asking,
    progress: Progress | None,
    *,
    is_kept: bool,
) -> list[Answer]:
    """The answers to probes of one group: from the cache, where the same model was asked before."""
    if not is_kept:
        return ask_rows(llm, probes, rows, how, progress)
    parts = {
        "benchmark": "tofu",
        "model": llm.reading_key,
        "dtype": str(llm.model.dtype),
        "version": __version__,
        "scoring": how.scoring,
        "template": how.template,
        "gradnorm": how.gradnorm,
        "probes": [asdict(probe) for probe in probes],
        "rows": rows_sha256([rows[probe.id] for probe in probes]),
    }
    key = content_key(parts)
    path = find_file("answers", key, ".jsonl")
    if path is not None:
        return read_answers(path)
    answers = ask_rows(llm, probes, rows, how, progress)
    with new_file("answers", key, ".jsonl") as new:
        write_jsonl_atomic(new.partial, map(to_row, answers))
    return answers
