"""The names of the attacks, and how much each may spend. No torch here: config errors must show at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from atu.errors import UserError, did_you_mean
from atu.extras import BITSANDBYTES, SCIKIT_LEARN, Package

AttackName = Literal[
    "relearn",
    "benign-relearn",
    "quantize",
    "sample",
    "phrasing",
    "prompt",
    "hidden-states",
    "ablate",
    "logit-lens",
    "collateral",
]
ATTACKS: tuple[AttackName, ...] = get_args(AttackName)
PACKAGES: dict[AttackName, Package] = {"quantize": BITSANDBYTES, "hidden-states": SCIKIT_LEARN}
"""What an attack needs beyond the dependencies of every run."""
Kind = Literal["full", "lora"]
ModelName = Literal["unlearned", "original", "gold"]
"""What is attacked: `original` shows how much a budget can give at most, `gold` how much it gives for nothing."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What every model is given, whatever unlearned it."""

    relearn_rates: tuple[tuple[Kind, float], ...]
    """Ways to fine-tune on one half of the facts: kind and learning rate (AdamW)."""
    benign_rates: tuple[tuple[Kind, float], ...]
    """The same for texts that are not the target's questions."""
    relearn_steps: tuple[int, ...]
    """Optimiser steps after which the other half is asked; the last one is the budget."""
    batch_size: int = 8
    """Texts in one optimiser step."""
    sample_counts: tuple[int, ...]
    """k of leak@k; the last one is the number of answers drawn to each question."""
    max_sampled: int
    """Questions that are sampled."""
    predictor_steps: int
    """Steps that fit a fresh predictor."""
    predictor_depths: tuple[float, ...]
    """Layers that it reads, as fractions of the depth."""
    encoders: tuple[str, ...]
    """Names in config/text_encoder whose embeddings it predicts."""
    num_layers: int
    """Most layers, evenly spaced, that probes and ablation look at."""
    num_directions: tuple[int, ...]
    """Directions that are removed at once."""
    max_collateral: int
    """Questions about each kind of other people."""
    num_phrasings: int
    """Further wordings of each plain question."""
    with_original: bool
    """Whether attacks other than relearning are tried on the original model too."""


QUICK = Budget(
    relearn_rates=(("full", 1e-5), ("full", 3e-5), ("full", 1e-4), ("lora", 1e-4), ("lora", 3e-4), ("lora", 1e-3)),
    benign_rates=(("full", 3e-5),),
    relearn_steps=(3, 8),
    sample_counts=(1, 8),
    max_sampled=24,
    predictor_steps=100,
    predictor_depths=(0.5, 0.8),
    encoders=("all-minilm-l6-v2",),
    num_layers=5,
    num_directions=(1,),
    max_collateral=24,
    num_phrasings=4,
    with_original=False,
)
FULL = Budget(
    relearn_rates=(("full", 1e-5), ("full", 3e-5), ("full", 1e-4), ("lora", 1e-4), ("lora", 3e-4), ("lora", 1e-3)),
    benign_rates=(("full", 1e-5), ("full", 3e-5), ("full", 1e-4), ("lora", 1e-4), ("lora", 3e-4), ("lora", 1e-3)),
    relearn_steps=(5, 10, 25, 50, 100),
    sample_counts=(1, 8, 32),
    max_sampled=1000,
    predictor_steps=400,
    predictor_depths=(0.3, 0.5, 0.8, 1.0),
    encoders=("all-minilm-l6-v2", "all-mpnet-base-v2"),
    num_layers=100,
    num_directions=(1, 4),
    max_collateral=100,
    num_phrasings=7,
    with_original=True,
)


def parse_attacks(text: str) -> tuple[AttackName, ...]:
    """The attacks that a list with commas names, each once, in the order of `ATTACKS`; `all` is all of them.

    Raises:
        UserError: there is no attack of that name, or none is named.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name != "all" and name not in ATTACKS:
            raise UserError(f"There is no attack '{name}'.{did_you_mean(name, ATTACKS)}")
    if not names:
        raise UserError(f"No attack is named. Known: all, {', '.join(ATTACKS)}.")
    return tuple(name for name in ATTACKS if "all" in names or name in names)


def packages_of(attacks: Iterable[AttackName]) -> dict[str, Package]:
    """What these attacks need of the extras, for `require`."""
    return {f"The attack {name}": PACKAGES[name] for name in attacks if name in PACKAGES}


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds of a list with commas, each once.

    Raises:
        UserError: one is no whole number from 0 on, or none is named.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    for part in parts:
        if not (part.isascii() and part.isdigit() and len(part) <= 10 and int(part) < 2**32):
            raise UserError(f"--seeds: '{part[:20]}' is no whole number from 0 to {2**32 - 1}. Write such as 0,1,2.")
    if not parts:
        raise UserError("--seeds names no seed. Write such as 0,1,2.")
    return tuple(dict.fromkeys(map(int, parts)))
