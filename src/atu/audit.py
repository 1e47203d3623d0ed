"""Every attack on any saved model, from config to report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import yaml

from atu import __version__
from atu.attacks.build import build_units
from atu.attacks.config import ATTACKS, QUICK, AttackName, Budget, ModelName, packages_of
from atu.attacks.rows import read_attack_rows
from atu.attacks.subject import Subject, Unit, check_alike
from atu.attacks.table import print_verdicts, render_markdown
from atu.attacks.verdict import verdicts
from atu.benchmarks.base import Benchmark
from atu.benchmarks.build import build_corpus
from atu.benchmarks.catalog import build_benchmark, with_proposed
from atu.benchmarks.config import DataConfig
from atu.benchmarks.several import find_checksum, find_probes, find_target
from atu.config import RunConfig
from atu.embedding.config import EncoderConfig
from atu.errors import UserError, is_out_of_memory
from atu.evaluation.config import EvaluationConfig
from atu.extras import require
from atu.models.config import ModelConfig
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.processes.notices import notice
from atu.records import AttackRow, Probe, Target, Text
from atu.runs.progress import RunProgress
from atu.runs.rows import to_row
from atu.runs.run_folder import RunFolder
from atu.storage.config_dir import config_dir
from atu.storage.digests import read_sealed_json, sealed, write_sealed_json
from atu.storage.files import held_folder, write_json_atomic, write_text_atomic
from atu.text.escaping import file_name
from atu.training.device import choose_compute
from atu.typed import from_mapping

_PIECES = "attacks"
"""Folder of the finished pieces, next to `attacks.json`."""
_ASKED = ("forget", "neighbor", "utility/gen")
"""Groups of probes, or beginnings of them, that attacks ask."""


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """What is attacked, by what, and where the outcome goes."""

    models: Mapping[ModelName, ModelConfig]
    """`unlearned` and `original`, and perhaps `gold`."""
    data: DataConfig
    """The judge, and the corpus from which texts are taken."""
    target: str
    """Folder name."""
    out: Path
    attacks: tuple[AttackName, ...]
    seeds: tuple[int, ...]
    budget: Budget
    encoders: tuple[EncoderConfig, ...]
    """Of the fresh predictors."""
    corpus_seed: int = 0
    evaluation: EvaluationConfig
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Of training steps; answers are computed in the type of the weights."""


def audit(config: AuditConfig, progress: RunProgress) -> list[AttackRow]:
    """Attack a model; writes `attacks.json` and `attacks.md` into `config.out`, and returns their rows.

    The same config resumes after the last finished piece. Other attacks may be asked for later: the files hold all
    that was ever finished.

    Raises:
        UserError: anything that the user can mend. Finished pieces are kept.
    """
    require(packages_of(config.attacks))
    benchmark = build_benchmark(config.data)
    target = find_target(benchmark, config.target)
    compute = choose_compute(config.device, config.precision)
    asked = config.models["unlearned"]  # all of them are asked in the same words
    models = {
        name: load_language_model(
            replace(one, chat_template_kwargs=asked.chat_template_kwargs, chat_template_date=asked.chat_template_date),
            device=str(compute.device),
        )
        for name, one in config.models.items()
    }
    check_alike(models)

    def write_corpus() -> tuple[Text, ...]:
        with progress.steps() as report:
            corpus = build_corpus(benchmark, models["original"], target, seed=config.corpus_seed, progress=report)
        return (*corpus.forget, *corpus.held_out_forget, *corpus.retain, *corpus.held_out_retain)

    subject = Subject(
        models=models,
        target=target,
        benchmark=benchmark,
        probes=[probe for probe in find_probes(benchmark, config.target) if _is_asked(probe)],
        write_corpus=write_corpus,
        encoders=config.encoders,
        budget=config.budget,
        evaluation=config.evaluation,
        autocast=compute.autocast,
    )
    units = build_units(subject, config.attacks, config.seeds)
    folder = config.out / _PIECES
    with _opened(folder, _fingerprint(config, models, benchmark, target)):
        for number, unit in enumerate(units):
            _do(unit, _piece(folder, units, number), progress, f"{number + 1} of {len(units)}")
        rows = _all_rows(folder)
        found = verdicts(rows)
        write_json_atomic(config.out / "attacks.json", [sealed(to_row(row)) for row in rows])
        text = render_markdown(target.name, models["unlearned"].label, found, rows)
        write_text_atomic(config.out / "attacks.md", text)
    print_verdicts(found, progress.console)
    return rows


def audit_config(config: RunConfig, run: RunFolder, out: Path) -> AuditConfig:
    """Attacks on the model that a run exported, in the quick budget, with the run's seed, corpus and encoder."""
    return AuditConfig(
        models={
            "unlearned": ModelConfig(
                name=config.name,
                model_name=str(run.model_dir),
                chat_template_kwargs=config.pre_trained_llm.chat_template_kwargs,
                chat_template_date=config.pre_trained_llm.chat_template_date,
            ),
            "original": config.pre_trained_llm,
        },
        data=with_proposed(config.data, run.probes_path),
        target=config.unlearning_target,
        out=out,
        attacks=config.attacks,
        seeds=(config.seed,),
        budget=QUICK,
        encoders=(config.text_encoder,),
        corpus_seed=config.seed,
        evaluation=config.evaluation,
        device=config.device,
        precision=config.training.precision,
    )


def named_encoder(name: str) -> EncoderConfig:
    """The encoder of that name in config/text_encoder."""
    file = config_dir() / "text_encoder" / f"{name}.yaml"
    return from_mapping(EncoderConfig, yaml.safe_load(file.read_text(encoding="utf-8")), "text_encoder")


def _is_asked(probe: Probe) -> bool:
    return probe.kind == "generate" and probe.group.startswith(_ASKED)


def _do(unit: Unit, path: Path, progress: RunProgress, place: str) -> None:
    """Do a piece, unless an earlier run has."""
    if path.is_file():
        try:
            read_attack_rows(path)
            return
        except UserError as error:
            notice(f"{error} This piece is done again.")
    with progress.stage(f"attack {place}: {unit.attack}, {unit.setting}"), _memory_errors(unit):
        rows = unit.run()
    write_json_atomic(path, [sealed(to_row(row)) for row in rows])


def _piece(folder: Path, units: list[Unit], number: int) -> Path:
    """File of a piece; its number among those of its attack keeps them in order."""
    unit = units[number]
    place = sum(one.attack == unit.attack for one in units[:number])
    return folder / unit.attack / f"{place:03d}-{file_name(unit.setting)}.json"


def _all_rows(folder: Path) -> list[AttackRow]:
    """The rows of all finished pieces, in the order of the attacks."""
    paths = [path for attack in ATTACKS for path in sorted((folder / attack).glob("*.json"))]
    return [row for path in paths for row in read_attack_rows(path)]


def _fingerprint(
    config: AuditConfig, models: Mapping[ModelName, LanguageModel], benchmark: Benchmark, target: Target
) -> dict[str, Any]:
    """All that determines the rows, but for which attacks are asked for."""
    return {
        "version": __version__,
        "target": f"{benchmark.name}/{target.folder}",
        "probes": find_checksum(benchmark, target.folder),
        **{f"{name} model": llm.reading_key for name, llm in models.items()},
        **{f"{name} dtype": str(llm.model.dtype) for name, llm in models.items()},
        "seeds": list(config.seeds),
        "budget": asdict(config.budget),
        "encoders": [encoder.name for encoder in config.encoders],
        "corpus": {**asdict(config.data.corpus), "seed": config.corpus_seed},
        "bootstrap samples": config.evaluation.bootstrap_samples,
    }


@contextmanager
def _opened(folder: Path, fingerprint: Mapping[str, Any]) -> Iterator[None]:
    """Hold the folder of the pieces; refuse one of other models, probes, seeds or budget."""
    with held_folder(folder, f"Another process is writing {folder}. Wait for it, or choose another --out."):
        path = folder / "config.json"
        # As JSON has it: tuples are lists.
        wanted = {key: _as_json(value) for key, value in fingerprint.items()}
        kept = read_sealed_json(path, f"Delete {folder} to start anew.") if path.is_file() else wanted
        differing = [key for key in {**kept, **wanted} if kept.get(key) != wanted.get(key)]
        if differing:
            raise UserError(
                f"{folder} holds attacks of another config ({', '.join(differing)}). Choose another --out, or delete "
                "that folder to start anew."
            )
        write_sealed_json(path, wanted)
        yield


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_json(item) for key, item in value.items()}
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


@contextmanager
def _memory_errors(unit: Unit) -> Iterator[None]:
    """Turn memory that runs out into an error that says what to do."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise UserError(
            f"Out of memory in the attack {unit.attack} ({unit.setting}). Finished pieces are kept; close other "
            "programs that use the device, or name other attacks in --attacks."
        ) from error
