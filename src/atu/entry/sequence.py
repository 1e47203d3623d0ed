"""`atu sequence`: every model of runs that follow one another is asked about every concept. Torch comes late."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from atu.benchmarks.config import DataConfig
from atu.benchmarks.several import find_probes, join_names, members_of
from atu.entry.early_checks import check_device, check_model, check_target
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.extras import require
from atu.models.config import ModelConfig
from atu.models.resolve import chat_settings, resolve_model
from atu.runs.evaluation_folder import open_evaluation
from atu.runs.run_folder import RunFolder
from atu.sequence import Step, check_sequence, write_sequence
from atu.text.escaping import file_name
from atu.typed import from_mapping


def ask_in_sequence(
    runs: Sequence[Path], out: Path, *, batch_size: int | None, device: Literal["auto", "cpu", "cuda"]
) -> str:
    """Ask the model before all runs, and the one that each of them left, about the concepts of all runs.

    Writes an evaluation of each into a folder of `out`, and the tables, which are returned.

    Raises:
        UserError: the runs do not follow one another, or anything else that the user can mend.
    """
    folders = [RunFolder(root=run) for run in runs]
    configs = check_sequence(folders)
    data = from_mapping(DataConfig, configs[0]["data"], "data")
    first = from_mapping(ModelConfig, configs[0]["pre_trained_llm"], "pre_trained_llm")
    evaluation = from_mapping(EvaluationConfig, configs[0]["evaluation"], "evaluation")
    evaluation = replace(evaluation, scoring="corrected", batch_size=batch_size or evaluation.batch_size)
    requests = [str(config["unlearning_target"]) for config in configs]
    check_device(device)
    check_model(first)
    benchmark, _ = check_target(data, join_names(requests))
    for run, config, target in zip(runs, configs, requests, strict=True):
        if check_target(from_mapping(DataConfig, config["data"], "data"), target)[1] != find_probes(benchmark, target):
            raise UserError(
                f"The runs {runs[0]} and {run} do not ask alike about {target}: their keys of data differ (benchmark, "
                "files, tasks ...), so no table can hold both."
            )
    require(benchmark.packages(evaluation.scoring))
    loading = {"attn_implementation": first.attn_implementation, "dtype": first.dtype, **chat_settings(first)}
    models = [first, *(replace(resolve_model(str(folder.model_dir)), **loading) for folder in folders)]
    names = ["before", *(folder.root.name for folder in folders)]
    steps = []
    for place, (model, name) in enumerate(zip(models, names, strict=True)):
        with open_evaluation(out / f"{place}-{file_name(name)}") as folder:
            from atu.finished import FinishedConfig, evaluate_finished  # brings torch

            judgements = evaluate_finished(
                FinishedConfig(
                    model=model,
                    before=first,
                    data=data,
                    target=join_names(requests),
                    evaluation=evaluation,
                    device=device,
                ),
                folder,
            )
        steps.append(
            Step(
                run=None if place == 0 else str(folders[place - 1].root),
                targets=() if place == 0 else members_of(benchmark, requests[place - 1]),
                judgement=judgements["corrected"],
            )
        )
    return write_sequence(out, benchmark, steps, samples=evaluation.bootstrap_samples)
