"""Keys of `task.objective` as they were when a method was a set of flags, and what each is now.

Nothing but the error below reads this table: it can be deleted with its two calls once nobody has such commands.
"""

from __future__ import annotations

from collections.abc import Iterable

from atu.errors import UserError

_PREFIX = "task.objective."
_NOW = {
    "embedding": "a term by its own name: +task.objective.push={}, +task.objective.enpo={}, ~task.objective.redirect",
    "embedding_weight": "the term's weight, such as task.objective.redirect.weight",
    "embedding_positions": "task.objective.push.positions",
    "target": "task.objective.push.target or task.objective.enpo.target",
    "threshold_percentile": "task.objective.push.threshold_percentile",
    "representation": "a term by its own name: +task.objective.rmu={}",
    "representation_weight": "task.objective.rmu.weight",
    "steering": "task.objective.rmu.steering",
    "adaptive_steering": "task.objective.rmu.adaptive",
    "beta": "the term's own, such as task.objective.npo.beta",
    "token": "a term by its own name: +task.objective.npo={}, ~task.objective.distill",
    "token_weight": "the term's weight, such as task.objective.distill.weight",
    "teacher": "task.objective.distill.teacher; the teacher undial is the term task.objective.undial",
    "margin": "task.objective.distill.margin",
    "hide_names": "task.objective.distill.hide_names",
    "npo_weight": "a term of its own: +task.objective.npo={weight: 0.25, skip_end: true}",
    "gamma": "task.objective.simnpo.gamma or task.objective.undial.gamma",
    "retain_weight": "task.objective.retain_kl.weight",
}


def refuse_old_keys(keys: Iterable[str]) -> None:
    """Refuse a key that has another name now.

    Args:
        keys: dotted, such as `task.objective.token`.

    Raises:
        UserError: says what the first such key is now.
    """
    for key in keys:
        now = _NOW.get(key.removeprefix(_PREFIX)) if key.startswith(_PREFIX) else None
        if now is not None:
            raise UserError(f"{key} is now {now}.")
