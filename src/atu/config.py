"""The config of a run: joins the rooms' dataclasses and checks across them.

The only module that sees a DictConfig: from here on frozen dataclasses travel. No torch here, so that a
wrong key shows at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from atu.attacks.config import AttackName
from atu.benchmarks.catalog import find_benchmark, released_benchmarks
from atu.benchmarks.config import DataConfig
from atu.benchmarks.several import join_names
from atu.embedding.config import EncoderConfig, PredictorConfig
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.methods.config import TaskConfig
from atu.methods.old_keys import refuse_old_keys
from atu.models.config import ModelConfig
from atu.runs.config import WandbConfig
from atu.runs.opening import name_fault
from atu.training.config import TrainingConfig
from atu.typed import HasKinds, check_sizes, from_mapping

NOT_DEFINING = (
    "name",
    "exp",
    "runs_dir",
    "device",
    "devices",
    "threads",
    "wandb",
    "tensorboard",
    "attacks",
    "data.allow_no_verdict",
    "evaluation.batch_size",
    "text_encoder.batch_size",
    "training.activation_checkpointing",
    "training.checkpoint_seconds",
    "training.log_every",
    "training.sharding",
)
"""Keys that say where a run lies, what it is called and on what it is computed, but not what it computes; and
`attacks`, which leave the model as it is and may be added to a finished run. `config_hash` leaves them out. `seed` and
`training.precision` do define the results."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Everything one run is told."""

    name: str
    """Folder of the run inside `runs_dir`; the same name resumes it."""
    exp: str | None = None
    """Label of the experiment that a run belongs to; begins the names of its runs."""
    seed: int = 0
    unlearning_target: str
    """Folder name of the concept to forget; of several, with commas between them. Given as `[A,B]`."""
    skip_initial_eval: bool = False
    runs_dir: str = "runs"
    """Relative to the working directory."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Literal["auto"] | int = "auto"
    """Processes that share each step and the probes, each with a device of its own; `auto`: as many as a launcher has
    started, else one."""
    threads: int | None = None
    """CPU threads of each process; None leaves the choice to torch."""
    wandb: WandbConfig = field(default_factory=WandbConfig)
    tensorboard: bool = False
    """Whether the run folder gets event files."""
    pre_trained_llm: ModelConfig
    text_encoder: EncoderConfig
    embedding_prediction_model: PredictorConfig
    data: DataConfig
    task: TaskConfig
    training: TrainingConfig = field(default_factory=TrainingConfig)
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    attacks: tuple[AttackName, ...] = ()
    """Attacks on the finished model, in the quick budget of docs/attacks.md."""

    def __post_init__(self) -> None:
        if not self.unlearning_target:
            raise UserError("unlearning_target is empty: name the concept to forget.")
        fault = name_fault(self.name)
        if fault is not None:
            raise UserError(f"name {self.name[:60]!r} cannot be a folder name: {fault}.")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must lie in 0..{2**32 - 1}, not {self.seed}.")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads must be at least 1, or null, not {self.threads}.")
        check_sizes(self, {"threads": 1024})
        if self.evaluation.scoring == "released":
            raise UserError(
                "evaluation.scoring 'released' alone is for `atu evaluate`: a run compares by the corrected scores. "
                "Set it to corrected or both."
            )
        if self.evaluation.scoring == "both" and "released" not in find_benchmark(self.data.benchmark).scorings:
            having = " or ".join(f"data={benchmark.data_option}" for benchmark in released_benchmarks())
            raise UserError(
                f"evaluation.scoring 'both' is for {having}: '{self.data.benchmark}' has corrected scores alone."
            )
        self._check_what_trains()
        if self.devices != "auto" and self.devices < 1:
            raise UserError(f"devices must be auto or at least 1, not {self.devices}.")
        if self.training.sharding == "fsdp2":
            self._check_what_shards()

    def _check_what_shards(self) -> None:
        """Only what is tested: divided float32 weights under optimisers that know divided state."""
        llm, module = self.pre_trained_llm, self.task.training_module
        for key, value, only in (
            ("pre_trained_llm.quantization", llm.quantization, "none"),
            ("pre_trained_llm.dtype", llm.dtype, "float32"),
            ("task.training_module.train_embeddings", module.train_embeddings, False),
        ):
            if value != only:
                raise UserError(f"training.sharding=fsdp2 needs {key}={str(only).lower()}, not {str(value).lower()}.")
        if module.unlearning_optimizer == "adamw8bit":
            raise UserError(
                "training.sharding=fsdp2 cannot divide the state of task.training_module.unlearning_optimizer="
                "adamw8bit: set adamw or sgd."
            )

    def _check_what_trains(self) -> None:
        """Full fine-tuning needs weights that keep its small updates; adapters need all the rest to stand still."""
        llm, is_subspace = self.pre_trained_llm, self.task.training_module.moves == "subspace"
        if is_subspace and llm.adapter != "none":
            raise UserError(
                "task.training_module.moves=subspace trains adapters of its own, and pre_trained_llm.adapter=lora "
                "others: set moves=weights or adapter=none."
            )
        if is_subspace:
            return
        if llm.adapter == "lora":
            if self.task.training_module.train_embeddings:
                raise UserError(
                    "task.training_module.train_embeddings=true, but pre_trained_llm.adapter=lora trains the adapters "
                    "alone. Set one of them otherwise."
                )
            return
        if llm.quantization != "none":
            raise UserError(
                f"pre_trained_llm.quantization={llm.quantization}: quantised weights cannot be trained. Train adapters "
                "on top of them (pre_trained_llm.adapter=lora or task.training_module.moves=subspace), or set "
                "quantization=none."
            )
        if llm.dtype != "float32" and not self.training.allow_16bit_weights:
            raise UserError(
                f"pre_trained_llm.dtype={llm.dtype}: updates as small as unlearning's are lost when they are added to "
                "16-bit weights. Set dtype=float32, or train adapters (pre_trained_llm.adapter=lora or "
                "task.training_module.moves=subspace); if it is what you want to see, "
                "training.allow_16bit_weights=true."
            )


def load(cfg: DictConfig) -> RunConfig:
    """The composed config as checked dataclasses.

    Raises:
        UserError: unknown or missing key, wrong type, value out of range, or a broken `${...}`; the
            message names the dotted key.
    """
    if OmegaConf.is_missing(cfg, "unlearning_target") or cfg.get("unlearning_target") is None:
        raise target_is_missing()
    if isinstance(cfg.get("unlearning_target"), ListConfig):
        cfg = cfg.copy()  # what the name of the run is made of, by `${unlearning_target}`, is one text
        cfg.unlearning_target = join_names(cfg.unlearning_target)
    refuse_old_keys(dotted_keys(cfg))
    try:
        data = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{error.full_key or 'The config'}: {reason}.") from error
    return from_mapping(RunConfig, cast("dict[str, object]", data), "")


def target_is_missing() -> UserError:
    """What is said where nobody has named the concept."""
    return UserError(
        "unlearning_target is missing: only the built-in benchmark has a default. Name the concept that the texts are "
        "about, as in unlearning_target=Marie_Curie."
    )


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """The config as nested dicts, lists and plain values: what `config.yaml` of a run holds."""
    return cast("dict[str, Any]", _plain(dataclasses.asdict(config)))


def dotted_values(config: RunConfig) -> dict[str, Any]:
    """Every key that holds a plain value or a list, such as `task.first_stage_steps`, in the order of the config."""
    found: dict[str, Any] = {}

    def walk(node: Any, prefix: str) -> None:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                walk(value, f"{prefix}.{key}" if prefix else key)
        else:
            found[prefix] = node

    walk(to_mapping(config), "")
    return found


def config_hash(config: RunConfig) -> str:
    """Hex sha256 of what defines the results: all keys but `NOT_DEFINING`, in a fixed order."""
    mapping = to_mapping(config)
    for key in NOT_DEFINING:
        *parents, leaf = key.split(".")
        node = mapping
        for parent in parents:
            node = node[parent]
        del node[leaf]
    text = json.dumps(mapping, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def field_keys() -> list[str]:
    """All dotted keys that the dataclasses know, such as `text_encoder.batch_size`, whether a yaml lists them
    or leaves them at their default. Of a part of several kinds, such as `data`, the keys of all of them."""
    return list(dict.fromkeys(key for key, _ in _fields(RunConfig)))


def text_keys() -> frozenset[str]:
    """The keys of `field_keys` that take a text, or null, and nothing else."""
    return frozenset(key for key, hint in _fields(RunConfig) if hint in (str, str | None))


def _fields(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every key below `prefix`, with its type."""
    for kind in cls.kinds().values() if issubclass(cls, HasKinds) else [cls]:
        for name, hint in get_type_hints(kind).items():
            yield f"{prefix}{name}", hint
            if dataclasses.is_dataclass(hint) and isinstance(hint, type):
                yield from _fields(hint, f"{prefix}{name}.")


def with_defaults(cfg: DictConfig) -> dict[str, Any]:
    """A composed config as nested dicts, with the keys that no yaml lists at the defaults of the dataclasses.

    What a `${...}` stands for stays open.
    """

    def fill(hint: Any, value: Any) -> Any:
        if get_origin(hint) is tuple and isinstance(value, list):
            return [fill(get_args(hint)[0], item) for item in value]
        if get_origin(hint) is Annotated and isinstance(value, dict):  # the keys are names of dataclasses
            return {name: fill(get_args(hint)[1].get(name), item) for name, item in value.items()}
        if not (dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict)):
            return value
        if issubclass(hint, HasKinds):
            hint, value = hint.kind_of(value, "")
            value = dict(value)
        hints = get_type_hints(hint, include_extras=True)
        for one in dataclasses.fields(hint):
            if one.name not in value:
                value[one.name] = _plain_default(one)
            value[one.name] = fill(hints[one.name], value[one.name])
        return value

    return cast("dict[str, Any]", fill(RunConfig, OmegaConf.to_container(cfg, resolve=False)))


def dotted_keys(cfg: DictConfig | ListConfig) -> list[str]:
    """All keys of a composed config, such as `task.first_stage_steps`, groups included."""
    keys: list[str] = []

    def walk(node: object, prefix: str) -> None:
        if isinstance(node, Mapping):
            for key, value in node.items():
                keys.append(f"{prefix}{key}")
                walk(value, f"{prefix}{key}.")

    walk(OmegaConf.to_container(cfg, resolve=False), "")
    return keys


def _plain_default(of: dataclasses.Field[Any]) -> object:
    """Default of a field as a yaml would hold it; a field without one has to be given."""
    if of.default_factory is not dataclasses.MISSING:
        value = of.default_factory()
        is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
        return _plain(dataclasses.asdict(value) if is_record else value)
    return "???" if of.default is dataclasses.MISSING else _plain(of.default)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
