"""All of RWKU's probes asked of a model in one pass, and answered under one scoring or both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from atu.benchmarks.rwku import corrected, released
from atu.benchmarks.rwku.asking import ObservationCache, Request, ask
from atu.benchmarks.rwku.rows import TruthfulRow
from atu.evaluation.batching import Progress
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import answers_by_id, check_ids
from atu.models.language_model import LanguageModel
from atu.records import Answer, Probe, Reference, Scoring


def ask_probes(
    llm: LanguageModel,
    probes: Sequence[Probe],
    rows: Mapping[str, TruthfulRow],
    *,
    reference: Reference,
    as_loaded: bool,
    config: EvaluationConfig,
    progress: Progress | None = None,
) -> dict[Scoring, list[Answer]]:
    """The answers of `Benchmark.ask`. `rows`: the TruthfulQA rows by probe id."""
    earlier = answers_by_id(reference)
    check_ids(probes, earlier)
    scorings: list[Scoring] = [name for name in ("released", "corrected") if config.scoring in (name, "both")]
    requests = _requests(llm, probes, scorings)
    cache = ObservationCache(llm) if as_loaded and llm.weights_key else None
    everything = [request for asked in requests.values() for request in asked]
    observed = ask(llm, everything, batch_size=config.batch_size, cache=cache, progress=progress)
    answers: dict[Scoring, list[Answer]] = {}
    if "released" in scorings:
        pairs = zip(probes, requests["released"], strict=True)
        found = [
            released.answer(llm, probe, rows.get(probe.id), request, observed[request]) for probe, request in pairs
        ]
        answers["released"] = [answer for answer in found if answer is not None]
    if "corrected" in scorings:
        pairs = zip(probes, requests["corrected"], strict=True)
        mended = [
            corrected.answer(llm, probe, rows.get(probe.id), request, observed[request]) for probe, request in pairs
        ]
        if reference is not None:
            earlier = {answer.probe_id: answer for answer in mended} if earlier is None else earlier
            mended = corrected.compare(llm, probes, mended, earlier, config.batch_size)
        answers["corrected"] = mended
    return answers


def _requests(llm: LanguageModel, probes: Sequence[Probe], scorings: Sequence[Scoring]) -> dict[Scoring, list[Request]]:
    """For each scoring what to ask for each probe; equal requests are asked once."""
    makers = {"released": released.request, "corrected": corrected.request}
    requests = {name: [makers[name](llm, probe) for probe in probes] for name in scorings}
    if len(scorings) == 2:
        # A text that runs to the released end can be cut at the true one: the tokens up to there are the same.
        requests["corrected"] = [
            one if (one.kind, one.ids) == (other.kind, other.ids) == ("write", other.ids) else other
            for one, other in zip(requests["released"], requests["corrected"], strict=True)
        ]
    return requests
