"""Checkpoints: the whole state of a run in safetensors and JSON, there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from atu.errors import UserError
from atu.methods.config import StageKind
from atu.processes.notices import notice
from atu.storage.digests import DIGESTS_NAME, DamagedError, find_damage, read_digests, write_digests
from atu.storage.files import disk_errors, remove_folder, sync_file, sync_folder
from atu.training.sharding import divided_like

_STATE_FILE = "state.json"
_LLM_FILE = "llm.safetensors"
_TABLES = ("qmap", "absmax", "max", "new_max")
"""Beginnings of the names under which bitsandbytes keeps what is not of a parameter's shape."""


@dataclass
class Progress:
    """Where a run stands. Together with the tensors it determines everything that follows."""

    stage: int = 0
    """Index of the stage that runs next, in the task's schedule."""
    step: int = 0
    """Steps done inside that stage."""
    unlearn_steps: int = 0
    """Unlearn steps done over all stages."""
    align_steps: int = 0
    """Align steps done over all stages."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Training seconds spent in each stage so far."""
    signals: dict[str, float] = field(default_factory=dict)
    """Training-side signals of the stage that ended last."""

    def count(self, kind: StageKind) -> None:
        """Count a step over all stages of its kind."""
        if kind == "align":
            self.align_steps += 1
        else:
            self.unlearn_steps += 1

    def add_seconds(self, seconds: float) -> None:
        """Count time that the stage has taken."""
        key = str(self.stage)
        self.seconds[key] = self.seconds.get(key, 0.0) + seconds


@dataclass(frozen=True)
class Checkpoint:
    """The parts of a checkpoint; each is a flat dictionary of tensors."""

    progress: Progress
    llm: dict[str, Tensor]
    """The LLM's trained parameters; the frozen ones are those of the reference model."""
    others: dict[str, dict[str, Tensor]]
    """Predictors and optimisers by name."""


class MisfitError(UserError):
    """The tensors of a checkpoint are not those that training has places for."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, llm_changed: bool) -> None:
    """Write under another name, sync, swap. The previous checkpoint stays until the new one is whole.

    Args:
        folder: `runs/<name>/checkpoint`.
        llm_changed: False lets an align stage link the LLM's file from the previous checkpoint instead of
            writing it again.

    Raises:
        UserError: the disk is full or read-only; the previous checkpoint stays as it was.
    """
    partial, previous = folder.with_name("checkpoint.partial"), previous_of(folder)
    with disk_errors(folder):
        remove_folder(partial)
        try:
            partial.mkdir(parents=True)
            kept = None if llm_changed else _link(folder, partial)
            if kept is None:
                _save(checkpoint.llm, partial / _LLM_FILE)
            for name, tensors in checkpoint.others.items():
                _save(tensors, partial / f"{name}.safetensors")
            (partial / _STATE_FILE).write_text(json.dumps(asdict(checkpoint.progress)))
            sync_file(partial / _STATE_FILE)
            write_digests(partial, known=kept)
            sync_folder(partial)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        remove_folder(previous)
        if folder.exists():
            folder.rename(previous)
        partial.rename(folder)
        sync_folder(folder.parent)
        remove_folder(previous)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The last checkpoint, or None when there is none yet.

    Every file is compared with the digest that was written with it. Where one is damaged, and where a process was
    killed before the new checkpoint had its name, the checkpoint before counts, if that is there and whole.

    Raises:
        DamagedError: neither is whole; says what to delete.
    """
    previous = previous_of(folder)
    if not folder.exists() and not previous.exists():
        return None
    with disk_errors(folder):
        fault = _fault(folder)
        if fault is None:
            remove_folder(previous)
        else:
            _fall_back(folder, fault)
    try:
        progress = Progress(**json.loads((folder / _STATE_FILE).read_text()))
        tensors = {path.stem: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
        return Checkpoint(progress, tensors.pop("llm"), tensors)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise DamagedError(
            f"The checkpoint in {folder} cannot be read ({error}). Delete that folder to start this run again."
        ) from error


def _fall_back(folder: Path, fault: str) -> None:
    """Put the checkpoint before in the place of one that is damaged or missing."""
    previous = previous_of(folder)
    if not previous.exists():
        raise DamagedError(
            f"The checkpoint in {folder} is damaged ({fault}). Delete that folder to start this run again."
        )
    if (older := _fault(previous)) is not None:
        raise DamagedError(
            f"The checkpoint in {folder} is damaged ({fault}), and so is the one before it, {previous} ({older}). "
            "Delete both folders to start this run again."
        )
    if folder.exists():
        notice(f"The checkpoint in {folder} is damaged ({fault}); the one before it is used.")
        remove_folder(folder)
    previous.rename(folder)


def previous_of(folder: Path) -> Path:
    """Where the checkpoint before the last one lies while they change places."""
    return folder.with_name("checkpoint.previous")


def _fault(folder: Path) -> str | None:
    """What is wrong with a checkpoint; None where it is whole."""
    if not folder.exists():
        return "it is missing"
    if not (folder / DIGESTS_NAME).is_file():
        return f"it has no {DIGESTS_NAME}, as in older versions"
    damaged = find_damage(folder)
    return f"{damaged[0]} is not what was written" if damaged else None


@contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Name the checkpoint whose tensors do not fit."""
    try:
        yield
    except MisfitError as error:
        raise UserError(
            f"The checkpoint in {folder} does not fit this run: {error} Delete that folder to start this run again."
        ) from error


def check_parts(checkpoint: Checkpoint, expected: Iterable[str]) -> None:
    """Raise MisfitError unless the checkpoint holds these predictors and optimisers, and no others."""
    differing = sorted(set(checkpoint.others) ^ set(expected))
    if differing:
        raise MisfitError(f"{differing[0]} is there, but not wanted, or wanted, but not there.")


def check_tensors(name: str, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise MisfitError unless names, shapes and types agree: a tensor of shape [1, ...] would be broadcast."""
    differing = sorted(set(tensors) ^ set(expected))
    if differing:
        raise MisfitError(f"{name}: {differing[0]} is {'missing' if differing[0] in expected else 'unknown'}.")
    for key, tensor in tensors.items():
        _check_like(f"{name}: {key}", tensor, expected[key])


def _check_like(name: str, tensor: Tensor, expected: Tensor) -> None:
    for what, found, wanted in (
        ("shape", list(tensor.shape), list(expected.shape)),
        ("type", tensor.dtype, expected.dtype),
    ):
        if found != wanted:
            raise MisfitError(f"{name} has {what} {found}, not {wanted}.")


def optimizer_tensors(optimizer: Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as flat tensors named `<parameter index>.<name>`; whole numbers become int64."""
    # Not state_dict(): bitsandbytes hides its 8-bit tensors there in a further dictionary.
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {
        f"{index}.{name}": torch.as_tensor(value)
        for index, parameter in enumerate(parameters)
        for name, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def restore_optimizer(optimizer: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put the tensors of `optimizer_tensors` back; settings such as the learning rate stay the optimiser's.

    Raises:
        MisfitError: they are not of this optimiser's parameters.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor | int]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        if not index.isdigit() or int(index) >= len(parameters):
            raise MisfitError(f"the optimiser's {key} is of no parameter.")
        if tensor.dim() and not name.startswith(_TABLES):
            _check_moment(key, tensor, parameters[int(index)])
        is_number = tensor.dim() == 0 and not tensor.is_floating_point()
        value = int(tensor) if is_number else divided_like(tensor, parameters[int(index)])
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _check_moment(key: str, tensor: Tensor, parameter: Tensor) -> None:
    """What an optimiser keeps for each weight; 8-bit state is of whole numbers."""
    is_quantised = tensor.dtype == torch.uint8
    _check_like(f"the optimiser's {key}", tensor, parameter.to(torch.uint8) if is_quantised else parameter)


def _link(source: Path, target: Path) -> dict[str, str] | None:
    """Give the LLM's file of a checkpoint a second name in another, and return its digest as it was written.

    None where there is no such file, or the disk knows no hard links.
    """
    try:
        digests = read_digests(source)
        if digests is None:
            return None
        os.link(source / _LLM_FILE, target / _LLM_FILE)
    except (DamagedError, OSError):
        return None
    return {_LLM_FILE: digests[_LLM_FILE]["sha256"]}


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(*_os_reason(error)) from error
    sync_file(path)


def _os_reason(error: SafetensorError) -> tuple[int, str]:
    """safetensors reports disk errors in words only: `... (os error 28)`."""
    text = str(error)
    code = text.rpartition("os error ")[2].rstrip(')"} ')
    return (int(code) if code.isdigit() else 5, text)
