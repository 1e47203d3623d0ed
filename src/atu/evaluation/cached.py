"""What a model answers as it was loaded: asked once per model and probe set, and found again by every later run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Literal

from atu import __version__
from atu.evaluation.batching import Progress
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import evaluate
from atu.models.language_model import LanguageModel
from atu.records import KNOWN_VALUES, Answer, Probe
from atu.runs.rows import read_answers, to_row
from atu.storage.cache import find_file, new_file
from atu.storage.files import content_key, write_jsonl_atomic


def cached_answers(
    llm: LanguageModel,
    probes: Sequence[Probe],
    config: EvaluationConfig,
    progress: Progress | None = None,
    *,
    reference: Literal["itself"] | None,
) -> list[Answer]:
    """`evaluate` of a model as it was loaded, kept in the cache by what the model reads: weights, tokenizer, template.

    The cache has the model compared with itself, as the reference of a run is; without a `reference` all that is
    relative to one is left out. The batch size is not part of the key, since answers do not depend on it. A model
    without a checksum is asked each time.
    """
    answers = _compared_with_itself(llm, probes, config, progress)
    return answers if reference is not None else list(map(_without_reference, answers))


def _without_reference(answer: Answer) -> Answer:
    values = {name: value for name, value in answer.values.items() if name not in KNOWN_VALUES}
    return replace(answer, known_before=None, values=values)


def _compared_with_itself(
    llm: LanguageModel, probes: Sequence[Probe], config: EvaluationConfig, progress: Progress | None
) -> list[Answer]:
    if not llm.reading_key:
        return evaluate(llm, probes, reference="itself", config=config, progress=progress)
    parts = {
        "model": llm.reading_key,
        "dtype": str(llm.model.dtype),
        "scoring": config.scoring,
        "version": __version__,
        "values": KNOWN_VALUES,  # an entry that older code made has less
        "probes": [asdict(probe) for probe in probes],
    }
    key = content_key(parts)
    path = find_file("answers", key, ".jsonl")
    if path is not None:
        return read_answers(path)
    answers = evaluate(llm, probes, reference="itself", config=config, progress=progress)
    with new_file("answers", key, ".jsonl") as new:
        write_jsonl_atomic(new.partial, map(to_row, answers))
    return answers
