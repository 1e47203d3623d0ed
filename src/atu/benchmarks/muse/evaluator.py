"""All of MUSE's probes asked of a model, and answered under one scoring or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from atu.benchmarks.muse import corrected, released
from atu.benchmarks.muse.asked import Asked, Observation
from atu.benchmarks.muse.reader import Row
from atu.evaluation.batching import Progress, part_of
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import answers_by_id, check_ids
from atu.evaluation.generate import generate
from atu.evaluation.gradient_norms import gradient_norms
from atu.evaluation.known import compare_known
from atu.evaluation.likelihood import Completion, completion_statistics
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe, Reference, Scoring

_SCORINGS: tuple[Scoring, ...] = ("released", "corrected")
_REQUEST = {"released": released.request, "corrected": corrected.request}
_ANSWER = {"released": released.answer, "corrected": corrected.answer}


def ask_probes(
    llm: LanguageModel,
    probes: Sequence[Probe],
    shots: Mapping[str, Sequence[Row]],
    *,
    reference: Reference,
    config: EvaluationConfig,
    with_gradients: bool,
    progress: Progress | None = None,
) -> dict[Scoring, list[Answer]]:
    """The answers of `Benchmark.ask`; what both scorings ask alike is asked once.

    Args:
        shots: the worked examples before the questions of a group.
        with_gradients: whether the membership attack by gradients is made.
    """
    earlier = answers_by_id(reference)
    check_ids(probes, earlier)
    names = [name for name in _SCORINGS if config.scoring in (name, "both")]
    asked = {name: [_REQUEST[name](llm, probe, shots.get(probe.group, ())) for probe in probes] for name in names}
    observed = _observe(llm, probes, asked, config.batch_size, with_gradients, progress)
    answers: dict[Scoring, list[Answer]] = {}
    for name in names:
        answers[name] = [
            _ANSWER[name](llm, probe, shots.get(probe.group, ()), one, seen)
            for probe, one, seen in zip(probes, asked[name], observed[name], strict=True)
        ]
    if "corrected" in answers and reference is not None:
        own = {answer.probe_id: answer for answer in answers["corrected"]}
        answers["corrected"] = compare_known(
            llm,
            probes,
            answers["corrected"],
            own if earlier is None else earlier,
            can_be_known=lambda probe: probe.kind == "generate",
            behind=lambda probe, text: corrected.behind(llm, probe, shots.get(probe.group, ()), text),
            batch_size=config.batch_size,
        )
    return answers


def _observe(
    llm: LanguageModel,
    probes: Sequence[Probe],
    asked: Mapping[Scoring, Sequence[Asked]],
    batch_size: int,
    with_gradients: bool,
    progress: Progress | None,
) -> dict[Scoring, list[Observation]]:
    everything = [one for requests in asked.values() for one in requests]
    prompts = list(dict.fromkeys(one.prompt for one in everything if one.prompt is not None))
    completions = list(dict.fromkeys(one.completion for one in everything if one.completion is not None))
    learned = {name: [_learned(name, *pair) for pair in zip(probes, asked[name], strict=True)] for name in asked}
    texts = list(dict.fromkeys(one for row in learned.values() for one in row if one is not None))
    texts = texts if with_gradients else []
    total = len(prompts) + len(completions) + len(texts)
    report = partial(part_of, progress, total=total)
    new = generate(llm, prompts, batch_size=batch_size, progress=report(first=0, size=len(prompts)))
    statistics = completion_statistics(
        llm, completions, batch_size=batch_size, progress=report(first=len(prompts), size=len(completions))
    )
    gradients = gradient_norms(llm, texts, progress=report(first=total - len(texts), size=len(texts)))
    written = {prompt: one.ids for prompt, one in zip(prompts, new, strict=True)}
    read = dict(zip(completions, statistics, strict=True))
    steep = dict(zip(texts, gradients, strict=True))
    return {
        name: [
            Observation(
                new=() if one.prompt is None else written[one.prompt],
                statistics=None if one.completion is None else read[one.completion],
                gradient=None if text is None else steep.get(text),
            )
            for one, text in zip(requests, learned[name], strict=True)
        ]
        for name, requests in asked.items()
    }


def _learned(scoring: Scoring, probe: Probe, asked: Asked) -> Completion | None:
    """The text whose gradient is computed: of the membership attacks alone, in `released` without its last token."""
    completion = asked.completion
    if probe.kind != "likelihood" or completion is None or scoring == "corrected":
        return completion if probe.kind == "likelihood" else None
    return replace(completion, ids=completion.ids[:-1]) if len(completion.ids) > 1 else None
