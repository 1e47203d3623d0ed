"""The unlearn stage: one forward over forget and retain texts, and the loss made of the configured terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
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
    signals = {"signal/retain_kl": retain_kl(llm, materials)}
    now, before = _concept_nll(llm, materials)
    if len(now):
        signals["signal/concept_nll_rise"] = float((now - before).mean())
    return signals


@torch.no_grad()
def retain_kl(llm: LanguageModel, materials: Materials) -> float:
    """KL from the reference on held-out retain texts, nats per token."""
    kls, counts = [], []
    for reading in _readings(llm, materials, materials.held_out_retain):
        counts.append(len(reading.labels))
        kls.append(kl_to_reference(reading.logits, reading.reference_logits()) * counts[-1])
    return float(torch.stack(kls).sum() / sum(counts))


@torch.no_grad()
def concept_left(llm: LanguageModel, materials: Materials) -> float | None:
    """How likely what held-out texts tell of the concept is to the model, as a share of what it is to the reference.

    The mean probability of these tokens, given the text before them, over the same of the reference. None where the
    texts tell nothing.
    """
    now, before = _concept_nll(llm, materials)
    return float((-now).exp().mean() / (-before).exp().mean()) if len(now) else None


def _concept_nll(llm: LanguageModel, materials: Materials) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """NLL of the tokens of held-out texts that tell something of the concept, nats: in the model, in the reference."""
    now, before = [], []
    for reading in _readings(llm, materials, materials.held_out_forget):
        tells = marked(reading.batch, reading.rows.telling)[reading.batch.is_scored]
        labels = reading.labels[tells]
        now.append(token_nll(logits_from_hidden(llm.model, reading.states[tells]), labels))
        before.append(token_nll(reading.reference_logits(tells), labels))
    return torch.cat(now), torch.cat(before)


def _readings(llm: LanguageModel, materials: Materials, rows: RowSet) -> Iterator[Reading]:
    """All rows, some at a time."""
    for start in range(0, len(rows.rows), _BATCH_SIZE):
        yield Reading(llm, materials, rows, range(start, min(start + _BATCH_SIZE, len(rows.rows))))
