"""The unlearn stage: one forward over forget and retain texts, and the loss made of the configured terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atu.embedding.predictor import Predictor
from atu.methods.config import StageConfig, TaskConfig
from atu.methods.inputs import Inputs, Reading
from atu.methods.losses import kl_to_reference, token_nll
from atu.methods.materials import Materials, RowSet
from atu.methods.references import marked
from atu.methods.shares import ALONE, Share
from atu.methods.terms import Need, Term
from atu.models.hook import logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.rows import batch_indices

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
    """The predictor as it was after the first align stage, for a term that compares with it."""
    share: Share = ALONE
    """What this process takes of each batch."""

    def losses(self, stage: StageConfig, step: int, seed: int) -> dict[str, Tensor]:
        """Loss parts of one step, `total` is their weighted sum; a pure function of weights and arguments.

        Each is this process's share of the part: their mean over processes is that of the whole batch.

        Args:
            step: unlearn steps done so far, over all stages; it chooses the batch.

        Returns:
            `total`, and `train/<name>` of each term of the task.
        """
        module, materials, terms = self.task.training_module, self.materials, self.task.terms
        forget = batch_indices(len(materials.forget.rows), module.forget_batch_size, step, seed)
        retain = batch_indices(len(materials.retain.rows), module.retain_batch_size, step, seed + 1)
        inputs = Inputs(
            forget=self._reading(materials.forget, forget, self.task.needs & Need.FORGET_TEXTS),
            retain=self._reading(materials.retain, retain),
            answers={term: self._reading(rows, forget) for term, rows in materials.instead.items()},
            seed=seed,
            threshold=stage.threshold,
            predictor=self.predictor,
            reference_predictor=self.reference_predictor,
        )
        parts: dict[str, Tensor] = {}
        for name, term in terms.items():
            if term.texts == "retain":  # the last ones: no term reads the others from here on
                for reading in (inputs.forget, *inputs.answers.values()):
                    reading.release()
            indices = retain if term.texts == "retain" else forget
            rows = self._rows(term)
            parts[name] = term.loss(inputs) * self.share.weight([term.amount(rows, i) for i in indices])
        total = torch.stack([term.weight * parts[name] for name, term in terms.items()]).sum()
        return {"total": total, **{f"train/{name}": part for name, part in parts.items()}}

    def _rows(self, term: Term) -> RowSet:
        """Those over which the mean of a term runs."""
        if term.texts == "instead":
            return self.materials.instead[term]
        return self.materials.retain if term.texts == "retain" else self.materials.forget

    def _reading(self, rows: RowSet, indices: Sequence[int], passes: Need = Need.LOGITS) -> Reading:
        """This process's part of a batch; nothing is computed yet."""
        return Reading(self.llm, self.materials, rows, self.share.of(indices), passes)


@torch.no_grad()
def held_out_signals(llm: LanguageModel, materials: Materials) -> dict[str, float]:
    """The training-side signals that the stop rule reads, on texts that no step has trained on.

    Returns:
        `signal/concept_nll_rise`: how many nats per token cost more than in the reference where a text tells
        something of the concept (left out where none does); `signal/retain_kl`: KL from the reference on retain
        texts, nats per token.
    """
    kls, counts = [], []
    for reading in _readings(llm, materials, materials.held_out_retain):
        counts.append(len(reading.labels))
        kls.append(kl_to_reference(reading.logits, reading.reference_logits()) * counts[-1])
    signals = {"signal/retain_kl": float(torch.stack(kls).sum() / sum(counts))}
    rise = concept_nll_rise(llm, materials)
    if rise is not None:
        signals["signal/concept_nll_rise"] = rise
    return signals


@torch.no_grad()
def concept_nll_rise(llm: LanguageModel, materials: Materials, *, of_blind: bool = False) -> float | None:
    """Nats per token that what held-out texts tell of the concept costs more than in the reference.

    None where they tell nothing.

    Args:
        of_blind: what it costs the reference that cannot see the concept's words, not the model as it is now.
    """
    rises = []
    for reading in _readings(llm, materials, materials.held_out_forget):
        tells = marked(reading.batch, reading.rows.telling)[reading.batch.is_scored]
        labels = reading.labels[tells]
        logits = reading.blind_logits()[tells] if of_blind else logits_from_hidden(llm.model, reading.states[tells])
        rises.append(token_nll(logits, labels) - token_nll(reading.reference_logits(tells), labels))
    found = torch.cat(rises)
    return float(found.mean()) if len(found) else None


def _readings(llm: LanguageModel, materials: Materials, rows: RowSet) -> Iterator[Reading]:
    """All rows, some at a time."""
    for start in range(0, len(rows.rows), _BATCH_SIZE):
        yield Reading(llm, materials, rows, range(start, min(start + _BATCH_SIZE, len(rows.rows))))
