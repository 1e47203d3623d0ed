"""Runs in the forget subspace: the same for every method and base, and what a killed one goes on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from killed_once import interrupt_before_stage, killed_once
from safetensors.torch import load_file
from torch import Tensor
from workplace import Workplace

from atu.errors import UserError
from atu.run import run

# The tiny texts are too few for the ratios of real ones.
SUBSPACE = ("task.training_module.moves=subspace", "task.training_module.subspace={min_ratio: 2, lr: 2e-2}")
SHORT = ("skip_initial_eval=true", "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]")


def moved(workplace: Workplace, model: Path) -> dict[str, Tensor]:
    """Changes of the weights that changed, all others being the same to the last bit."""
    before, after = load_file(workplace.model / "model.safetensors"), load_file(model / "model.safetensors")
    assert after.keys() == before.keys()  # a plain model: no adapter is left
    return {name: after[name] - before[name] for name in before if not torch.equal(after[name], before[name])}


def assert_in_the_subspace(workplace: Workplace, root: Path) -> None:
    """What moved are the layers that have directions, and each along these alone."""
    directions = load_file(root / "subspace" / "directions.safetensors")
    changes = moved(workplace, root / "model")
    assert set(changes) == {f"{name}.weight" for name in directions}
    for name, rows in directions.items():
        change, unit = changes[f"{name}.weight"], torch.linalg.qr(rows.mT).Q
        outside = change - change @ unit @ unit.mT
        assert float(outside.norm()) < 1e-3 * float(change.norm()), name


def test_a_killed_run_goes_on_in_the_same_subspace_to_the_same_export(workplace: Workplace) -> None:
    whole, killed = killed_once(workplace, *SUBSPACE, "training.activation_checkpointing=true")
    for name in ("subspace/directions.safetensors", "checkpoint/llm.safetensors", "model/model.safetensors"):
        first, second = load_file(whole / name), load_file(killed / name)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
    assert_in_the_subspace(workplace, whole)
    # Of the optimiser and of the model a checkpoint has B and nothing else.
    assert all(".lora_B.subspace." in key for key in load_file(whole / "checkpoint" / "llm.safetensors"))
    ranks = json.loads((killed / "manifest.json").read_text())["subspace_ranks"]
    assert ranks == {
        name: len(rows) for name, rows in load_file(killed / "subspace" / "directions.safetensors").items()
    }
    assert "Adapters were merged into the weights. On " in (whole / "model" / "README.md").read_text()


@pytest.mark.parametrize("method", ["ga", "npo", "simnpo", "dpo", "rmu"])
def test_every_method_moves_the_same_layers_along_the_same_directions(workplace: Workplace, method: str) -> None:
    folder = run(
        workplace.config(
            f"task=unlearning_{method}",
            *SUBSPACE,
            *SHORT[:1],
            "task.stages=[{type: unlearning, steps: 2}]",
            "task.training_module.subspace.targets=[q_proj, up_proj]",
        )
    )
    directions = load_file(folder.subspace_dir / "directions.safetensors")
    changes = moved(workplace, folder.model_dir)
    assert changes.keys() <= {f"{name}.weight" for name in directions}
    assert (
        f"forget subspace: {len(directions)} directions in {len(directions)} of 4 layers"
        in (folder.root / "log.txt").read_text()
    )
    if method != "rmu":  # whose loss sees nothing above the hook layer
        assert_in_the_subspace(workplace, folder.root)


def test_sixteen_bit_weights_stand_still_under_a_float32_subspace(workplace: Workplace) -> None:
    folder = run(workplace.config(*SUBSPACE, *SHORT, "pre_trained_llm.dtype=bfloat16"))
    assert {tensor.dtype for tensor in load_file(folder.checkpoint_dir / "llm.safetensors").values()} == {torch.float32}
    tensors = load_file(folder.model_dir / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    directions = load_file(folder.subspace_dir / "directions.safetensors")
    before = load_file(workplace.model / "model.safetensors")
    still = [name for name in before if name.removesuffix(".weight") not in directions]
    assert all(torch.equal(tensors[name], before[name].bfloat16().float()) for name in still)


@pytest.mark.usefixtures("bitsandbytes")
@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_subspace_on_a_quantised_base_ends_as_a_plain_model(workplace: Workplace, quantization: str) -> None:
    folder = run(workplace.config(*SUBSPACE, *SHORT, f"pre_trained_llm.quantization={quantization}"))
    tensors = load_file(folder.model_dir / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float32}
    assert tensors.keys() == load_file(workplace.model / "model.safetensors").keys()
    assert "Before, the weights were made float32" in (folder.model_dir / "README.md").read_text()


def test_a_run_that_lost_its_subspace_says_what_to_do(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    config = workplace.config(*SUBSPACE, *SHORT)

    interrupt_before_stage(config, 1, monkeypatch)
    folder = Path(config.runs_dir) / config.name
    kept = shutil.copytree(folder / "subspace", workplace.root / "kept")
    file = folder / "subspace" / "directions.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError) as damaged:
        run(config)
    shutil.rmtree(folder / "subspace")
    with pytest.raises(UserError) as missing:
        run(config)
    for caught in (damaged, missing):
        assert str(caught.value).endswith(f"The run cannot resume without it: delete {folder} to start anew.")
        assert "\n" not in str(caught.value)
    shutil.copytree(kept, folder / "subspace")
    assert run(config).is_done()


def test_too_high_a_ratio_ends_the_run_in_one_line(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"^task\.training_module\.subspace\.min_ratio=1e\+06: no layer has an input"):
        run(workplace.config(*SUBSPACE[:1], *SHORT, "task.training_module.subspace.min_ratio=1e6"))


def test_the_scale_of_the_change_stands_in_the_manifest(workplace: Workplace) -> None:
    half = ("task.scale={concept_left: 0.9, largest: 4.0}", "task.training_module.subspace={min_ratio: 2, lr: 5e-2}")
    folder = run(workplace.config("task=unlearning_ga", SUBSPACE[0], *half, *SHORT[:1], "name=scaled"))
    scale = folder.read_manifest()["scale"]
    assert 0 < scale <= 4
    assert folder.read_stages()[-1].signals["signal/scale"] == scale
