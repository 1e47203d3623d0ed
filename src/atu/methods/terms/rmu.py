"""RMU: hidden states at the hook layer are steered to a random direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from atu.methods.lazy import Bool, Float, torch
from atu.methods.losses import masked_mean
from atu.methods.terms.base import Need, Term, positive
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs
    from atu.methods.materials import RowSet


@dataclass(frozen=True, kw_only=True)
class Rmu(Term):
    """Squared distance of the forget texts' hook states to a random direction."""

    steering: float = 5.0
    """Length of the state to steer to."""
    adaptive: bool = True
    """Whether `steering` is in lengths of the reference's state there (Adaptive RMU), or the length itself."""

    look = Look("#D55E00", "^")
    label = Words("RMU", "RMU")
    sentence = Words(
        "Hidden states on forget texts are steered to a random direction.", "将遗忘文本上的隐藏状态引向一个随机方向。"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(steering=self.steering)

    @property
    def needs(self) -> Need:
        return Need.HOOK | Need.REFERENCE_HOOK if self.adaptive else Need.HOOK

    def amount(self, rows: RowSet, index: int) -> int:
        row = rows.rows[index]
        return len(row.ids) - max(2, row.first_scored)  # see the mask of `loss`

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        hook, is_scored = inputs.forget.hook, inputs.forget.batch.is_scored
        length = torch.full(hook.shape[:2], self.steering, device=hook.device)
        if self.adaptive:
            length = length * inputs.forget.reference_hook().norm(dim=-1)
        # Where the text is predicted from. A row's first state is left out: it is the same in all texts that begin
        # alike, and in many models a hundred times as long as the others, so that the mean would be its alone.
        mask = torch.zeros_like(is_scored)
        mask[:, 1:-1] = is_scored[:, 2:]
        return rmu_loss(hook, random_direction(hook.shape[-1], inputs.seed).to(hook.device), length, mask)


def random_direction(dim: int, seed: int) -> Float[torch.Tensor, " dim"]:
    """The unit vector of `seed` whose entries are uniform in [0, 1) before it is scaled.

    Source: Li et al. 2024 (arXiv 2403.03218), RMU's u.
    """
    entries = torch.rand(dim, generator=torch.Generator().manual_seed(seed))
    direction: torch.Tensor = entries / entries.norm()
    return direction


def rmu_loss(
    hidden: Float[torch.Tensor, "batch pos d_llm"],
    direction: Float[torch.Tensor, " d_llm"],
    length: Float[torch.Tensor, "batch pos"],
    mask: Bool[torch.Tensor, "batch pos"],
) -> Float[torch.Tensor, ""]:
    """Mean squared difference, over positions where `mask` is True and components, between h_t and c_t u.

    Args:
        hidden: h, states at the hook layer.
        direction: u, a unit vector.
        length: c_t; the same everywhere, or a multiple of the norm of the reference's state.

    Source: Li et al. 2024 (arXiv 2403.03218), RMU's forget loss; length in proportion to the norm: Dang et al. 2024
    (arXiv 2408.06223), Adaptive RMU. Differs: the mean over components too, as in the released code, where the paper
    has their sum.
    """
    return masked_mean((hidden.float() - length.unsqueeze(-1) * direction).square().mean(dim=-1), mask)
