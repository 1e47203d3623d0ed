"""What a command can refuse from its config and the user's files alone, before torch is imported, which takes seconds.

Whatever is checked here is checked by the same functions where it is used: this only asks them early.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes.util import find_library
from pathlib import Path
from typing import Literal

from tokenizers import Tokenizer

from atu.attacks.config import packages_of
from atu.benchmarks.base import Benchmark
from atu.benchmarks.build import given_texts
from atu.benchmarks.catalog import build_benchmark
from atu.benchmarks.config import DataConfig
from atu.benchmarks.corpus import Corpus, split_corpus
from atu.benchmarks.several import find_probes, find_target
from atu.config import NOT_DEFINING, RunConfig, target_is_missing, to_mapping
from atu.embedding.config import EncoderConfig
from atu.embedding.resolve import local_encoder
from atu.errors import UserError
from atu.extras import BITSANDBYTES, require
from atu.methods.layers import check_layers
from atu.models.config import ModelConfig
from atu.models.resolve import check_model_folder
from atu.processes.environment import is_started, refuse_too_many
from atu.records import Probe, Text
from atu.runs.opening import refuse_taken
from atu.runs.run_folder import RunFolder
from atu.teaching.config import TeachConfig, curriculum_of
from atu.teaching.note import read_note

DEFAULT_TARGET = "William_Shakespeare"
"""That of config/train.yaml, for the built-in benchmark alone."""
_DEVICE_FILES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/dev/kfd")
"""Of NVIDIA's driver, of a GPU in WSL, and of AMD's driver."""
_DRIVERS = ("cuda", "amdhip64")


def check_run(config: RunConfig) -> None:
    """Refuse what would end a run later.

    Raises:
        UserError: no such target, device, model folder, layer or file; too few texts; nothing asked about the concept;
            the run folder is another run's.
    """
    check_device(config.device, 1 if config.devices == "auto" or is_started() else config.devices)
    check_model(config.pre_trained_llm)
    _check_packages(config)
    if config.task.aligns:
        local_encoder(config.text_encoder)
    check_layers(config.task, config.pre_trained_llm)
    benchmark, probes = check_target(config.data, config.unlearning_target)
    root = Path(config.runs_dir) / config.name
    refuse_taken(root, to_mapping(config), may_differ=NOT_DEFINING)
    if RunFolder(root=root).says_done:
        return  # only reported: the texts may be gone by now
    require(benchmark.packages(config.evaluation.scoring))
    benchmark.check(probes, config.evaluation.scoring)
    _check_verdict(benchmark, config.unlearning_target, probes)
    _check_texts(config, benchmark)


def check_target_is_given(config: RunConfig, overrides: Sequence[str]) -> None:
    """Refuse to forget the default concept by texts or questions of the user's own.

    The options of `data` ask for the target by themselves; this is for keys such as `data.corpus.source=jsonl`.

    Args:
        overrides: the command line's, such as `seed=1`.

    Raises:
        UserError: none of them names the target.
    """
    is_own = config.data.benchmark != DataConfig.benchmark or config.data.corpus.source == "jsonl"
    is_given = any(word.lstrip("+").partition("=")[0] == "unlearning_target" for word in overrides)
    if is_own and not is_given and config.unlearning_target == DEFAULT_TARGET:
        raise target_is_missing()


def check_teaching(config: TeachConfig) -> None:
    """Refuse what would end a teaching later.

    Raises:
        UserError: no such device, model folder, data file or part to teach; or `out` is something else.
    """
    check_device(config.device)
    check_model(config.pre_trained_llm)
    read_note(Path(config.out).expanduser())
    curriculum_of(config)


def check_target(config: DataConfig, folder: str) -> tuple[Benchmark, list[Probe]]:
    """The judge, and what it asks about a concept.

    Raises:
        UserError: the benchmark or one of its files is missing, or it has no such target.
    """
    benchmark = build_benchmark(config)
    find_target(benchmark, folder)
    return benchmark, find_probes(benchmark, folder)


def check_device(device: Literal["auto", "cpu", "cuda"], devices: int = 1) -> None:
    """Raise UserError where a GPU is asked for, or more devices than there are, as far as this shows without torch."""
    if device == "cpu" or not may_have_gpu():
        refuse_too_many(devices, os.cpu_count() or 1, "CPU core")
    if device == "cuda" and not may_have_gpu():
        raise UserError("device=cuda, but this machine has no GPU: neither a device file nor a driver. Set device=cpu.")


def may_have_gpu(device_files: Sequence[str] = _DEVICE_FILES, drivers: Sequence[str] = _DRIVERS) -> bool:
    """False only where no GPU can be used: nothing in /dev, no driver's library, or all hidden by the environment."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return False
    return any(Path(file).exists() for file in device_files) or any(map(find_library, drivers))


def check_model(config: ModelConfig) -> None:
    """Raise UserError for a model folder or GGUF file that is not there or not whole; a hub's models are not asked."""
    if config.tokenizer_name is not None:
        _check_path(config.tokenizer_name, "tokenizer folder")
    if config.packages:
        return
    folder = Path(config.model_name).expanduser()
    if folder.is_dir() and config.gguf_file:
        if not (folder / config.gguf_file).is_file():
            raise UserError(f"There is no GGUF file {folder / config.gguf_file}.")
    elif folder.is_dir():
        check_model_folder(folder)
    else:
        _check_path(config.model_name, "model folder")


def _check_path(name: str, what: str) -> None:
    """Refuse the path of something that is not there; what may be a hub id is left alone."""
    path = Path(name).expanduser()
    if not path.exists() and (path.is_absolute() or name.startswith((".", "~"))):
        raise UserError(f"There is no {what} {path}.")


def _check_packages(config: RunConfig) -> None:
    """Refuse settings whose package is not installed; `training_module` would ask for its own after the align stage."""
    llm, optimizer = config.pre_trained_llm, config.task.training_module.unlearning_optimizer
    wanted = {
        f"pre_trained_llm.quantization={llm.quantization}": llm.quantization != "none",
        f"task.training_module.unlearning_optimizer={optimizer}": optimizer == "adamw8bit",
    }
    require({key: BITSANDBYTES for key, is_wanted in wanted.items() if is_wanted} | packages_of(config.attacks))


def _check_verdict(benchmark: Benchmark, folder: str, probes: Sequence[Probe]) -> None:
    if benchmark.config.allow_no_verdict or benchmark.proposes_probes:
        return
    if any(probe.group.startswith("forget/") for probe in probes):
        return
    name, how = find_target(benchmark, folder).name, benchmark.how_to_ask
    raise UserError(
        f"Nothing is asked about '{name}', so nothing could say whether it was forgotten: {how} "
        "(docs/own-concept.md), or set data.allow_no_verdict=true to train all the same."
    )


def _check_texts(config: RunConfig, benchmark: Benchmark) -> None:
    corpus, target = config.data.corpus, find_target(benchmark, config.unlearning_target)
    texts = given_texts(benchmark, target, writer=config.pre_trained_llm.name, seed=config.seed)
    if texts.is_running:
        return  # how many pieces they make is the tokenizer's to say
    if corpus.source == "jsonl" or (corpus.source == benchmark.name and not corpus.has_questions):
        parts = split_corpus(texts.forget, texts.retain, share=corpus.held_out_share, seed=config.seed)
        if config.task.aligns:
            _check_windows(parts, config.text_encoder)


def _check_windows(corpus: Corpus, config: EncoderConfig) -> None:
    """Refuse texts none of which is as long as a window. What the language model cuts off is not seen here."""
    folder = local_encoder(config)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # its own kind is not public; a damaged tokenizer is named where the encoder is loaded
        return
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def is_long(text: Text) -> bool:
        return len(tokenizer.encode(text.text, add_special_tokens=False).tokens) >= config.shortest_window

    sides = {
        "forget": corpus.forget,
        "retain": corpus.retain,
        "held-out forget": corpus.held_out_forget,
        "held-out retain": corpus.held_out_retain,
    }
    short = [side for side, texts in sides.items() if not any(map(is_long, texts))]
    if short:
        which = "" if len(short) == len(sides) else f"{short[0]} "
        raise UserError(config.too_long(f"every {which}text"))
