"""The unlearn stage: one forward over forget and retain texts, and the loss made of the configured terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atu.embedding.predictor import Predictor
from atu.methods.config import StageConfig, TaskConfig
from atu.methods.losses import (
    bounded_logits,
    enpo_loss,
    exclude_tokens,
    ga_loss,
    kl_to_reference,
    npo_loss,
    push_loss,
    redirect_loss,
    sequence_nll,
    token_nll,
)
from atu.methods.materials import Materials, RowSet
from atu.methods.references import scored_labels, scored_states
from atu.models.hook import capture_hook, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.packing import read_batch, read_batch_to_hook
from atu.models.rows import Batch, Row, batch_indices, collate

_BATCH_SIZE = 16
"""Held-out texts read at once."""


@dataclass(frozen=True)
class Unlearning:
    """The loss of a task. All methods share this one path and differ by their terms."""

    llm: LanguageModel
    task: TaskConfig
    materials: Materials
    predictor: Predictor | None
    reference_predictor: Predictor | None = None
    """The predictor as it was after the first align stage; only ENPO compares with it."""

    def losses(self, stage: StageConfig, step: int, seed: int) -> dict[str, Tensor]:
        """Loss parts of one step, `total` is their weighted sum; a pure function of weights and arguments.

        Args:
            step: unlearn steps done so far, over all stages; it chooses the batch.
        """
        objective, module = self.task.objective, self.task.training_module
        parts: dict[str, Tensor] = {}
        batch = self._batch(self.materials.forget, module.forget_batch_size, step, seed)
        if objective.embedding != "none":
            hidden, hook = self._forward(batch)
            parts["train/embedding"] = self._embedding_term(stage, batch, hook)
        else:
            hidden, _ = _read(self.llm, self.materials, self.materials.forget, batch)
        if objective.token != "none":
            assert hidden is not None
            parts["train/token"] = self._token_term(batch, hidden)
        if objective.retain_weight > 0:
            retain = self._batch(self.materials.retain, module.retain_batch_size, step, seed + 1)
            parts["train/retain"] = retain_term(self.llm, self.materials, self.materials.retain, retain)
        weights = {
            "train/embedding": objective.embedding_weight,
            "train/token": objective.token_weight,
            "train/retain": objective.retain_weight,
        }
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return {"total": total, **parts}

    def _batch(self, rows: RowSet, size: int, step: int, seed: int) -> Batch:
        indices = batch_indices(len(rows.rows), size, step, seed)
        return collate(rows.rows, indices, pad_id=self.llm.pad_id, device=self.llm.device)

    def _forward(self, batch: Batch) -> tuple[Tensor | None, Tensor]:
        """Final and hook states; blocks above the hook are not run when no term reads them."""
        layer = self.materials.hook_layer
        if self.task.objective.token == "none":
            lower = self.materials.forget.states.padded_lower(batch)
            packed = self.materials.can_pack
            return None, read_batch_to_hook(self.llm, batch, layer, packed=packed, lower=lower)
        with capture_hook(self.llm.model, layer) as captured:
            final, in_batch_shape = _read(self.llm, self.materials, self.materials.forget, batch)
        return final, in_batch_shape(captured.hidden)

    def _embedding_term(self, stage: StageConfig, batch: Batch, hook: Tensor) -> Tensor:
        concept, objective = self.materials.concept, self.task.objective
        assert self.predictor is not None
        assert concept is not None
        predicted = self.predictor(hook, batch.is_token)
        device = hook.device
        if objective.embedding == "redirect":
            blind = self.materials.forget.blind
            assert blind is not None
            with torch.no_grad():
                reference = self.predictor(blind.padded_hook(batch).to(device), batch.is_token)
            return redirect_loss(predicted, reference, batch.is_token)
        cosine = predicted @ concept.vector.to(device)
        if objective.embedding == "push":
            tau = concept.tau if stage.threshold is None else stage.threshold
            return push_loss(cosine, tau, batch.is_token)
        assert self.reference_predictor is not None
        with torch.no_grad():
            original = self.materials.forget.states.padded_hook(batch).to(device)
            reference_cosine = self.reference_predictor(original, batch.is_token) @ concept.vector.to(device)
        return enpo_loss(cosine, reference_cosine, objective.beta, batch.is_token)

    def _token_term(self, batch: Batch, hidden: Tensor) -> Tensor:
        objective, forget = self.task.objective, self.materials.forget
        logits = logits_from_hidden(self.llm.model, scored_states(hidden, batch))
        if objective.token == "distill":
            return kl_to_reference(logits, self._teacher_logits(batch, logits.device))
        labels, row = scored_labels(batch)
        nll = token_nll(logits, labels)
        if objective.token == "ga":
            return ga_loss(nll)
        with torch.no_grad():
            states = forget.states.gather_final(batch).to(logits.device)
            reference_nll = token_nll(self.materials.head(states), labels)
        count = len(batch.indices)
        return npo_loss(sequence_nll(nll, row, count), sequence_nll(reference_nll, row, count), objective.beta)

    @torch.no_grad()
    def _teacher_logits(self, batch: Batch, device: torch.device) -> Tensor:
        """What the model shall learn to say on the forget texts: its untouched self that knows nothing of them."""
        forget, materials = self.materials.forget, self.materials
        logits = materials.head(forget.states.gather_final(batch).to(device))
        if self.task.objective.teacher == "bounded":
            assert forget.blind is not None
            blind = materials.head(forget.blind.gather_final(batch).to(device))
            logits = bounded_logits(logits, blind, self.task.objective.margin)
        return exclude_tokens(logits, torch.tensor(materials.concept_ids, dtype=torch.long, device=device))


def retain_term(llm: LanguageModel, materials: Materials, rows: RowSet, batch: Batch) -> Tensor:
    """KL from the untouched model on text about anything else, nats a token."""
    hidden, _ = _read(llm, materials, rows, batch)
    logits = logits_from_hidden(llm.model, scored_states(hidden, batch))
    with torch.no_grad():
        reference = materials.head(rows.states.gather_final(batch).to(logits.device))
    return kl_to_reference(logits, reference)


@torch.no_grad()
def held_out_signals(llm: LanguageModel, materials: Materials) -> dict[str, float]:
    """The training-side signals that the stop rule reads, on texts that no step has trained on.

    Returns:
        `signal/concept_nll_rise`: how many nats a token the concept's own words cost more than in the
        untouched model (left out where none of them occurs); `signal/retain_kl`: KL from the untouched model on
        retain texts, nats a token.
    """
    forget, retain = materials.held_out_forget, materials.held_out_retain
    concept_ids = torch.tensor(materials.concept_ids, dtype=torch.long, device=llm.device)
    rises = []
    for batch in _all_batches(llm, forget.rows):
        hidden, _ = _read(llm, materials, forget, batch)
        labels, _ = scored_labels(batch)
        of_concept = torch.isin(labels, concept_ids)
        now = token_nll(logits_from_hidden(llm.model, scored_states(hidden, batch)[of_concept]), labels[of_concept])
        states = forget.states.gather_final(batch).to(llm.device)[of_concept]
        rises.append(now - token_nll(materials.head(states), labels[of_concept]))
    batches = list(_all_batches(llm, retain.rows))
    kls = [retain_term(llm, materials, retain, batch) * batch.is_scored.sum() for batch in batches]
    signals = {"signal/retain_kl": float(torch.stack(kls).sum() / sum(int(batch.is_scored.sum()) for batch in batches))}
    all_rises = torch.cat(rises)
    if len(all_rises):
        signals["signal/concept_nll_rise"] = float(all_rises.mean())
    return signals


def _read(
    llm: LanguageModel, materials: Materials, rows: RowSet, batch: Batch
) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """`read_batch` of some of `rows`, from the first block that moves on."""
    return read_batch(llm, batch, packed=materials.can_pack, lower=rows.states.padded_lower(batch))


def _all_batches(llm: LanguageModel, rows: Sequence[Row]) -> Iterator[Batch]:
    for start in range(0, len(rows), _BATCH_SIZE):
        indices = range(start, min(start + _BATCH_SIZE, len(rows)))
        yield collate(rows, list(indices), pad_id=llm.pad_id, device=llm.device)
