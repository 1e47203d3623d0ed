"""The device and the arithmetic of a run."""

from __future__ import annotations

from typing import Literal

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from atu.errors import UserError
from atu.models.precision import has_fast_bf16


def set_threads(threads: int | None) -> None:
    """Fix the number of CPU threads; results repeat bit for bit only at the same number."""
    if threads is not None:
        torch.set_num_threads(threads)


def build_accelerator(
    device: Literal["auto", "cpu", "cuda"], precision: Literal["auto", "bf16", "fp32"]
) -> Accelerator:
    """The accelerator of a run; `auto` takes a GPU when there is one, and bf16 where the device computes it.

    Raises:
        UserError: a GPU is asked for and there is none, or it has no bf16.
    """
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
    return Accelerator(cpu=not use_gpu, mixed_precision="bf16" if use_bf16 else "no")
