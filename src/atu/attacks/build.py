"""From the name of an attack to its pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from atu.attacks import (
    ablate,
    benign_relearn,
    collateral,
    hidden_states,
    logit_lens,
    phrasing,
    prompt,
    quantize,
    relearn,
    sample,
)
from atu.attacks.config import ATTACKS, AttackName
from atu.attacks.subject import Subject, Unit

_UNITS: dict[AttackName, Callable[[Subject, Sequence[int]], list[Unit]]] = {
    "relearn": relearn.units,
    "benign-relearn": benign_relearn.units,
    "quantize": quantize.units,
    "sample": sample.units,
    "phrasing": phrasing.units,
    "prompt": prompt.units,
    "hidden-states": hidden_states.units,
    "ablate": ablate.units,
    "logit-lens": logit_lens.units,
    "collateral": collateral.units,
}


def build_units(subject: Subject, attacks: Iterable[AttackName], seeds: Sequence[int]) -> list[Unit]:
    """All pieces of the attacks, in the order in which they are done. Nothing is asked yet.

    Raises:
        UserError: the target has too few probes.
    """
    return [unit for name in ATTACKS if name in set(attacks) for unit in _UNITS[name](subject, seeds)]
