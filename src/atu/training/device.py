"""The device and the arithmetic of a run."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist

from atu.errors import UserError
from atu.models.precision import has_fast_bf16
from atu.processes.environment import num_started, refuse_too_many
from atu.processes.peers import TIMEOUT

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Compute:
    """Where this process computes, and how exactly."""

    device: torch.device
    precision: Literal["bf16", "fp32"]
    """Type of the matrix products in training; weights and optimiser keep theirs."""

    def autocast(self) -> AbstractContextManager[None]:
        """A context in which matrix products are of that type."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16) if self.precision == "bf16" else nullcontext()


def set_threads(threads: int | None) -> None:
    """Fix the number of CPU threads; results repeat bit for bit only at the same number."""
    if threads is not None:
        torch.set_num_threads(threads)


def check_devices(device: Device, devices: int) -> None:
    """Raise UserError for more processes on this machine than it has devices; a core of a CPU is one."""
    use_gpu = torch.cuda.is_available() and device != "cpu"
    there = torch.cuda.device_count() if use_gpu else os.cpu_count() or 1
    refuse_too_many(devices, there, "GPU" if use_gpu else "CPU core")


def choose_compute(
    device: Device, precision: Literal["auto", "bf16", "fp32"], *, devices: int | Literal["auto"] = 1
) -> Compute:
    """What a run computes with; `auto` takes a GPU when there is one, and bf16 where the device computes it.

    Where a launcher has started several processes (torchrun, accelerate launch), they find each other here.

    Args:
        devices: how many processes there should be; `auto` takes as many as were started.

    Raises:
        UserError: a GPU is asked for and there is none, or it has no bf16; the processes are others than asked for,
            or more than there are devices.
    """
    started = num_started()
    if devices not in ("auto", started):
        raise UserError(
            f"devices={devices}, but the launcher has started {started} processes. "
            f"{'Leave devices=auto.' if devices != 1 else 'This runs in one process: start it without a launcher.'}"
        )
    check_devices(device, int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise UserError("device=cuda, but torch sees no GPU here. Set device=cpu or install a CUDA build of torch.")
    chosen = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
    has_bf16 = has_fast_bf16(chosen)
    if precision == "bf16" and chosen.type == "cuda" and not has_bf16:
        raise UserError("training.precision=bf16, but this GPU has no bf16. Set training.precision=fp32.")
    if started > 1:
        chosen = _join(chosen.type)
    return Compute(chosen, "bf16" if precision == "bf16" or (precision == "auto" and has_bf16) else "fp32")


def _join(kind: str) -> torch.device:
    """Meet the other processes of the run, and take a device of this kind for this one alone."""
    own = torch.device("cpu")
    if kind == "cuda":
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(own)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=TIMEOUT)
    return own
