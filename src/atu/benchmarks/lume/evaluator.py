"""LUME's beginnings and membership texts asked of a model, and its questions under the released scoring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atu.benchmarks.lume import corrected, released
from atu.evaluation.batching import Progress, part_of
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.generate import Prompt, generate
from atu.evaluation.known import compare_known
from atu.evaluation.likelihood import Completion, TokenStatistics, completion_statistics
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe, Reference, Scoring


def is_question(probe: Probe) -> bool:
    """Whether a probe is one of LUME's questions, rather than a beginning or a membership text."""
    return "/knowledge_" in probe.group


def ask_rows(
    llm: LanguageModel,
    probes: Sequence[Probe],
    *,
    reference: Reference,
    earlier: Mapping[str, Answer] | None,
    config: EvaluationConfig,
    progress: Progress | None = None,
) -> dict[Scoring, list[Answer]]:
    """The answers under each scoring, by `corrected` to all but the questions, which are asked as any others are.

    One continuation serves both scorings where its beginning has the same tokens.

    Args:
        earlier: the reference's answers by id; None where there are none, or where they are the model's own.
    """
    rest = [probe for probe in probes if not is_question(probe)]
    has = {name: config.scoring in (name, "both") for name in ("released", "corrected")}
    released_rows, corrected_rows = probes if has["released"] else [], rest if has["corrected"] else []
    asked: dict[str, dict[str, Prompt]] = {
        "released": {row.id: released.prompt(llm, row) for row in released_rows if row.kind == "generate"},
        "corrected": {row.id: corrected.prompt(llm, row) for row in corrected_rows if row.kind == "generate"},
    }
    read: dict[str, dict[str, Completion]] = {
        "released": {row.id: released.completion(llm, row) for row in released_rows if row.kind == "likelihood"},
        "corrected": {row.id: corrected.completion(llm, row) for row in corrected_rows if row.kind == "likelihood"},
    }
    same = {
        row_id: asked["released"][row_id]
        for row_id, one in asked["corrected"].items()
        if row_id in asked["released"]
        and asked["released"][row_id].ids == one.ids
        and set(asked["released"][row_id].end_ids or ()) <= set(one.end_ids or ())
    }
    wanted = [*asked["released"].values(), *(one for key, one in asked["corrected"].items() if key not in same)]
    texts = [one for rows in read.values() for one in rows.values()]
    new, tokens = _observe(llm, wanted, texts, config.batch_size, progress)
    answers: dict[Scoring, list[Answer]] = {}
    if has["released"]:
        answers["released"] = [
            released.written(llm, row, new[asked["released"][row.id]])
            if row.kind == "generate"
            else released.member(row, tokens[read["released"][row.id]])
            for row in released_rows
        ]
    if has["corrected"]:
        found = [
            corrected.written(llm, row, one, new[same.get(row.id, one)])
            if (one := asked["corrected"].get(row.id)) is not None
            else corrected.member(row, tokens[read["corrected"][row.id]])
            for row in corrected_rows
        ]
        if reference is not None:
            own = {answer.probe_id: answer for answer in found}
            found = compare_known(
                llm,
                corrected_rows,
                found,
                own if earlier is None else earlier,
                can_be_known=lambda probe: probe.kind == "generate",
                behind=lambda probe, text: corrected.behind(llm, probe, text),
                batch_size=config.batch_size,
            )
        answers["corrected"] = found
    return answers


def _observe(
    llm: LanguageModel,
    prompts: Sequence[Prompt],
    texts: Sequence[Completion],
    batch_size: int,
    progress: Progress | None,
) -> tuple[dict[Prompt, tuple[int, ...]], dict[Completion, TokenStatistics]]:
    """What is written behind each distinct prompt, and the statistics of each distinct text."""
    prompts, texts = list(dict.fromkeys(prompts)), list(dict.fromkeys(texts))
    total = max(1, len(prompts) + len(texts))
    report = part_of(progress, first=0, size=len(prompts), total=total)
    written = generate(llm, prompts, batch_size=batch_size, progress=report)
    report = part_of(progress, first=len(prompts), size=len(texts), total=total)
    statistics = completion_statistics(llm, texts, batch_size=batch_size, progress=report)
    new = {prompt: one.ids for prompt, one in zip(prompts, written, strict=True)}
    return new, dict(zip(texts, statistics, strict=True))
