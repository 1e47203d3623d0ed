"""The benchmarks that there are. A new one is a folder with a `Benchmark`, and a line here. No torch here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_type_hints

from atu.benchmarks.base import Benchmark
from atu.benchmarks.builtin.benchmark import BuiltinBenchmark
from atu.benchmarks.config import DataConfig
from atu.benchmarks.lm_eval.benchmark import LmEval
from atu.benchmarks.lume.benchmark import LumeBenchmark
from atu.benchmarks.muse.benchmark import MuseBenchmark
from atu.benchmarks.own.benchmark import OwnConcept
from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.tofu.benchmark import TofuBenchmark
from atu.errors import UserError, did_you_mean
from atu.typed import join_keys

BENCHMARKS: dict[str, type[Benchmark]] = {
    "builtin": BuiltinBenchmark,
    "own": OwnConcept,
    "rwku": RwkuBenchmark,
    "tofu": TofuBenchmark,
    "muse": MuseBenchmark,
    "lume": LumeBenchmark,
    "lm-eval": LmEval,
}
"""`data.benchmark` → what it is."""


def find_benchmark(name: object, where: str = "data.benchmark") -> type[Benchmark]:
    """The benchmark of that name.

    Args:
        where: key or option that names it, for the error.

    Raises:
        UserError: there is none, with the nearest that there is.
    """
    if isinstance(name, str) and name in BENCHMARKS:
        return BENCHMARKS[name]
    hint = did_you_mean(name, BENCHMARKS) if isinstance(name, str) else ""
    raise UserError(
        f"{where}: {str(name)[:60]!r} is not one of {', '.join(BENCHMARKS)}.{hint if 'Did' in hint else ''}"
    )


def released_benchmarks() -> list[type[Benchmark]]:
    """Those whose answers can be scored by the rules of their released code as well."""
    return [benchmark for benchmark in BENCHMARKS.values() if "released" in benchmark.scorings]


def teaching_benchmarks() -> list[str]:
    """Names of those that have something to be taught."""
    return [name for name, benchmark in BENCHMARKS.items() if benchmark.curriculum is not Benchmark.curriculum]


def build_benchmark(config: DataConfig) -> Benchmark:
    """The judge named by `data.benchmark`.

    Raises:
        UserError: its files are missing.
    """
    return find_benchmark(config.benchmark)(config)


def with_proposed(config: DataConfig, probes: Path) -> DataConfig:
    """The judge of a run whose model may have proposed probes: with that file, where it did."""
    benchmark = build_benchmark(config)
    return benchmark.with_probes(probes).config if benchmark.proposes_probes and probes.is_file() else config


def keys_of(data: Mapping[str, object], name: object, where: str) -> tuple[type[DataConfig], Mapping[str, object]]:
    """The config class of the benchmark `name`, and `data` without the keys of others that say nothing.

    A yaml may list what only another benchmark has, at its default: so do the configs of earlier versions.

    Args:
        where: dotted path of `data`, for errors.

    Raises:
        UserError: there is no such benchmark, or a key that only another one has says something.
    """
    chosen = find_benchmark(name, join_keys(where, "benchmark"))
    others = [(one, one.config_class) for one in BENCHMARKS.values() if one is not chosen]
    return chosen.config_class, _own_keys(chosen.config_class, others, data, where)


def _own_keys(
    cls: type, others: Sequence[tuple[type[Benchmark], type]], data: Mapping[str, object], where: str
) -> Mapping[str, object]:
    hints, kept = get_type_hints(cls), {}
    for key, value in data.items():
        having = [(one, other) for one, other in others if key in get_type_hints(other)]
        if key not in hints and having:
            benchmark, other = having[0]
            if not _is_default(other, key, value):
                raise UserError(
                    f"{join_keys(where, key)} belongs to benchmark '{benchmark.name}' (data={benchmark.data_option})."
                )
            continue
        if key in hints and dataclasses.is_dataclass(hints[key]) and isinstance(value, Mapping):
            inner = [(one, get_type_hints(other)[key]) for one, other in having]
            value = _own_keys(hints[key], inner, value, join_keys(where, key))
        kept[key] = value
    return kept


def _is_default(cls: type, key: str, value: object) -> bool:
    default = next(field.default for field in dataclasses.fields(cls) if field.name == key)
    return value == (list(default) if isinstance(default, tuple) and isinstance(value, list) else default)
