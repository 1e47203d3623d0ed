"""Quantisation: round the weights as deployment does, ask again, and see how much of the update is left.

Source: Zhang et al. 2024 (arXiv 2410.16454). Weights are rounded and put back as float numbers, so that what is
measured is the loss of information, with any device and kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Linear, Parameter

from atu.attacks.config import ModelName
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.models.language_model import LanguageModel
from atu.records import AttackRow
from atu.training.parameters import restore_parameters

GROUP = 32
"""Weights that share a scale in int4."""
_NF4_BLOCK = 64
Rounding = Callable[[Tensor], Tensor]


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """One unit for each rounding of the unlearned model and, in a full budget, of the original; nothing is drawn."""
    return [_unit(subject, name, model) for name in ROUNDINGS for model in subject.compared]


@dataclass(frozen=True, kw_only=True)
class Survival:
    """What rounding leaves of an update."""

    share: float
    """<u', u> / <u, u>, where u is the update and u' what it is after both ends are rounded; 1 = all of it."""
    moved: float
    """Share of the changed weights that the update moves to another rounded value, 0..1."""


@torch.no_grad()
def survival(before: Sequence[Tensor], after: Sequence[Tensor], rounding: Rounding) -> Survival | None:
    """How much of the update from `before` to `after` is left when both are rounded; None when nothing changed.

    Random rounding errors leave `share` near 1 however small the update is, as long as it moves some weights: a
    small `moved` says that most of it is undone.
    """
    kept = norm = 0.0
    moved = changed = 0
    for old, new in zip(before, after, strict=True):
        update = (new - old).double()
        rounded = (rounding(new) - rounding(old)).double()
        kept += float((rounded * update).sum())
        norm += float(update.square().sum())
        is_changed = update != 0
        changed += int(is_changed.sum())
        moved += int((is_changed & (rounded != 0)).sum())
    return None if changed == 0 else Survival(share=kept / norm, moved=moved / changed)


def to_bf16(weight: Float[Tensor, "out inner"]) -> Float[Tensor, "out inner"]:
    """The nearest bfloat16 numbers."""
    return weight.bfloat16().to(weight.dtype)


def to_int8(weight: Float[Tensor, "out inner"]) -> Float[Tensor, "out inner"]:
    """Symmetric, one scale a row: round(w / s) s with s = max|w| / 127."""
    return _absmax(weight, 127)


def to_int4(weight: Float[Tensor, "out inner"]) -> Float[Tensor, "out inner"]:
    """Symmetric, one scale for each `GROUP` weights of a row: s = max|w| / 7. A shorter last group has its own."""
    return torch.cat([_absmax(part, 7) for part in weight.split(GROUP, dim=1)], dim=1)


def to_nf4(weight: Float[Tensor, "out inner"]) -> Float[Tensor, "out inner"]:
    """The 16 quantiles of a normal distribution, one scale for each 64 weights (QLoRA, arXiv 2305.14314)."""
    # Here, since importing it takes seconds and it is an extra.
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weight.contiguous(), blocksize=_NF4_BLOCK, quant_type="nf4")
    rounded: Tensor = dequantize_4bit(packed, state)
    return rounded.to(weight.dtype)


ROUNDINGS: Mapping[str, Rounding | None] = {
    "fp32": None,
    "bf16": to_bf16,
    "int8": to_int8,
    "int4": to_int4,
    "nf4": to_nf4,
}
"""None leaves the weights as they were loaded."""


def _absmax(weight: Tensor, levels: int) -> Tensor:
    scale = weight.abs().amax(dim=1, keepdim=True) / levels
    scale = torch.where(scale > 0, scale, 1.0)
    return (weight / scale).round() * scale


def _unit(subject: Subject, name: str, model: ModelName) -> Unit:
    setting = labelled(name, model, None)

    def run() -> list[AttackRow]:
        report = Reporter(subject, "quantize", setting, model, None)
        llm, rounding = subject.models[model], ROUNDINGS[name]
        probes = subject.group("forget")
        if rounding is None:
            plain = subject.plain_answers(model)
            return report.answered([plain[probe.id] for probe in probes], None)
        with rounded(llm, rounding):
            rows = report.answered(subject.ask(llm, probes), None)
        if model == "unlearned":
            old, new = _matrices(subject.original), _matrices(llm)
            left = survival(list(old.values()), [new[key] for key in old], rounding)
            if left is not None:
                rows.append(report.measured("update/survives", [left.share], None))
                rows.append(report.measured("update/moved", [left.moved], None))
        return rows

    return Unit("quantize", setting, None, run)


@contextmanager
def rounded(llm: LanguageModel, rounding: Rounding) -> Iterator[None]:
    """The model with the weights of its linear layers rounded, all but the head; put back at the end."""
    named = _matrices(llm)
    kept = {name: parameter.detach().clone() for name, parameter in named.items()}
    try:
        with torch.no_grad():
            for parameter in named.values():
                parameter.copy_(rounding(parameter))
        yield
    finally:
        restore_parameters(named, kept)


def _matrices(llm: LanguageModel) -> dict[str, Parameter]:
    """What libraries quantise: the matrices of all linear layers but the output head."""
    head = llm.model.get_output_embeddings()
    linear = {name: module for name, module in llm.model.named_modules() if isinstance(module, Linear)}
    return {
        name: parameter
        for name, parameter in llm.model.named_parameters()
        if name.endswith(".weight") and linear.get(name.removesuffix(".weight"), head) is not head
    }
