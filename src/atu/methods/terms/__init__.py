"""The terms of the unlearn loss, by the key that they have under `task.objective`.

A new term is a module here and a line below; what it reads, it says itself (`base.Term`).

Options and loss of a term stand in one module. Whoever checks a config imports it, and must not wait for torch, so
these modules take torch from `atu.methods.lazy`, which imports it when a loss is computed.
"""

from __future__ import annotations

from collections.abc import Mapping

from atu.methods.terms.altpo import Altpo
from atu.methods.terms.base import Need as Need
from atu.methods.terms.base import Term as Term
from atu.methods.terms.ceu import Ceu
from atu.methods.terms.distill import Distill
from atu.methods.terms.dpo import Dpo
from atu.methods.terms.enpo import Enpo
from atu.methods.terms.ga import Ga
from atu.methods.terms.jensun import Jensun
from atu.methods.terms.npo import Npo
from atu.methods.terms.push import Push
from atu.methods.terms.redirect import Redirect
from atu.methods.terms.refusal import Refusal
from atu.methods.terms.retain_kl import RetainKl
from atu.methods.terms.rmu import Rmu
from atu.methods.terms.satimp import Satimp
from atu.methods.terms.simnpo import Simnpo
from atu.methods.terms.undial import Undial
from atu.methods.terms.wga import Wga

TERMS: Mapping[str, type[Term]] = {
    "push": Push,
    "redirect": Redirect,
    "enpo": Enpo,
    "rmu": Rmu,
    "distill": Distill,
    "undial": Undial,
    "ga": Ga,
    "npo": Npo,
    "simnpo": Simnpo,
    "dpo": Dpo,
    "refusal": Refusal,
    "wga": Wga,
    "satimp": Satimp,
    "ceu": Ceu,
    "jensun": Jensun,
    "altpo": Altpo,
    "retain_kl": RetainKl,
}
"""In the order in which a loss is summed up, whatever the order in a yaml."""
