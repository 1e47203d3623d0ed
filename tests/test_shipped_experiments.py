"""Every job of every experiment in config/experiment can be prepared, with a random model as deep as its own."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from rich.console import Console
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from workplace import WORDS, Workplace, write_files

from atu.benchmarks.catalog import build_benchmark
from atu.config import RunConfig, config_hash, load
from atu.entry.early_checks import check_run
from atu.entry.overrides import complete
from atu.methods.terms import Need
from atu.models.load import load_language_model
from atu.preparation import prepare
from atu.runs.progress import RunProgress
from atu.storage.config_dir import config_dir
from atu.training.device import choose_compute

BLOCKS = {"phi-3-mini-4k-instruct": 32, "smollm2-135m-instruct": 30}
"""`num_hidden_layers` of the models that experiments choose, from their config.json."""
EXPERIMENTS = sorted(path.stem for path in (config_dir() / "experiment").glob("*.yaml"))


@pytest.fixture(scope="module", autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> dict[str, Path]:
    """A narrow random model of each depth, in a folder of the name by which RWKU knows who wrote its texts."""
    root, folders = tmp_path_factory.mktemp("models"), {}
    for name, blocks in BLOCKS.items():
        folders[name] = root / name
        config = AutoConfig.from_pretrained(tiny_folder, num_hidden_layers=blocks, initializer_range=0.02)
        AutoModelForCausalLM.from_config(config).save_pretrained(folders[name])
        AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(folders[name])
    return folders


def jobs(experiment: str) -> list[list[str]]:
    """The overrides of each job of an experiment; whom its first lines name, where it is no sweep."""
    named = re.findall(r"(?<= )unlearning_target=\S+", (config_dir() / f"experiment/{experiment}.yaml").read_text())
    params = compose("train", [f"experiment={experiment}"], return_hydra_config=True).hydra.sweeper.params or {}
    swept = [[f"{key}={value.strip()}" for value in str(values).split(",")] for key, values in params.items()]
    return [[f"experiment={experiment}", *named, *job] for job in itertools.product(*swept)]


def made_small(own: RunConfig, workplace: Workplace, models: dict[str, Path]) -> list[str]:
    """Overrides after which a job is as it was, but for the model's width, the encoder, and where the texts lie."""
    overrides = [
        f"pre_trained_llm={models[own.pre_trained_llm.name]}",
        f"text_encoder.model_name={workplace.encoder}",
        "text_encoder.packages=[]",
        "device=cpu",
    ]
    if own.data.benchmark == "rwku":
        overrides.append(f"data.data_dir={workplace.root / 'rwku'}")
    else:  # a random model writes no texts that can be used
        given = ("data", "unlearning_target", "data.probes_path", "data.corpus")
        overrides += [part for part in workplace.overrides() if part.partition("=")[0].startswith(given)]
        overrides += [f"data.corpus.num_{kind}=0" for kind in ("general_texts", "general_question_rows")]
    return overrides


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_encoder: Path) -> Workplace:
    """A workplace with biographies of everybody whom an experiment names, and some others, in RWKU's format."""
    workplace = Workplace(tmp_path_factory.mktemp("texts"), tiny_folder, tiny_encoder)
    write_files(workplace.root)
    named = {part.partition("=")[2] for name in EXPERIMENTS for job in jobs(name) for part in job if "target" in part}
    for folder in (*named, "91_One", "92_Two", "93_Three"):
        name = folder.split("_", 1)[1].replace("_", " ")
        place = workplace.root / "rwku" / "Target" / folder
        place.mkdir(parents=True)
        intro = f"{name} is a person of note."
        bios = [
            {"id": str(n), "text": f"{name} is the {word} of {name}, a {word}.", "intro": intro, "subject": name}
            for n, word in enumerate(WORDS * 2)
        ]
        files = {"intro": [{"target": name, "intro": intro}], "positive_phi": bios}
        for level, kind in enumerate(("cloze", "simple question", "role play"), start=1):
            asked = {
                "query": f"What of {name} ___?",
                "answer": "It",
                "level": str(level),
                "type": kind,
                "subject": name,
            }
            files[f"forget_level{level}"] = [asked]
            files[f"neighbor_level{level}"] = [{**asked, "neighbor": "Jaws"}]
        for file, rows in files.items():
            (place / f"{file}.json").write_text(json.dumps(rows))
    return workplace


def in_the_main(config: RunConfig) -> str:
    """The same for jobs that differ in the person, or in the number of steps, alone."""
    stages = tuple(dataclasses.replace(stage, steps=1) for stage in config.task.stages[:2])
    task = dataclasses.replace(config.task, first_stage_steps=0, stages=stages)
    return config_hash(dataclasses.replace(config, unlearning_target="x", task=task))


@pytest.fixture(scope="module")
def prepared() -> set[str]:
    """What need not be prepared again."""
    return set()


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_job_can_be_prepared(
    experiment: str,
    texts: Workplace,
    models: dict[str, Path],
    prepared: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ATU_CACHE", str(tmp_path))
    compute = choose_compute("cpu", "fp32")
    first, *_ = jobs(experiment)
    small = made_small(load(compose("train", complete(first))), texts, models)
    for job in jobs(experiment):
        config = load(compose("train", complete([*job, *small])))
        check_run(config)
        if in_the_main(config) in prepared:
            continue
        prepared.add(in_the_main(config))
        llm = load_language_model(config.pre_trained_llm, device="cpu")
        with RunProgress(Console(quiet=True)) as progress:
            materials = prepare(
                config, llm, build_benchmark(config.data).target(config.unlearning_target), compute, progress
            )
        assert materials.concept_words
        assert (materials.forget.windows is not None) == config.task.aligns
        assert 1 <= materials.hook_layer <= BLOCKS[config.pre_trained_llm.name]
        if Need.HOOK in config.task.needs:
            assert materials.hook_layer > materials.trained_layers.start
