"""The unlearn stage: one forward over forget and retain texts, and the loss made of the configured terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atu.embedding.predictor import Predictor
from atu.methods.config import StageConfig, TaskConfig
from atu.methods.losses import enpo_loss, push_loss, random_direction, redirect_loss, rmu_loss, token_nll
from atu.methods.materials import Materials, RowSet
from atu.methods.references import marked, scored_labels, scored_states
from atu.methods.shares import ALONE, Share, forget_measures, num_scored
from atu.methods.token_terms import forget_terms, read_rows, refusal_term, retain_term
from atu.models.hook import capture_hook, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.packing import read_batch_to_hook
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
    share: Share = ALONE
    """What this process takes of each batch."""

    def losses(self, stage: StageConfig, step: int, seed: int) -> dict[str, Tensor]:
        """Loss parts of one step, `total` is their weighted sum; a pure function of weights and arguments.

        Each is this process's share of the part: their mean over processes is that of the whole batch.

        Args:
            step: unlearn steps done so far, over all stages; it chooses the batch.
        """
        objective, module = self.task.objective, self.task.training_module
        parts: dict[str, Tensor] = {}
        indices = batch_indices(len(self.materials.forget.rows), module.forget_batch_size, step, seed)
        batch = self._own_batch(self.materials.forget, indices)
        hidden, hook = self._forward(batch)
        if objective.embedding != "none":
            assert hook is not None
            parts["train/embedding"] = self._embedding_term(stage, batch, hook)
        if objective.representation != "none":
            assert hook is not None
            parts["train/representation"] = self._representation_term(batch, hook, seed)
        if objective.token == "refusal":
            parts["train/token"] = refusal_term(self.llm, self.materials, batch)
        elif objective.token != "none":
            assert hidden is not None
            parts |= forget_terms(self.llm, objective, self.materials, batch, hidden)
        for name, measure in forget_measures(objective).items():
            if name in parts:
                rows = self._token_rows if name == "train/token" else self.materials.forget
                parts[name] = parts[name] * self.share.weight([measure(rows, i) for i in indices])
        if objective.retain_weight > 0:
            retain = self.materials.retain
            indices = batch_indices(len(retain.rows), module.retain_batch_size, step, seed + 1)
            term = retain_term(self.llm, self.materials, retain, self._own_batch(retain, indices))
            parts["train/retain"] = term * self.share.weight([num_scored(retain, i) for i in indices])
        weights = {
            "train/embedding": objective.embedding_weight,
            "train/representation": objective.representation_weight,
            "train/token": objective.token_weight,
            "train/npo": objective.npo_weight,
            "train/retain": objective.retain_weight,
        }
        total = torch.stack([weights[name] * part for name, part in parts.items()]).sum()
        return {"total": total, **parts}

    @property
    def _token_rows(self) -> RowSet:
        """The rows whose tokens the token term counts."""
        refusals = self.materials.refusals
        return refusals if self.task.objective.token == "refusal" and refusals is not None else self.materials.forget

    def _own_batch(self, rows: RowSet, indices: Sequence[int]) -> Batch:
        return collate(rows.rows, self.share.of(indices), pad_id=self.llm.pad_id, device=self.llm.device)

    def _forward(self, batch: Batch) -> tuple[Tensor | None, Tensor | None]:
        """Final and hook states of forget texts, None where no term reads them; no block is run for nothing."""
        objective, layer, forget = self.task.objective, self.materials.hook_layer, self.materials.forget
        if not objective.reads_forget_logits:
            if not objective.reads_hook:
                return None, None
            lower, packed = forget.states.padded_lower(batch), self.materials.can_pack
            return None, read_batch_to_hook(self.llm, batch, layer, packed=packed, lower=lower)
        if not objective.reads_hook:
            return read_rows(self.llm, self.materials, forget, batch)[0], None
        with capture_hook(self.llm.model, layer) as captured:
            final, in_batch_shape = read_rows(self.llm, self.materials, forget, batch)
        return final, in_batch_shape(captured.hidden)

    def _representation_term(self, batch: Batch, hook: Tensor, seed: int) -> Tensor:
        objective = self.task.objective
        length = torch.full(hook.shape[:2], objective.steering, device=hook.device)
        if objective.adaptive_steering:
            length = length * self.materials.forget.states.padded_hook(batch).to(hook.device).norm(dim=-1)
        # Where the text is predicted from. A row's first state is left out: it is the same in all texts that begin
        # alike, and in many models a hundred times as long as the others, so that the mean would be its alone.
        mask = torch.zeros_like(batch.is_scored)
        mask[:, 1:-1] = batch.is_scored[:, 2:]
        return rmu_loss(hook, random_direction(hook.shape[-1], seed).to(hook.device), length, mask)

    def _embedding_term(self, stage: StageConfig, batch: Batch, hook: Tensor) -> Tensor:
        concept, objective = self.materials.concept, self.task.objective
        assert self.predictor is not None
        assert concept is not None
        predicted = self.predictor(hook, batch.is_token)
        device, counts = hook.device, self._embedding_positions(batch)
        if objective.embedding == "redirect":
            blind = self.materials.forget.blind
            assert blind is not None
            with torch.no_grad():
                reference = self.predictor(blind.padded_hook(batch).to(device), batch.is_token)
            return redirect_loss(predicted, reference, counts)
        cosine = predicted @ concept.vector.to(device)
        if objective.embedding == "push":
            tau = concept.tau if stage.threshold is None else stage.threshold
            return push_loss(cosine, tau, counts)
        assert self.reference_predictor is not None
        with torch.no_grad():
            original = self.materials.forget.states.padded_hook(batch).to(device)
            reference_cosine = self.reference_predictor(original, batch.is_token) @ concept.vector.to(device)
        return enpo_loss(cosine, reference_cosine, objective.beta, counts)

    def _embedding_positions(self, batch: Batch) -> Tensor:
        """Where the predictor is trained to say something, unless the task asks for all positions.

        A batch without any such position has a term, and gradients, of zero.
        """
        if self.task.objective.embedding_positions == "all":
            return batch.is_token
        windows = self.materials.forget.windows
        assert windows is not None
        return windows.mask(batch.indices, batch.ids.shape[1]).to(batch.ids.device)


@torch.no_grad()
def held_out_signals(llm: LanguageModel, materials: Materials) -> dict[str, float]:
    """The training-side signals that the stop rule reads, on texts that no step has trained on.

    Returns:
        `signal/concept_nll_rise`: how many nats per token cost more than in the untouched model where a text tells
        something of the concept (left out where none does); `signal/retain_kl`: KL from the untouched model on retain
        texts, nats per token.
    """
    forget, retain = materials.held_out_forget, materials.held_out_retain
    rises = []
    for batch in _all_batches(llm, forget.rows):
        hidden, _ = read_rows(llm, materials, forget, batch)
        labels, _ = scored_labels(batch)
        tells = marked(batch, forget.telling)[batch.is_scored]
        now = token_nll(logits_from_hidden(llm.model, scored_states(hidden, batch)[tells]), labels[tells])
        states = forget.states.gather_final(batch).to(llm.device)[tells]
        rises.append(now - token_nll(materials.head(states), labels[tells]))
    batches = list(_all_batches(llm, retain.rows))
    kls = [retain_term(llm, materials, retain, batch) * batch.is_scored.sum() for batch in batches]
    signals = {"signal/retain_kl": float(torch.stack(kls).sum() / sum(int(batch.is_scored.sum()) for batch in batches))}
    all_rises = torch.cat(rises)
    if len(all_rises):
        signals["signal/concept_nll_rise"] = float(all_rises.mean())
    return signals


def _all_batches(llm: LanguageModel, rows: Sequence[Row]) -> Iterator[Batch]:
    for start in range(0, len(rows), _BATCH_SIZE):
        indices = range(start, min(start + _BATCH_SIZE, len(rows)))
        yield collate(rows, list(indices), pad_id=llm.pad_id, device=llm.device)
