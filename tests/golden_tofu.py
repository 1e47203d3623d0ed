"""Answers of our released scoring of TOFU beside the reference implementation's logs, by their README's tolerances."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from atu.benchmarks.tofu.benchmark import TofuBenchmark
from atu.benchmarks.tofu.log import log_files
from atu.benchmarks.tofu.summary import tofu_scores
from atu.records import Answer, Probe

if TYPE_CHECKING:
    from atu.models.language_model import LanguageModel

_ALL = {"forget": 24, "retain": 12, "real_authors": 12, "world_facts": 12}
_PRIVACY = {"members": 12, "others": 12}


@dataclass(frozen=True, kw_only=True)
class Log:
    """How a log was made."""

    model: Literal["base", "taught", "retain"]
    rows: Mapping[str, int]
    """Part → its first rows that were asked."""
    template: Literal["plain"] | None = None
    pad: str | None = None
    """The pad token, where it was another than the tokenizer's."""


LOGS = {
    "taught_a": Log(model="taught", rows=_ALL),
    "base_a": Log(model="base", rows=_ALL),
    "taught_b": Log(model="taught", rows=_PRIVACY),
    "base_b": Log(model="base", rows=_PRIVACY),
    "taught_plain": Log(model="taught", rows={"forget": 24, "world_facts": 12}, template="plain"),
    "taught_padneos": Log(model="taught", rows=_ALL | {"forget": 12}, pad="<|endoftext|>"),
    "base_padneos": Log(model="base", rows=_ALL | {"forget": 12}, pad="<|endoftext|>"),
    "retain_40": Log(model="retain", rows={"forget": 40}),
}


@dataclass
class Agreement:
    """What one log says of our answers."""

    numbers: int = 0
    texts: int = 0
    other_texts: int = 0
    worst: dict[str, float] = field(default_factory=dict)
    """Greatest difference by the name of a number; of gradients and truth ratios relative to it."""
    faults: list[str] = field(default_factory=list)


def tuned(base: LanguageModel, lora: Path) -> LanguageModel:
    """A copy of a model with LoRA factors added: W + scale * B A, in float64 and rounded once."""
    from safetensors import safe_open

    model = copy.deepcopy(base.model)
    with safe_open(lora, "pt") as file:
        scale = float(file.metadata()["scale"])
        for name in sorted({key[:-2] for key in file.keys()}):  # noqa: SIM118  # the file is no mapping
            weight = model.get_parameter(f"{name}.weight")
            a, b = (file.get_tensor(f"{name}.{side}").double() for side in "AB")
            weight.data = (weight.data.double() + scale * (b @ a)).float()
    return replace(base, model=model, provenance={}, label=lora.stem)


def probes_of(benchmark: TofuBenchmark, rows: Mapping[str, int]) -> list[Probe]:
    """The first probes of each part."""
    places = [(probe, *probe.id.split("/")[2:]) for probe in benchmark.probes("forget01")]
    return [probe for probe, part, number in places if int(number) < rows.get(part, 0)]


def compare_log(expected: Mapping[str, Any], answers: Sequence[Answer]) -> Agreement:
    """Every number of the rows that were asked."""
    scores = tofu_scores(answers, None, samples=2, is_released=True)
    found = log_files(answers, scores)["TOFU_EVAL.json"]
    agreement = Agreement()
    for metric in found.keys() & expected.keys():
        for side in ("value_by_index", "forget", "holdout"):
            own, other = found[metric].get(side), expected[metric].get(side)
            if own is None or other is None:
                continue
            own, other = (one.get("value_by_index", one) for one in (own, other))
            for number, row in own.items():
                for key, value in row.items():
                    _compare(agreement, metric, key, f"{metric} {side} {number} {key}", value, other[number])
    return agreement


def _compare(agreement: Agreement, metric: str, key: str, where: str, value: Any, row: Mapping[str, Any]) -> None:
    if key == "input":
        return
    expected = row[key]
    if key in ("generation", "ground_truth"):
        agreement.texts += key == "generation"
        if value != expected:
            if key == "generation":
                agreement.other_texts += 1
            else:
                agreement.faults.append(f"{where}: {value!r} instead of {expected!r}")
        return
    if metric.endswith("_ROUGE") and agreement.other_texts:
        return
    pairs = zip(value, expected, strict=True) if isinstance(value, list) else [(value, expected)]
    for own, other in pairs:
        least, most = _bounds(metric, key, other)
        agreement.numbers += 1
        name = metric if key in ("score", "avg_loss") else f"{metric} {key}"
        is_relative = "gradnorm" in metric or metric.endswith(("truth_ratio", "Truth_Ratio"))
        difference = abs(own - other) / (abs(other) if is_relative else 1)
        agreement.worst[name] = max(agreement.worst.get(name, 0.0), difference)
        if not least <= own <= most:
            agreement.faults.append(f"{where}: {own} instead of {other}")


def _bounds(metric: str, key: str, expected: float) -> tuple[float, float]:
    """Between what our number may lie."""
    if metric.endswith(("_ROUGE", "_strength", "_memorization")):
        return expected - 1e-7, expected + 1e-7  # a share of tokens is of float32 there
    if key == "avg_loss" or metric == "mia_loss":
        return expected - 2e-6, expected + 2e-4
    slack = {
        "mia_zlib": 2e-6,
        "mia_min_k": 1e-5,
        "mia_min_k_plus_plus": 1e-5 * max(1.0, abs(expected)),
        "mia_gradnorm": 1e-4 * expected,
    }.get(metric, 5e-4 * abs(expected))
    return expected - slack, expected + slack
