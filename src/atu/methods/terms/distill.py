"""Self-distillation: the model learns to say what the reference would say that knows nothing of the concept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from atu.errors import UserError
from atu.methods.lazy import Bool, Float, Int, functional, torch
from atu.methods.losses import kl_to_reference
from atu.methods.terms.base import Need, Term, not_negative
from atu.records import Look, Words

if TYPE_CHECKING:
    from atu.methods.inputs import Inputs


@dataclass(frozen=True, kw_only=True)
class Distill(Term):
    """KL to a teacher, nats per token."""

    teacher: Literal["masked", "bounded"] = "masked"
    """`masked`: the reference, which may not say the concept's words; `bounded`: moreover no token may be much likelier
    than it is to the blind reference, which cannot see these words."""
    margin: float = 0.0
    """Nats by which a token may be likelier to the teacher `bounded` than to the blind reference."""
    hide_names: bool = False
    """Whether the teacher may not say a name or number of a forget text in its place either."""

    repeat_name: bool = False
    """Whether the teacher may say the concept's name where the text has said it before. There it is copied, not known;
    a teacher that must not even copy it can't repeat a question, and falls into loops."""

    look = Look("#0072B2", "^")
    sentence = Words(
        "On forget texts the model learns to say what it would say did it know nothing of the concept.",
        "在遗忘文本上，模型学习说出它在对该概念一无所知时会说的话。",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative(margin=self.margin)
        if self.margin and self.teacher != "bounded":
            raise UserError(f"margin={self.margin:g} has no effect with teacher={self.teacher}: set teacher=bounded.")

    @property
    def label(self) -> Words:
        return {
            "masked": Words("masked distillation", "遮蔽自蒸馏"),
            "bounded": Words("bounded distillation", "受限自蒸馏"),
        }[self.teacher]

    @property
    def needs(self) -> Need:
        needs = Need.LOGITS | Need.REFERENCE_LOGITS
        needs |= Need.BLIND_LOGITS if self.teacher == "bounded" else Need.CONCEPT_TOKENS
        if self.repeat_name:
            needs |= Need.REPEATS
        return needs | Need.NAMES if self.hide_names else needs

    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        logits = inputs.forget.logits
        with torch.no_grad():
            teacher = self._teacher_logits(inputs)
        return kl_to_reference(logits, teacher)

    def _teacher_logits(self, inputs: Inputs) -> Float[torch.Tensor, "n vocab"]:
        forget = inputs.forget
        logits = forget.reference_logits()
        if self.repeat_name:  # likelihoods of two teachers are put together below
            logits = functional.log_softmax(logits.float(), dim=-1)
        reference = logits
        if self.teacher == "bounded":
            logits = bounded_logits(logits, forget.blind_logits(), self.margin)
        if self.hide_names:
            logits = exclude_labels(logits, forget.labels, forget.is_name)
        concept_ids = torch.tensor(inputs.materials.concept_ids, dtype=torch.long, device=logits.device)
        logits = exclude_tokens(logits, concept_ids)
        if not self.repeat_name:
            return logits
        name_ids = torch.tensor(inputs.materials.name_ids, dtype=torch.long, device=logits.device)
        return with_repeats(logits, reference, name_ids, forget.may_repeat)


def bounded_logits(
    logits: Float[torch.Tensor, "n vocab"], bound: Float[torch.Tensor, "n vocab"], margin: float = 0.0
) -> Float[torch.Tensor, "n vocab"]:
    """Logits of the distribution min(p, e^margin q), scaled to sum to 1: no token gains much by what only p knows.

    Args:
        logits: of p, the model that reads the whole text.
        bound: logits of q, the same model that cannot see some of its words.
        margin: nats that p may be above q.

    Source: ours.
    """
    own = functional.log_softmax(logits.float(), dim=-1)
    return torch.minimum(own, functional.log_softmax(bound.float(), dim=-1) + margin)


def exclude_tokens(
    logits: Float[torch.Tensor, "n vocab"], token_ids: Int[torch.Tensor, " k"]
) -> Float[torch.Tensor, "n vocab"]:
    """Logits of the distribution without some tokens: their share goes to all others in proportion."""
    return logits.index_fill(-1, token_ids, float("-inf"))


def with_repeats(
    logits: Float[torch.Tensor, "n vocab"],
    reference: Float[torch.Tensor, "n vocab"],
    token_ids: Int[torch.Tensor, " k"],
    where: Bool[torch.Tensor, " n"],
) -> Float[torch.Tensor, "n vocab"]:
    """Log-probabilities, up to a sum, of a teacher to whom some tokens are as likely as to the reference at `where`.

    Args:
        logits: log-probabilities of the teacher, up to a sum: `bounded_logits` without the concept's tokens, say.
        reference: log-probabilities of the reference.

    Source: ours.
    """
    repeated = torch.where(where[:, None], reference[:, token_ids], logits[:, token_ids])
    return logits.index_copy(-1, token_ids, repeated)


def exclude_labels(
    logits: Float[torch.Tensor, "n vocab"], labels: Int[torch.Tensor, " n"], where: Bool[torch.Tensor, " n"]
) -> Float[torch.Tensor, "n vocab"]:
    """`exclude_tokens` of one token a position: its label, at the positions of `where` alone."""
    excluded = torch.zeros_like(logits, dtype=torch.bool)
    excluded[where, labels[where]] = True
    return logits.masked_fill(excluded, float("-inf"))
