"""`atu attack`: from what the user gave to the attacks on a model. Torch comes with the models alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from atu.attacks.config import FULL, QUICK, ModelName, packages_of, parse_attacks, parse_seeds
from atu.attacks.target import target_of_card
from atu.benchmarks.build import given_texts
from atu.benchmarks.catalog import BENCHMARKS, build_benchmark, find_benchmark
from atu.benchmarks.config import DataConfig
from atu.benchmarks.options import OptionValue, option_keys
from atu.benchmarks.several import find_target
from atu.entry.early_checks import check_model, check_target
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.extras import require
from atu.models.config import DtypeName, ModelConfig
from atu.models.resolve import resolve_model
from atu.typed import from_mapping


@dataclass(frozen=True, kw_only=True)
class AttackRequest:
    """What the user gave; None where nothing was said."""

    model: str
    before: str
    gold: str | None
    out: Path
    target: str | None
    benchmark: str
    data_dir: str | None
    options: Mapping[str, OptionValue]
    """Of the benchmarks, by `Option.parameter`."""
    forget: str | None
    retain: str | None
    """Files of texts, for attacks that train on some; else the model before writes them."""
    attacks: str
    quick: bool
    seeds: str
    batch_size: int
    dtype: DtypeName | None


def attack_model(request: AttackRequest) -> None:
    """Attack a model; what can be refused without torch is refused before it comes.

    Raises:
        UserError: anything that the user can mend.
    """
    attacks, budget = parse_attacks(request.attacks), QUICK if request.quick else FULL
    seeds = parse_seeds(request.seeds or ("0" if request.quick else "0,1,2"))
    data = _data(request)
    models = _models(request)
    benchmark = build_benchmark(data)
    target = request.target or benchmark.default_target or target_of_card(request.model, benchmark)
    _, probes = check_target(data, target)
    if not any(probe.kind == "generate" and probe.group.startswith("forget/") for probe in probes):
        raise UserError(
            f"{benchmark.name} asks no question about '{target}' that a model answers in its own words, and attacks "
            f"need such: {benchmark.how_to_ask}, or take another --benchmark."
        )
    given_texts(benchmark, find_target(benchmark, target), writer=models["original"].name, seed=0)
    for model in models.values():
        check_model(model)
    require(packages_of(attacks))
    # These bring torch.
    from rich.console import Console

    from atu.audit import AuditConfig, audit, named_encoder
    from atu.runs.progress import RunProgress

    config = AuditConfig(
        models=models,
        data=data,
        target=target,
        out=request.out,
        attacks=attacks,
        seeds=seeds,
        budget=budget,
        encoders=tuple(map(named_encoder, budget.encoders)),
        evaluation=EvaluationConfig(batch_size=request.batch_size),
    )
    with RunProgress(Console()) as progress:
        audit(config, progress)


def _models(request: AttackRequest) -> dict[ModelName, ModelConfig]:
    named: dict[ModelName, str | None] = {
        "unlearned": request.model,
        "original": request.before,
        "gold": request.gold,
    }
    loading: dict[str, Any] = {} if request.dtype is None else {"dtype": request.dtype}
    return {name: replace(resolve_model(one), **loading) for name, one in named.items() if one is not None}


def _data(request: AttackRequest) -> DataConfig:
    name = request.benchmark
    data = {
        "benchmark": name,
        "data_dir": request.data_dir,
        **find_benchmark(name, "--benchmark").asked_by_attacks,
        **option_keys("attack", name, request.options, BENCHMARKS),
    }
    if request.forget is not None and request.retain is not None:
        data["corpus"] = {"source": "jsonl", "forget_path": request.forget, "retain_path": request.retain}
    elif request.forget != request.retain:
        raise UserError("--forget and --retain belong together: give both files, or neither.")
    return from_mapping(DataConfig, data, "")
