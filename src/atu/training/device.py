"""The device and the arithmetic of a run."""

from __future__ import annotations

import os
from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs

from atu.errors import UserError
from atu.models.precision import has_fast_bf16
from atu.processes.environment import num_started, refuse_too_many
from atu.processes.peers import TIMEOUT

Device = Literal["auto", "cpu", "cuda"]


def set_threads(threads: int | None) -> None:
    """Fix the number of CPU threads; results repeat bit for bit only at the same number."""
    if threads is not None:
        torch.set_num_threads(threads)


def check_devices(device: Device, devices: int) -> None:
    """Raise UserError for more processes on this machine than it has devices; a core of a CPU is one."""
    use_gpu = torch.cuda.is_available() and device != "cpu"
    there = torch.cuda.device_count() if use_gpu else os.cpu_count() or 1
    refuse_too_many(devices, there, "GPU" if use_gpu else "CPU core")


def build_accelerator(
    device: Device, precision: Literal["auto", "bf16", "fp32"], *, devices: int | Literal["auto"] = 1
) -> Accelerator:
    """The accelerator of a run; `auto` takes a GPU when there is one, and bf16 where the device computes it.

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
    use_gpu = has_gpu and device != "cpu"
    has_bf16 = has_fast_bf16(torch.device("cuda" if use_gpu else "cpu"))
    if precision == "bf16" and use_gpu and not has_bf16:
        raise UserError("training.precision=bf16, but this GPU has no bf16. Set training.precision=fp32.")
    use_bf16 = precision == "bf16" or (precision == "auto" and has_bf16)
    # Accelerate keeps the first settings of a process for good; the jobs of a sweep may differ.
    AcceleratorState._reset_state(reset_partial_state=True)
    return Accelerator(
        cpu=not use_gpu,
        mixed_precision="bf16" if use_bf16 else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=TIMEOUT)],
    )
