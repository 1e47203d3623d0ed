"""A finished model before the judge, outside of any run: what it is asked, what it is compared with, what is kept."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from rich.console import Console

from atu.benchmarks.catalog import build_benchmark
from atu.benchmarks.config import DataConfig
from atu.benchmarks.several import find_probes, find_target
from atu.evaluation.config import EvaluationConfig
from atu.logged import asked_of
from atu.models.config import ModelConfig
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.records import Judgement, Probe, Reference, Scoring
from atu.reference import RunReference
from atu.runs.evaluation_folder import EvaluationFolder
from atu.runs.progress import RunProgress
from atu.training.device import choose_compute, set_threads


@dataclass(frozen=True, kw_only=True)
class FinishedConfig:
    """One evaluation of a finished model."""

    model: ModelConfig
    before: RunReference | ModelConfig | None = None
    """What was there before: a run, whose record is taken, or a model, which is asked first. None: the scores that
    compare with before are left out."""
    data: DataConfig
    target: str
    """Folder name, or several with commas between them."""
    evaluation: EvaluationConfig
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None


def evaluate_finished(config: FinishedConfig, folder: EvaluationFolder) -> Mapping[Scoring, Judgement]:
    """Ask a model the probes about a target; writes `evaluation.json`, `scores.json` and the answers to `folder`.

    Raises:
        UserError: anything that the user can mend. A folder that holds another evaluation shows before a question
            is asked.
    """
    benchmark = build_benchmark(config.data)
    find_target(benchmark, config.target)  # a wrong name shows before a model is loaded
    probes = find_probes(benchmark, config.target)
    asked = asked_of(benchmark, config.target, probes, config.evaluation)
    folder.refuse_other(asked)
    device = str(choose_compute(config.device, "fp32").device)
    set_threads(config.threads)
    with RunProgress(Console(stderr=True)) as progress:
        before, reference = _before(config, probes, device, progress)
        llm = load_language_model(config.model, device=device)
        # As a run leaves the output head: torch multiplies by weights that may be trained in another order, which
        # shows in the eighth digit.
        llm.model.requires_grad_(False)
        model = identity_of(llm)
        identity = {"model": model, **asked, "before": model if before == "itself" else reference, "device": device}
        folder.refuse_other(identity)
        with progress.stage(f"asking {len(probes)} probes") as advance:
            answers = benchmark.ask(
                llm, probes, reference=before, as_loaded=True, config=config.evaluation, progress=advance
            )
    judgements = benchmark.judge(answers, samples=config.evaluation.bootstrap_samples)
    folder.write(identity, judgements, benchmark.files(judgements))
    return judgements


def identity_of(llm: LanguageModel) -> dict[str, Any]:
    """Which model it is: where it was found, and all that decides what it answers."""
    template = llm.tokenizer.chat_template
    return {
        "label": llm.label,
        "source": llm.provenance.get("source", ""),
        "revision": llm.provenance.get("revision", ""),
        "sha256": llm.provenance.get("sha256", ""),
        "settings": llm.provenance.get("settings", ""),
        "dtype": str(llm.model.dtype).removeprefix("torch."),
        "quantization": llm.provenance.get("quantization", "none"),
        # transformers 5.24 has no public word for adapters that came with a folder.
        "adapter": "loaded" if getattr(llm.model, "_hf_peft_config_loaded", False) else "none",
        "chat_template": hashlib.sha256(str(template).encode()).hexdigest() if template else None,
        "chat_template_kwargs": dict(llm.chat.given),
        "chat_template_date": llm.chat.date,
        # Of tokenizer, template, its variables and end tokens together.
        "reading": llm.reading_key.removeprefix(f"{llm.weights_key}-"),
    }


def _before(
    config: FinishedConfig, probes: list[Probe], device: str, progress: RunProgress
) -> tuple[Reference, dict[str, Any] | None]:
    """What the answers are compared with, and whose answers those are; no name where it is the model itself."""
    if config.before is None:
        return None, None
    if config.before == config.model:
        progress.line("note: the model is compared with itself")
        return "itself", None
    # In-context unlearning is what happens to the model: before it, nobody asked it to forget.
    plain = build_benchmark(replace(config.data, icu=False))
    plain_probes = find_probes(plain, config.target)
    if isinstance(config.before, RunReference):
        return config.before.answers_to(plain_probes, probes), config.before.identity
    llm = load_language_model(config.before, device=device)
    evaluation = replace(config.evaluation, scoring="corrected")
    with progress.stage(f"asking the model before {len(plain_probes)} probes") as advance:
        answers = plain.ask(llm, plain_probes, reference="itself", as_loaded=True, config=evaluation, progress=advance)
    reference = identity_of(llm)
    del llm
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return answers["corrected"], reference
