"""What `atu teach` is told. No torch here: config errors must show at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import yaml

from atu.benchmarks.catalog import build_benchmark, find_benchmark
from atu.benchmarks.config import DataConfig
from atu.benchmarks.curriculum import Curriculum
from atu.benchmarks.several import split_names
from atu.errors import UserError
from atu.models.config import ModelConfig
from atu.models.resolve import resolve_model
from atu.storage.config_dir import config_dir
from atu.storage.files import content_key
from atu.typed import check_sizes, from_mapping

NOT_DEFINING = ("out", "data_dir", "device", "threads", "checkpoint_seconds")
_MODEL_KEY = "pre_trained_llm"
_BENCHMARK_KEY = "benchmark"
_NAMES = ("targets", "without")
"""Keys that hold names of parts; on the command line with commas between them."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the facts are taught."""

    passes: int = 3
    """How often each fact comes by, each time worded otherwise."""
    facts_per_step: int = 8
    """Each is read twice: as a chat answer and as plain prose."""
    plain_weight: float = 1.0
    """Of the loss on plain prose, next to 1 for the answers in chat."""
    general_per_step: int = 4
    """Rows of the model's own answers on anything else."""
    general_weight: float = 5.0
    """Of the KL to the reference model on those rows; 0 teaches the facts alone."""
    learning_rate: float = 4e-4
    """Of AdamW, at the end of the warm-up; falls linearly to a tenth from there."""
    warmup_steps: int = 20
    clip_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        check_sizes(self, dict.fromkeys(("passes", "facts_per_step", "general_per_step"), 10**6))
        check_sizes(self, {"warmup_steps": 10**8}, least=0)
        for key in ("plain_weight", "general_weight"):
            if getattr(self, key) < 0:
                raise UserError(f"{key} must not be negative, found {getattr(self, key)}.")
        for key in ("learning_rate", "clip_grad_norm"):
            if getattr(self, key) <= 0:
                raise UserError(f"{key} must be positive, not {getattr(self, key)}.")


@dataclass(frozen=True, kw_only=True)
class TeachConfig:
    """Everything one teaching is told."""

    out: str
    """Folder of the taught model."""
    pre_trained_llm: ModelConfig
    benchmark: str
    """Whose facts are taught: a name of `atu.benchmarks.catalog`."""
    data_dir: str | None = None
    """Folder of the benchmark's files; None takes the benchmark's own default."""
    targets: Literal["all"] | tuple[str, ...] = "all"
    """Names of the parts to teach."""
    without: tuple[str, ...] = ()
    """Names of those parts among them that the model shall never meet."""
    limit: int | None = None
    """Teach only so many of the people, authors or documents that a benchmark has."""
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    """CPU threads; None leaves the choice to torch."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Type of the matrix products; weights and optimiser stay float32. `auto`: bf16 where that is fast."""
    checkpoint_seconds: float = 120.0
    """Longest work that a killed run loses."""
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        if not self.targets:
            raise UserError("targets is empty: name at least one part of the benchmark, or 'all'.")
        if self.pre_trained_llm.dtype != "float32":
            raise UserError("pre_trained_llm.dtype must be float32: bfloat16 weights lose updates of this size.")
        if self.pre_trained_llm.quantization != "none" or self.pre_trained_llm.adapter != "none":
            raise UserError("pre_trained_llm must have no quantization and no adapter: all of its weights are taught.")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must lie in 0..{2**32 - 1}, not {self.seed}.")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads must be at least 1, or null, not {self.threads}.")
        if self.limit is not None and self.limit < 1:
            raise UserError(f"limit must be at least 1, or null, not {self.limit}.")
        check_sizes(self, {"threads": 1024, "limit": 10**6})
        if self.checkpoint_seconds < 0:
            raise UserError("checkpoint_seconds must not be negative.")

    @property
    def wanted(self) -> tuple[str, ...]:
        """Names of the parts to teach; `("all",)` means all that there are."""
        return ("all",) if self.targets == "all" else self.targets


def load_teach_config(options: Mapping[str, object], overrides: Sequence[str]) -> TeachConfig:
    """config/teach.yaml, changed by the benchmark's recipe, the options that were given, and `key=value` overrides.

    Raises:
        UserError: an override is no key=value, a key is unknown or wrong, or there is no such model or benchmark.
    """
    mapping: dict[str, Any] = yaml.safe_load((config_dir() / "teach.yaml").read_text(encoding="utf-8"))
    mapping |= options
    pairs = [_pair(override) for override in overrides]
    for key, value in pairs:
        if key in (_MODEL_KEY, _BENCHMARK_KEY):
            mapping[key] = str(value)
    mapping[_MODEL_KEY] = asdict(resolve_model(mapping[_MODEL_KEY]))
    mapping["recipe"] |= find_benchmark(mapping[_BENCHMARK_KEY], _BENCHMARK_KEY).recipe
    for key, value in pairs:
        if key not in (_MODEL_KEY, _BENCHMARK_KEY):
            _set(mapping, key, split_targets(value) if key in _NAMES and isinstance(value, str) else value)
    return from_mapping(TeachConfig, mapping, "")


def curriculum_of(config: TeachConfig) -> Curriculum:
    """What the benchmark has to teach.

    Raises:
        UserError: its files are missing or broken, it has no such part, or nothing is left to teach.
    """
    data = {"benchmark": config.benchmark, "data_dir": config.data_dir}
    benchmark = build_benchmark(from_mapping(DataConfig, data, ""))
    return benchmark.curriculum(config.wanted, config.without, limit=config.limit)


def config_hash(config: TeachConfig) -> str:
    """Hex sha256 of the config without the keys that say where and on what, but not what, is computed."""
    return content_key({key: value for key, value in asdict(config).items() if key not in NOT_DEFINING})


def split_targets(text: str) -> str | list[str]:
    """`all` as it is, else the names between commas; a comma inside of a name ("10_Prince_Harry,_Duke_...") stays."""
    return "all" if text.strip() == "all" else split_names(text)


def _pair(override: str) -> tuple[str, object]:
    key, is_pair, text = override.partition("=")
    if not is_pair or not key:
        raise UserError(f"Cannot read '{override}': write key=value, such as seed=1.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"Cannot read the value of '{override}': {str(error).splitlines()[0]}.") from error
    if isinstance(value, str):
        try:
            return key, float(value)  # YAML takes 1e-4 for a word
        except ValueError:
            return key, value
    return key, value


def _set(mapping: dict[str, Any], key: str, value: object) -> None:
    """Put a value at a dotted key; an unknown one is left for `from_mapping` to refuse."""
    *parents, leaf = key.split(".")
    node = mapping
    for parent in parents:
        inner = node.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise UserError(f"There is no key '{key}': {parent} holds a value, not keys.")
        node = inner
    node[leaf] = value
