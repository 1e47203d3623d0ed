"""The type of matrix products, and whether bfloat16 saves time on a device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch

Autocast = Callable[[], AbstractContextManager[None]]
"""Opens a context in which matrix products are of another type than the weights, such as bfloat16."""
_CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")
"""What x86 and ARM processors call bfloat16 products; torch emulates them elsewhere, tens of times slower."""


def has_fast_bf16(device: torch.device) -> bool:
    """Whether the device itself computes products of bfloat16 numbers; False where torch cannot tell."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    get_capabilities: Callable[[], dict[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # torch 2.6 has none
    capabilities = get_capabilities()
    return any(capabilities.get(name) is True for name in _CPU_INSTRUCTIONS)
