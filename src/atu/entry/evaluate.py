"""`atu evaluate`: from what the user gave to the evaluation of a finished model. Torch comes with the model alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from atu.attacks.target import target_of_card
from atu.benchmarks.base import Benchmark
from atu.benchmarks.catalog import BENCHMARKS, build_benchmark, find_benchmark, released_benchmarks
from atu.benchmarks.config import DataConfig
from atu.benchmarks.options import OptionValue, option_keys
from atu.entry.early_checks import check_device, check_model, check_target
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.extras import require
from atu.logged import evaluate_log, is_log
from atu.models.config import DtypeName, ModelConfig, QuantizationName
from atu.models.resolve import chat_settings, resolve_model
from atu.records import Judgement, Scoring
from atu.reference import RunReference, find_reference
from atu.runs.evaluation_folder import open_evaluation
from atu.typed import from_mapping


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """What the user gave; None where nothing was said."""

    model: str
    out: Path
    target: str | None
    before: str | None
    benchmark: str | None
    data_dir: str | None
    options: Mapping[str, OptionValue]
    """Of the benchmarks, by `Option.parameter`."""
    scoring: Literal["released", "corrected", "both"] | None
    icu: bool
    batch_size: int | None
    dtype: DtypeName | None
    quantization: QuantizationName | None
    device: Literal["auto", "cpu", "cuda"]


def evaluate_model(request: EvaluationRequest) -> Mapping[Scoring, Judgement]:
    """Evaluate a finished model into `request.out`; what can be refused without torch is refused before it comes.

    Raises:
        UserError: anything that the user can mend.
    """
    if is_log(request.model):
        return _evaluate_log(request)
    run = None if request.before is None else find_reference(request.before, request.model)
    data = _data(request, run)
    loading: dict[str, Any] = {"dtype": request.dtype, "quantization": request.quantization}
    if run is not None:
        loading |= {
            "attn_implementation": run.model.attn_implementation,
            "dtype": request.dtype or run.model.dtype,
        }
    model = replace(resolve_model(request.model), **present(loading))
    target = request.target or (run.target if run else _target(request.model, build_benchmark(data)))
    evaluation = _evaluation(request, data, run)
    before: RunReference | ModelConfig | None = run
    if request.before is not None and run is None:
        before = replace(resolve_model(request.before), **present(loading), **chat_settings(model))
    check_device(request.device)
    check_model(model)
    benchmark, probes = check_target(data, target)
    require(benchmark.packages(evaluation.scoring))
    benchmark.check(probes, evaluation.scoring)
    with open_evaluation(request.out) as folder:
        from atu.finished import FinishedConfig, evaluate_finished  # brings torch

        config = FinishedConfig(
            model=model,
            before=before,
            data=data,
            target=target,
            evaluation=evaluation,
            device=request.device,
            threads=None if run is None else run.threads,
        )
        return evaluate_finished(config, folder)


def _evaluate_log(request: EvaluationRequest) -> Mapping[Scoring, Judgement]:
    """The same for another program's file of results, which stands in place of a model."""
    data = _data(request, None)
    given = {"before": request.before, "dtype": request.dtype, "quantization": request.quantization}
    if present(given):
        raise UserError(f"--{next(iter(present(given)))} is for a model, and {request.model} is a file of results.")
    target = request.target or _target(request.model, build_benchmark(data))
    benchmark, _ = check_target(data, target)
    evaluation = _evaluation(request, data, None)
    require(benchmark.packages(evaluation.scoring))
    with open_evaluation(request.out) as folder:
        return evaluate_log(Path(request.model).expanduser(), benchmark, target, evaluation, folder)


def _target(model: str, benchmark: Benchmark) -> str:
    return benchmark.default_target or target_of_card(model, benchmark)


def _data(request: EvaluationRequest, run: RunReference | None) -> DataConfig:
    """The judge: that of the run, unless another is named; what is given counts before what the run had."""
    name = request.benchmark or (DataConfig.benchmark if run is None else run.data.benchmark)
    find_benchmark(name, "--benchmark")
    given = present({"benchmark": name, "data_dir": request.data_dir, "icu": request.icu or None})
    given |= option_keys("evaluate", name, request.options, BENCHMARKS)
    kept = asdict(run.data) if run is not None and run.data.benchmark == name else {}
    return from_mapping(DataConfig, {**kept, **given}, "")


def _evaluation(request: EvaluationRequest, data: DataConfig, run: RunReference | None) -> EvaluationConfig:
    """How it is scored: as the run did, else by all rules that the benchmark has."""
    has_released = "released" in find_benchmark(data.benchmark).scorings
    if not has_released and request.scoring not in (None, "corrected"):
        having = " or ".join(benchmark.name for benchmark in released_benchmarks())
        raise UserError(
            f"--scoring {request.scoring} is for --benchmark {having}: {data.benchmark} has corrected scores alone."
        )
    default = EvaluationConfig(scoring="both" if has_released else "corrected")
    given = present({"scoring": request.scoring, "batch_size": request.batch_size})
    return replace(default if run is None else run.evaluation, **given)


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """What was given: all but None."""
    return {key: value for key, value in values.items() if value is not None}
