"""Checkpoints: the whole state of a run in safetensors and JSON, there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.optim import Optimizer

from atu.errors import UserError
from atu.results.files import disk_errors
from atu.training.sharding import divided_like

_STATE_FILE = "state.json"


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


@dataclass(frozen=True)
class Checkpoint:
    """The parts of a checkpoint; each is a flat dictionary of tensors."""

    progress: Progress
    llm: dict[str, Tensor]
    """The LLM's trained parameters; the frozen ones are those of the original model."""
    others: dict[str, dict[str, Tensor]]
    """Predictors and optimisers by name."""


def save_checkpoint(folder: Path, checkpoint: Checkpoint, *, llm_changed: bool) -> None:
    """Write beside, sync, swap. The previous checkpoint stays until the new one is whole.

    Args:
        folder: `runs/<name>/checkpoint`.
        llm_changed: False lets an align stage link the LLM's file from the previous checkpoint instead of
            writing it again.

    Raises:
        UserError: the disk is full or read-only; the previous checkpoint is untouched.
    """
    partial, previous = folder.with_name("checkpoint.partial"), folder.with_name("checkpoint.previous")
    with disk_errors(folder):
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir(parents=True)
            if llm_changed or not _link(folder / "llm.safetensors", partial / "llm.safetensors"):
                _save(checkpoint.llm, partial / "llm.safetensors")
            for name, tensors in checkpoint.others.items():
                _save(tensors, partial / f"{name}.safetensors")
            _write_synced(partial / _STATE_FILE, json.dumps(asdict(checkpoint.progress)))
            _sync_folder(partial)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        shutil.rmtree(previous, ignore_errors=True)
        if folder.exists():
            folder.rename(previous)
        partial.rename(folder)
        _sync_folder(folder.parent)
        shutil.rmtree(previous, ignore_errors=True)


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """The last whole checkpoint, or None when there is none yet.

    Raises:
        UserError: a file of it is damaged or cannot be read.
    """
    previous = folder.with_name("checkpoint.previous")
    if not folder.exists() and previous.exists():
        # Killed between the two renames: the previous checkpoint is the last whole one.
        previous.rename(folder)
    if not (folder / _STATE_FILE).exists():
        return None
    try:
        progress = Progress(**json.loads((folder / _STATE_FILE).read_text()))
        tensors = {path.stem: load_file(path) for path in sorted(folder.glob("*.safetensors"))}
        return Checkpoint(progress, tensors.pop("llm"), tensors)
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        raise UserError(
            f"The checkpoint in {folder} is damaged ({error}). Delete that folder to start this run again."
        ) from error


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
    """Put the tensors of `optimizer_tensors` back; settings such as the learning rate stay the optimiser's."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor | int]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        is_number = tensor.dim() == 0 and not tensor.is_floating_point()
        value = int(tensor) if is_number else divided_like(tensor, parameters[int(index)])
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _link(source: Path, target: Path) -> bool:
    """A second name for the same file; False where there is no such file, or the disk knows no hard links."""
    try:
        os.link(source, target)
    except OSError:
        return False
    return True


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        raise OSError(*_os_reason(error)) from error
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _os_reason(error: SafetensorError) -> tuple[int, str]:
    """safetensors reports disk errors in words only: `... (os error 28)`."""
    text = str(error)
    code = text.rpartition("os error ")[2].rstrip(')"} ')
    return (int(code) if code.isdigit() else 5, text)


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
