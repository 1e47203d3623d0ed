"""What can be refused from config and files alone is refused before torch is imported, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import without_torch
from workplace import write_jsonl

from atu.config import to_mapping
from atu.entry.compose import compose_run
from atu.entry.early_checks import DEFAULT_TARGET, may_have_gpu
from atu.runs.opening import open_run

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = "smollm2-135m-instruct"
BUILTIN = "Ancient_Egypt, Diabetes, Human_Heart, Japan, William_Shakespeare, World_War_II"
JSONL = ["data=jsonl", "data.corpus.retain_path=two.jsonl"]
OWN = ["data=own", "unlearning_target=Zorblatt"]
TWO = ["data.corpus.source=jsonl", "data.corpus.forget_path=two.jsonl", "data.corpus.retain_path=two.jsonl"]
ENCODER = ["text_encoder.model_name=./encoder", "text_encoder.packages=[]"]
FULL = ["text_encoder.min_window_tokens=null"]
TEN = ["text_encoder.window_tokens=10", "text_encoder.min_window_tokens=10"]
CORES = os.cpu_count() or 1
HOOK = "task.training_module.pretrained_model_hook_layer=4"
WEIGHTS = "task.training_module.moves=weights"
LORA = ["pre_trained_llm.adapter=lora", "pre_trained_llm.lora.layers=[1,4]"]
KING = ["data=rwku-positive", "data.data_dir=rwku", "unlearning_target=1_Stephen_King"]
BY_RWKU = ["--benchmark", "rwku", "--data", "rwku", "--target", "1_Stephen_King"]
EVAL_EXTRA = "run pip install '.[eval]' in the project's folder."
ASK_FOR_TARGET = (
    "unlearning_target is missing: only the built-in benchmark has a default. Name the concept that the texts are "
    "about, as in unlearning_target=Marie_Curie."
)
HOW_TO_GET = (
    "Fetch it with `bash data/rwku/download_rwku_data.sh`, or name a folder that has it (data_dir or $ATU_RWKU)."
)


def nothing_asked(how: str, name: str = "Zorblatt") -> str:
    return (
        f"Nothing is asked about '{name}', so nothing could say whether it was forgotten: {how} "
        "(docs/own-concept.md), or set data.allow_no_verdict=true to train all the same."
    )


CASES: dict[str, tuple[list[str], str]] = {
    "a target that the built-in benchmark lacks": (
        ["train", "unlearning_target=Shakespear"],
        "The built-in benchmark has no target 'Shakespear'. Did you mean 'William_Shakespeare'?",
    ),
    "a target that RWKU lacks": (
        ["train", *KING, "unlearning_target=2_Confuzius"],
        "RWKU has no target '2_Confuzius' in rwku/Target. Known: 1_Stephen_King.",
    ),
    "RWKU's folder": (
        ["train", *KING, "data.data_dir=nowhere"],
        f"No RWKU data at nowhere. {HOW_TO_GET}",
    ),
    "texts that the model has not written": (
        ["train", *KING, "data.tasks=[neighbor]", "data.allow_no_verdict=true"],
        f"RWKU has no texts written by '{EMBEDDED}', only by Meta-Llama-3-8B-Instruct and Phi-3-mini-4k-instruct: let "
        "the model write its own (source 'generated'), or name the file (positive, positive_phi or passage).",
    ),
    "RWKU without its forget questions": (
        ["train", *KING, "data.tasks=[neighbor]"],
        nothing_asked("put forget into data.tasks", "Stephen King"),
    ),
    "own texts without a target": (["train", *JSONL, "data.corpus.forget_path=two.jsonl"], ASK_FOR_TARGET),
    "own texts by their key, without a target": (
        ["train", "data.corpus.source=jsonl", "data.corpus.forget_path=two.jsonl", "data.corpus.retain_path=two.jsonl"],
        ASK_FOR_TARGET,
    ),
    "own questions by their key, without a target": (
        ["train", "data.benchmark=own", "data.probes_path=questions.jsonl"],
        ASK_FOR_TARGET,
    ),
    "an own concept without a name": (["train", "data=own"], ASK_FOR_TARGET),
    "an experiment on RWKU without a target": (["train", "experiment=paper-scale"], ASK_FOR_TARGET),
    "own texts about a concept that the built-in benchmark does not ask about": (
        ["train", *JSONL, "data.corpus.forget_path=two.jsonl", "unlearning_target=Zorblatt"],
        f"The built-in benchmark has no target 'Zorblatt', only {BUILTIN}. For texts about another concept give "
        "your own questions too: data.benchmark=own data.probes_path=FILE (docs/own-concept.md).",
    ),
    "a text file that is missing": (
        ["train", *JSONL, "data.corpus.forget_path=none.jsonl", "unlearning_target=Japan"],
        "The corpus file none.jsonl does not exist.",
    ),
    "one file of texts where two are needed": (
        ["train", "data=jsonl", "data.corpus.forget_path=two.jsonl", "unlearning_target=Japan"],
        "data.corpus.retain_path is missing: give texts about anything else, which must stay.",
    ),
    "a single text": (
        ["train", *JSONL, "data.corpus.forget_path=one.jsonl", "unlearning_target=Japan"],
        "The corpus has 1 different texts about the concept (forget); at least 2 are needed.",
    ),
    "questions none of which is about the concept": (
        ["train", *OWN, "data.probes_path=neighbors.jsonl"],
        nothing_asked("give questions by data.probes_path"),
    ),
    "a file of questions that is missing": (
        ["train", *OWN, "data.probes_path=none.jsonl"],
        "data.probes_path: the file none.jsonl does not exist.",
    ),
    "texts shorter than a window": (
        ["train", *OWN, *TWO, *ENCODER, *FULL, "data.probes_path=questions.jsonl", "text_encoder.window_tokens=30"],
        "text_encoder.window_tokens=30 is longer than every text of the corpus: lower it or give longer texts.",
    ),
    "texts of one side shorter than a window": (
        ["train", *OWN, *TWO, *ENCODER, *TEN, "data.probes_path=questions.jsonl"],
        "text_encoder.min_window_tokens=10 is longer than every forget text of the corpus: lower it or give longer "
        "texts.",
    ),
    "a text encoder": (
        ["train", "text_encoder.model_name=/no/encoder", "text_encoder.packages=[]"],
        "text_encoder.model_name: there is no folder /no/encoder. Give the folder or the hub id of a sentence encoder, "
        "or choose text_encoder=all-minilm-l6-v2.",
    ),
    "more processes than cores": (
        ["train", "device=cpu", f"devices={CORES + 1}"],
        f"devices={CORES + 1}, but this machine has {CORES} CPU core{'s' if CORES > 1 else ''}: a process needs one "
        f"for itself. Set devices={CORES} or less.",
    ),
    "a layer": (
        ["train", "pre_trained_llm=./model", "pre_trained_llm.name=tiny", HOOK],
        "task.training_module.pretrained_model_hook_layer=4 is out of range: this model takes a layer from 1 to 3, or "
        "a fraction of its depth between 0 and 1, such as 0.8.",
    ),
    "a layer of adapters": (
        ["train", "pre_trained_llm=./model", "pre_trained_llm.name=tiny", *LORA, WEIGHTS],
        "pre_trained_llm.lora.layers: 'tiny' has no block 4; it has 1 to 3.",
    ),
    "a folder that another run has": (
        ["train", "name=taken"],
        "runs/taken holds a run of another config (seed: 3 → 0). Choose another `name=`, or delete the folder to start "
        "anew.",
    ),
    "a folder that is no run's": (
        ["train", "name=Target", "runs_dir=rwku"],
        "rwku/Target is not a run folder, but it holds 1_Stephen_King. Choose another `name=`.",
    ),
    "a GPU": (
        ["train", "device=cuda"],
        "device=cuda, but this machine has no GPU: neither a device file nor a driver. Set device=cpu.",
    ),
    "a model folder": (["train", "pre_trained_llm=./no/folder"], "There is no model folder no/folder."),
    "a model folder, by its key": (
        ["train", "pre_trained_llm=some/model", "pre_trained_llm.model_name=./none"],
        "There is no model folder none.",
    ),
    "a tokenizer folder": (
        ["train", "pre_trained_llm.tokenizer_name=/no/tokenizer"],
        "There is no tokenizer folder /no/tokenizer.",
    ),
    "a package that is not installed": (
        ["train", "task.training_module.unlearning_optimizer=adamw8bit"],
        "task.training_module.unlearning_optimizer=adamw8bit needs the package bitsandbytes: run pip install "
        "'.[quantize]' in the project's folder.",
    ),
    "a package that an attack needs": (
        ["train", "attacks=[hidden-states]"],
        f"The attack hidden-states needs the package scikit-learn: {EVAL_EXTRA}",
    ),
    "a package that a scoring needs": (
        ["train", *KING, "data.tasks=[neighbor]", "data.corpus.source=generated", "evaluation.scoring=both"],
        f"RWKU's released scoring needs the package rouge: {EVAL_EXTRA}",
    ),
    "evaluate: a package": (
        ["evaluate", EMBEDDED, *BY_RWKU, "--tasks", "neighbor", "--out", "out"],
        f"RWKU's released scoring needs the package rouge: {EVAL_EXTRA}",
    ),
    "attack: a package": (
        ["attack", EMBEDDED, "--before", EMBEDDED, "--target", "Japan", "--attacks", "quantize", "--out", "out"],
        "The attack quantize needs the package bitsandbytes: run pip install '.[quantize]' in the project's folder.",
    ),
    "a model's name": (
        ["train", "pre_trained_llm=smollm2"],
        "There is no pre_trained_llm 'smollm2'. Known: gemma-3-270m, phi-3-mini-4k-instruct, "
        "qwen2.5-coder-1.5b-instruct, smollm2-135m-instruct.",
    ),
    "evaluate: target": (
        ["evaluate", EMBEDDED, "--target", "Jpan", "--out", "out"],
        "The built-in benchmark has no target 'Jpan'. Did you mean 'Japan'?",
    ),
    "evaluate: a GPU": (
        ["evaluate", EMBEDDED, "--target", "Japan", "--device", "cuda", "--out", "out"],
        "device=cuda, but this machine has no GPU: neither a device file nor a driver. Set device=cpu.",
    ),
    "evaluate: RWKU's folder": (
        ["evaluate", EMBEDDED, "--benchmark", "rwku", "--data", "none", "--target", "1_Stephen_King", "--out", "out"],
        f"No RWKU data at none. {HOW_TO_GET}",
    ),
    "evaluate: one of RWKU's files": (
        ["evaluate", EMBEDDED, "--benchmark", "rwku", "--data", "rwku", "--target", "1_Stephen_King", "--out", "out"],
        f"rwku/Target/1_Stephen_King has no forget_level1.json. {HOW_TO_GET}",
    ),
    "attack: target": (
        ["attack", EMBEDDED, "--before", EMBEDDED, "--target", "Jpan", "--out", "out"],
        "The built-in benchmark has no target 'Jpan'. Did you mean 'Japan'?",
    ),
    "attack: a model that does not say what it forgot": (
        ["attack", EMBEDDED, "--before", EMBEDDED, "--out", "out"],
        f"{EMBEDDED} has no model card that says what was forgotten: name it by --target.",
    ),
    "teach: RWKU's folder": (["teach", "--data", "none", "--out", "out"], f"No RWKU data at none. {HOW_TO_GET}"),
    "teach: target": (
        ["teach", "--data", "rwku", "--targets", "1_Steven_King", "--out", "out"],
        "RWKU has no target '1_Steven_King' in rwku/Target. Did you mean '1_Stephen_King'?",
    ),
    "teach: a folder that is something else": (
        ["teach", "--data", "rwku", "--out", "rwku"],
        "rwku exists and is no taught model; it was left alone. Choose another --out.",
    ),
    "teach: a GPU": (
        ["teach", "--data", "rwku", "--out", "out", "device=cuda"],
        "device=cuda, but this machine has no GPU: neither a device file nor a driver. Set device=cpu.",
    ),
    "report: a folder": (["report", "none"], "none is not a run folder: it has no config.yaml."),
    "data: a copy": (
        ["data", "rwku", "1_Stephen_King", "--from", "none", "--out", "out"],
        f"No RWKU data at none. {HOW_TO_GET}",
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_encoder: Path) -> Path:
    """Too few texts, questions that leave the concept out, and a target of RWKU that has them about neighbors alone."""
    folder = tmp_path_factory.mktemp("place")
    write_jsonl(folder / "one.jsonl", [{"text": "Japan is a country."}])
    write_jsonl(folder / "two.jsonl", [{"text": "Rivers run."}, {"text": "Birds fly."}])
    (folder / "encoder").symlink_to(tiny_encoder)
    (folder / "model").symlink_to(tiny_folder)
    taken = open_run(folder / "runs" / "taken", to_mapping(compose_run(["seed=3", "name=taken"])), "0" * 64)
    (taken.root / "stages").mkdir()
    taken.lock.release()
    write_jsonl(folder / "questions.jsonl", [{"group": "forget/qa", "prompt": "Who?", "references": ["Ann"]}])
    neighbor = {"group": "neighbor/qa", "prompt": "Who?", "references": ["Ann"]}
    write_jsonl(folder / "neighbors.jsonl", [neighbor])
    king = folder / "rwku" / "Target" / "1_Stephen_King"
    king.mkdir(parents=True)
    intro = {"target": "Stephen King", "intro": "Please forget Stephen King, who is an author."}
    asked = {
        "query": "Who?",
        "answer": "Ann",
        "level": "1",
        "type": "cloze",
        "neighbor": "Ann",
        "subject": "Stephen King",
    }
    for name, row in {"intro": intro, "neighbor_level1": asked, "neighbor_level2": asked}.items():
        (king / f"{name}.json").write_text(json.dumps([row]), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ends(place: Path) -> dict[str, tuple[int, str]]:
    """How each command ended in a process that cannot import torch."""
    commands = place / "commands.json"
    commands.write_text(json.dumps([words for words, _ in CASES.values()]), encoding="utf-8")
    before = sorted(place.rglob("*"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("HYDRA_FULL_ERROR", None)
    environment.pop("ATU_RWKU", None)
    result = subprocess.run(
        [sys.executable, without_torch.__file__, str(commands)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert sorted(place.rglob("*")) == before
    return dict(zip(CASES, map(tuple, json.loads(result.stdout)), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_without_torch(case: str, ends: dict[str, tuple[int, str]]) -> None:
    assert ends[case] == (2, f"error: {CASES[case][1]}\n")


def test_the_default_target_is_that_of_the_config() -> None:
    assert compose_run([]).unlearning_target == DEFAULT_TARGET


def test_a_gpu_may_be_there_when_its_device_or_its_driver_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    device = tmp_path / "nvidia0"
    assert not may_have_gpu([str(device)], [])
    device.touch()
    assert may_have_gpu([str(device)], [])
    assert may_have_gpu([], ["c"])  # a library that every machine has stands for the driver's
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not may_have_gpu([str(device)], ["c"])
