"""A checkpoint holds everything bit for bit, and is there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, AdamW, Optimizer

from atu.errors import UserError
from atu.training.checkpoint import (
    Checkpoint,
    Progress,
    load_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)
from atu.training.parameters import restore_parameters


def tensors(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "a": torch.randn(3, 5, generator=generator),
        "b.weight": torch.randn(7, generator=generator).bfloat16(),
        "not contiguous": torch.randn(4, 2, generator=generator).T,
    }


def checkpoint(seed: int) -> Checkpoint:
    progress = Progress(
        stage=1, step=seed, unlearn_steps=3, align_steps=8, seconds={"0": 1.25}, signals={"signal/retain_kl": 0.1}
    )
    return Checkpoint(progress, tensors(seed), {"predictor": tensors(seed + 100), "optimizer-align": {}})


def assert_equal(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert found.progress == expected.progress
    assert found.others.keys() == expected.others.keys()
    for one, other in (
        (found.llm, expected.llm),
        *((found.others[name], expected.others[name]) for name in found.others),
    ):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) and one[name].dtype == other[name].dtype for name in one)


def test_what_was_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint", checkpoint(1), llm_changed=True)
    assert_equal(load_checkpoint(tmp_path / "checkpoint"), checkpoint(1))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_the_last_one_counts(tmp_path: Path) -> None:
    for seed in (1, 2):
        save_checkpoint(tmp_path / "checkpoint", checkpoint(seed), llm_changed=True)
    assert_equal(load_checkpoint(tmp_path / "checkpoint"), checkpoint(2))


def test_there_is_none_at_the_start(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "checkpoint") is None


def test_killed_between_the_two_renames_the_previous_one_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1), llm_changed=True)
    save_checkpoint(tmp_path / "other", checkpoint(2), llm_changed=True)
    # As save_checkpoint leaves it there: the old one moved aside, the new one not yet in its place.
    folder.rename(tmp_path / "checkpoint.previous")
    (tmp_path / "other").rename(tmp_path / "checkpoint.partial")
    assert_equal(load_checkpoint(folder), checkpoint(1))
    save_checkpoint(folder, checkpoint(3), llm_changed=True)
    assert_equal(load_checkpoint(folder), checkpoint(3))
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_killed_after_the_second_rename_the_new_one_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1), llm_changed=True)
    folder.rename(tmp_path / "checkpoint.previous")
    save_checkpoint(tmp_path / "other", checkpoint(2), llm_changed=True)
    (tmp_path / "other").rename(folder)
    assert_equal(load_checkpoint(folder), checkpoint(2))


def test_killed_while_writing_the_half_one_is_no_checkpoint(tmp_path: Path) -> None:
    partial = tmp_path / "checkpoint.partial"
    partial.mkdir()
    (partial / "llm.safetensors").write_bytes(b"half")
    assert load_checkpoint(tmp_path / "checkpoint") is None
    save_checkpoint(tmp_path / "checkpoint", checkpoint(1), llm_changed=True)
    assert_equal(load_checkpoint(tmp_path / "checkpoint"), checkpoint(1))
    assert not partial.exists()


FILES = ("digests.json", "llm.safetensors", "optimizer-align.safetensors", "predictor.safetensors", "state.json")


def flip(path: Path, bit: int) -> None:
    """One bit of a file is another."""
    data = bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_noticed_and_its_file_named(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1), llm_changed=True)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    for bit in (0, 77, 8 * (folder / name).stat().st_size - 1):
        flip(folder / name, bit)
        with pytest.raises(UserError) as caught:
            load_checkpoint(folder)
        assert str(caught.value) == (
            f"The checkpoint in {folder} is damaged ({name} is not what was written). Delete that folder to start "
            "this run again."
        )
        flip(folder / name, bit)
    assert_equal(load_checkpoint(folder), checkpoint(1))


@pytest.mark.parametrize("name", FILES)
def test_so_is_a_file_that_is_missing_or_cut(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1), llm_changed=True)
    (folder / name).write_bytes((folder / name).read_bytes()[:-3])
    with pytest.raises(UserError, match=rf"damaged \({name} "):
        load_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"damaged \((it has no )?{name}"):
        load_checkpoint(folder)


def test_a_checkpoint_of_an_older_version_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "checkpoint", checkpoint(1), llm_changed=True)
    (tmp_path / "checkpoint" / "digests.json").unlink()
    with pytest.raises(UserError, match=r"it has no digests\.json, as in older versions\)\. Delete that folder"):
        load_checkpoint(tmp_path / "checkpoint")


def two_checkpoints(tmp_path: Path) -> tuple[Path, Path]:
    """Checkpoint 2, and checkpoint 1 as a killed process leaves it next to it."""
    folder, previous = tmp_path / "checkpoint", tmp_path / "checkpoint.previous"
    save_checkpoint(folder, checkpoint(1), llm_changed=True)
    folder.rename(previous)
    save_checkpoint(tmp_path / "new" / "checkpoint", checkpoint(2), llm_changed=True)
    (tmp_path / "new" / "checkpoint").rename(folder)
    return folder, previous


def test_in_place_of_a_damaged_one_the_one_before_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, previous = two_checkpoints(tmp_path)
    flip(folder / "llm.safetensors", 1000)
    assert_equal(load_checkpoint(folder), checkpoint(1))
    assert capsys.readouterr().err == (
        f"warning: The checkpoint in {folder} is damaged (llm.safetensors is not what was written); the one before it "
        "is used.\n"
    )
    assert not previous.exists()
    assert_equal(load_checkpoint(folder), checkpoint(1))


@pytest.mark.parametrize("left", ["llm.safetensors", "digests.json", "state.json", None])
def test_a_half_deleted_leftover_is_never_taken_for_a_state(tmp_path: Path, left: str | None) -> None:
    folder, previous = two_checkpoints(tmp_path)
    for path in list(previous.iterdir()):
        if path.name != left:
            path.unlink()
    flip(folder / "state.json", 11)
    with pytest.raises(UserError) as caught:
        load_checkpoint(folder)
    assert f"{folder} is damaged (state.json is not what was written), and so is the one before it" in str(caught.value)
    assert str(caught.value).endswith("Delete both folders to start this run again.")
    # Who deletes the first one only is told of the second.
    for path in list(folder.iterdir()):
        path.unlink()
    folder.rmdir()
    with pytest.raises(UserError, match=rf"{previous} .*Delete both folders"):
        load_checkpoint(folder)


def test_a_leftover_next_to_a_whole_checkpoint_goes(tmp_path: Path) -> None:
    folder, previous = two_checkpoints(tmp_path)
    assert_equal(load_checkpoint(folder), checkpoint(2))
    assert not previous.exists()


def test_damage_is_not_taken_over_by_the_next_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1), llm_changed=True)
    flip(folder / "llm.safetensors", 5000)
    save_checkpoint(folder, checkpoint(1), llm_changed=False)  # the LLM's file is linked
    with pytest.raises(UserError, match=r"damaged \(llm\.safetensors is not what was written\)"):
        load_checkpoint(folder)


WEIGHT = Parameter(torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({"a": torch.ones(1, 2)}, r"the LLM: a has shape \[1, 2\], not \[3, 2\]"),  # would be broadcast
        ({"a": torch.ones(3, 2).double()}, r"the LLM: a has type torch\.float64, not torch\.float32"),
        ({"a": torch.ones(3, 2), "b": torch.ones(1)}, "the LLM: b is unknown"),
        ({}, "the LLM: a is missing"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tensors: dict[str, Tensor], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        restore_parameters({"a": WEIGHT}, tensors)
    assert torch.equal(WEIGHT, torch.zeros(3, 2))


@pytest.mark.parametrize(
    ("tensors", "fault"),
    [
        ({"0.step": torch.ones(()), "0.exp_avg": torch.ones(1, 2)}, r"0\.exp_avg has shape \[1, 2\], not \[3, 2\]"),
        ({"0.exp_avg": torch.ones(3, 2).bfloat16()}, r"0\.exp_avg has type torch\.bfloat16"),
        ({"1.step": torch.ones(())}, r"1\.step is of no parameter"),
    ],
)
def test_an_optimizer_state_that_does_not_fit_is_refused(tensors: dict[str, Tensor], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        restore_optimizer(AdamW([WEIGHT], lr=0.1), tensors)


def llm_file(folder: Path) -> os.stat_result:
    return (folder / "llm.safetensors").stat()


def test_an_llm_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    save_checkpoint(folder, checkpoint(1), llm_changed=False)  # the first one, so there is nothing to link
    first = llm_file(folder).st_ino
    save_checkpoint(folder, checkpoint(1), llm_changed=False)
    assert llm_file(folder).st_ino == first
    assert llm_file(folder).st_nlink == 1  # the previous checkpoint is gone
    save_checkpoint(folder, checkpoint(2), llm_changed=True)
    assert llm_file(folder).st_ino != first
    assert_equal(load_checkpoint(folder), checkpoint(2))


def test_a_disk_without_hard_links_takes_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")  # as vfat and some network disks do

    monkeypatch.setattr(os, "link", refuse)
    for _ in range(2):
        save_checkpoint(tmp_path / "checkpoint", checkpoint(1), llm_changed=False)
    assert_equal(load_checkpoint(tmp_path / "checkpoint"), checkpoint(1))


def stepped(optimizer: Optimizer, parameters: list[Parameter], count: int) -> None:
    for step in range(count):
        for i, parameter in enumerate(parameters):
            generator = torch.Generator().manual_seed(10 * step + i)
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_an_optimizer_goes_on_as_if_never_stopped(tmp_path: Path, kind: str) -> None:
    def build() -> tuple[Optimizer, list[Parameter]]:
        parameters = [Parameter(torch.ones(3, 2)), Parameter(torch.ones(4))]
        return (AdamW(parameters, lr=0.1) if kind == "adamw" else SGD(parameters, lr=0.1)), parameters

    optimizer, parameters = build()
    stepped(optimizer, parameters, 3)
    saved = Checkpoint(
        Progress(), {str(i): p.detach().clone() for i, p in enumerate(parameters)},
        {"optimizer": optimizer_tensors(optimizer)},
    )  # fmt: skip
    save_checkpoint(tmp_path / "checkpoint", saved, llm_changed=True)

    resumed, moved = build()
    found = load_checkpoint(tmp_path / "checkpoint")
    assert found is not None
    if kind == "adamw":
        # step, mean and mean square of two parameters
        names = [f"{i}.{name}" for i in (0, 1) for name in ("exp_avg", "exp_avg_sq", "step")]
        assert sorted(found.others["optimizer"]) == names
        assert found.others["optimizer"]["0.step"].item() == 3
    with torch.no_grad():
        for i, parameter in enumerate(moved):
            parameter.copy_(found.llm[str(i)])
    restore_optimizer(resumed, found.others["optimizer"])
    stepped(optimizer, parameters, 4)
    stepped(resumed, moved, 4)
    assert all(torch.equal(one, other) for one, other in zip(parameters, moved, strict=True))
