"""Terms that read what the model says: the token terms on forget texts, the one retain term on all others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from atu.methods.losses import (
    bounded_logits,
    dpo_loss,
    exclude_labels,
    exclude_tokens,
    ga_loss,
    kl_to_reference,
    lowered_logits,
    nll_of_rows,
    npo_loss,
    refusal_loss,
    sequence_nll,
    simnpo_loss,
    token_nll,
)
from atu.methods.materials import Materials, RowSet
from atu.methods.objective import ObjectiveConfig
from atu.methods.references import marked, scored_labels, scored_states
from atu.models.hook import logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.packing import read_batch
from atu.models.rows import Batch, collate


def read_rows(
    llm: LanguageModel, materials: Materials, rows: RowSet, batch: Batch
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """`read_batch` of some of `rows`, from the first block that moves on."""
    return read_batch(llm, batch, packed=materials.can_pack, lower=rows.states.padded_lower(batch))


def retain_term(llm: LanguageModel, materials: Materials, rows: RowSet, batch: Batch) -> Tensor:
    """KL from the untouched model on text about anything else, nats per token."""
    hidden, _ = read_rows(llm, materials, rows, batch)
    logits = logits_from_hidden(llm.model, scored_states(hidden, batch))
    with torch.no_grad():
        reference = materials.head(rows.states.gather_final(batch).to(logits.device))
    return kl_to_reference(logits, reference)


def forget_terms(
    llm: LanguageModel, objective: ObjectiveConfig, materials: Materials, batch: Batch, hidden: Tensor
) -> dict[str, Tensor]:
    """The token term of a batch of forget texts, whose final states are `hidden`, and what is added to `distill`."""
    logits = logits_from_hidden(llm.model, scored_states(hidden, batch))
    if objective.token != "distill":
        return {"train/token": _label_term(llm, objective, materials, batch, logits)}
    parts = {"train/token": kl_to_reference(logits, _teacher_logits(objective, materials, batch, logits.device))}
    if objective.npo_weight > 0:
        parts["train/npo"] = _npo_up_to_the_end(llm, objective, materials, batch, logits)
    return parts


def _npo_up_to_the_end(
    llm: LanguageModel, objective: ObjectiveConfig, materials: Materials, batch: Batch, logits: Tensor
) -> Tensor:
    """NPO's loss on texts without the token that ends a turn: pushed away, it would let answers run on and on."""
    labels, row = scored_labels(batch)
    counts = ~torch.isin(labels, torch.tensor(llm.end_ids, device=labels.device))
    now = sequence_nll(token_nll(logits[counts], labels[counts]), row[counts], len(batch.indices))
    return npo_loss(now, _reference_nll(materials, materials.forget, batch, counts), objective.beta)


def _label_term(
    llm: LanguageModel, objective: ObjectiveConfig, materials: Materials, batch: Batch, logits: Tensor
) -> Tensor:
    """The term of how likely the texts' own tokens are."""
    labels, row = scored_labels(batch)
    nll, count = token_nll(logits, labels), len(batch.indices)
    if objective.token == "ga":
        return ga_loss(nll)
    if objective.token == "simnpo":
        return simnpo_loss(nll_of_rows(nll, row, count), objective.beta, objective.gamma)
    now, before = sequence_nll(nll, row, count), _reference_nll(materials, materials.forget, batch)
    if objective.token == "npo":
        return npo_loss(now, before, objective.beta)
    refusals, instead, refusal_nll = _read_refusals(llm, materials, batch)
    preferred = sequence_nll(refusal_nll, scored_labels(instead)[1], count)
    return dpo_loss(preferred, _reference_nll(materials, refusals, instead), now, before, objective.beta)


def refusal_term(llm: LanguageModel, materials: Materials, batch: Batch) -> Tensor:
    """Mean NLL of the refusals in place of a batch of forget texts, nats per token."""
    return refusal_loss(_read_refusals(llm, materials, batch)[2])


def _read_refusals(llm: LanguageModel, materials: Materials, batch: Batch) -> tuple[RowSet, Batch, Tensor]:
    """The refusals in place of the texts of `batch`, and the NLL of each of their tokens."""
    refusals = materials.refusals
    assert refusals is not None
    instead = collate(refusals.rows, batch.indices, pad_id=llm.pad_id, device=llm.device)
    hidden, _ = read_rows(llm, materials, refusals, instead)
    logits = logits_from_hidden(llm.model, scored_states(hidden, instead))
    return refusals, instead, token_nll(logits, scored_labels(instead)[0])


@torch.no_grad()
def _reference_nll(materials: Materials, rows: RowSet, batch: Batch, counts: Tensor | slice = slice(None)) -> Tensor:
    """Summed NLL of each text of a batch under the untouched model, over those of its scored tokens that count."""
    labels, row = scored_labels(batch)
    logits = materials.head(rows.states.gather_final(batch).to(labels.device)[counts])
    return sequence_nll(token_nll(logits, labels[counts]), row[counts], len(batch.indices))


@torch.no_grad()
def _teacher_logits(objective: ObjectiveConfig, materials: Materials, batch: Batch, device: torch.device) -> Tensor:
    """What the model shall learn to say on the forget texts: its untouched self that knows nothing of them."""
    forget = materials.forget
    logits: Tensor = materials.head(forget.states.gather_final(batch).to(device))
    if objective.teacher == "undial":
        return lowered_logits(logits, scored_labels(batch)[0], objective.gamma)
    if objective.teacher == "bounded":
        assert forget.blind is not None
        blind = materials.head(forget.blind.gather_final(batch).to(device))
        logits = bounded_logits(logits, blind, objective.margin)
    if forget.named:
        is_named = marked(batch, forget.named)[batch.is_scored]
        logits = exclude_labels(logits, scored_labels(batch)[0], is_named)
    return exclude_tokens(logits, torch.tensor(materials.concept_ids, dtype=torch.long, device=device))
