"""The align stage: fit the predictor to the LLM as it is now, and judge it on held-out text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from atu.embedding.cache import Put, built_arrays
from atu.embedding.predictor import Predictor
from atu.embedding.target import center
from atu.embedding.windows import Windows
from atu.errors import UserError
from atu.methods.losses import alignment_loss, contrastive_loss
from atu.methods.materials import Materials, RowSet
from atu.methods.references import ReferenceStates
from atu.methods.shares import ALONE, Share
from atu.models.language_model import LanguageModel
from atu.models.packing import read_batch_to_hook
from atu.models.precision import Autocast
from atu.models.rows import Row, collate
from atu.processes import peers

RETRIEVAL_SIZE = 256
"""Windows among which the true one must be ranked first."""
_CONTRASTIVE_SIZE = 512
_BATCH_SIZE = 16


@dataclass(frozen=True)
class AlignData:
    """Hidden states of the current LLM and the windows to predict, extracted once for a stage."""

    hidden: tuple[Float[Tensor, "_ d_llm"], ...]
    windows: Windows
    mean: Float[Tensor, " d_enc"]

    def batch(
        self, indices: Sequence[int], device: torch.device
    ) -> tuple[Float[Tensor, "batch pos d_llm"], Bool[Tensor, "batch pos"], Tensor, Int[Tensor, "batch pos"]]:
        """Padded hidden states, their mask, the true (centred) windows, and which each is, -1 where there is none."""
        width = max(len(self.hidden[i]) for i in indices)
        hidden = torch.zeros(len(indices), width, self.hidden[0].shape[1])
        is_token = torch.zeros(len(indices), width, dtype=torch.bool)
        window = torch.full((len(indices), width), -1, dtype=torch.long)
        for b, i in enumerate(indices):
            length = len(self.hidden[i])
            hidden[b, :length] = self.hidden[i]
            is_token[b, :length] = True
            window[b, :length] = self.windows.index[i]
        true = center(self.windows.embeddings[window.clamp(min=0)], self.mean)
        return hidden.to(device), is_token.to(device), true.to(device), window.to(device)


@torch.no_grad()
def hook_states(
    llm: LanguageModel,
    rows: Sequence[Row],
    *,
    hook_layer: int,
    packed: bool = False,
    known: ReferenceStates | None = None,
) -> tuple[Float[Tensor, "_ d_llm"], ...]:
    """States of each row at the hook layer of the LLM as it is now, float32 on the CPU or in a file.

    Args:
        packed: read several texts in one row, where the model can.
        known: of the same rows, with what frozen blocks made of them.
    """
    lengths = [len(row.ids) for row in rows]

    def build(_: list[str], put: Put) -> None:
        for start in range(0, len(rows), _BATCH_SIZE):
            chosen = list(range(start, min(start + _BATCH_SIZE, len(rows))))
            batch = collate(rows, chosen, pad_id=llm.pad_id, device=llm.device)
            frozen = None if known is None else known.padded_frozen(batch)
            states = read_batch_to_hook(llm, batch, hook_layer, packed=packed, frozen=frozen).float().cpu()
            for b, i in enumerate(chosen):
                put("hidden", states[b, : lengths[i]])

    width = llm.model.config.get_text_config().hidden_size
    hidden = built_arrays({"hidden": (sum(lengths), width)}, build)["hidden"]
    return tuple(hidden.split(lengths))


def align_data(
    llm: LanguageModel,
    materials: Materials,
    *,
    is_reference: bool,
    autocast: Autocast,
) -> tuple[AlignData, AlignData]:
    """Training and held-out data of an align stage, from the LLM as it is now.

    Args:
        is_reference: whether it has not moved yet, so that its states are the references'.
        autocast: precision of the states where it has.
    """
    mean = materials.mean
    assert mean is not None

    def states(rows: RowSet) -> tuple[Float[Tensor, "_ d_llm"], ...]:
        if is_reference:
            return rows.states.hook
        layer, packed = materials.hook_layer, materials.can_pack
        with autocast():
            return hook_states(llm, rows.rows, hook_layer=layer, packed=packed, known=rows.states)

    def data(first: RowSet, second: RowSet) -> AlignData:
        assert first.windows is not None
        assert second.windows is not None
        windows = first.windows.with_rows_of(second.windows)
        return AlignData(states(first) + states(second), windows, mean)

    return data(materials.forget, materials.retain), data(materials.held_out_forget, materials.held_out_retain)


def align_losses(
    predictor: Predictor,
    data: AlignData,
    indices: Sequence[int],
    *,
    contrastive_weight: float,
    device: torch.device,
    share: Share = ALONE,
) -> dict[str, Tensor]:
    """Loss parts of one align step on the texts `indices`; `total` is their weighted sum.

    Each is this process's share of the part: their mean over processes is that of all `indices`.
    """
    hidden, is_token, true, window = data.batch(share.of(indices), device)
    predicted, has_window = predictor(hidden, is_token), window >= 0
    amounts = [data.windows.count(i) for i in indices]
    alignment = alignment_loss((predicted * true).sum(dim=-1), has_window) * share.weight(amounts)
    parts = {"align/alignment": alignment}
    total = alignment
    if contrastive_weight > 0:
        # Each window must be told from those of the whole batch, wherever they are predicted.
        sizes = [sum(part) for part in share.parts(amounts)]
        flat = peers.rows_of_all(predicted[has_window], sizes)
        flat_true = peers.rows_of_all(true[has_window], sizes)
        flat_window = peers.rows_of_all(window[has_window], sizes)
        order = peers.from_main(lambda: torch.randperm(len(flat), device="cpu"))
        chosen = order[:_CONTRASTIVE_SIZE].to(device)
        contrastive = contrastive_loss(flat[chosen], flat_true[chosen], flat_window[chosen])
        parts["align/contrastive"] = contrastive
        total = total + contrastive_weight * contrastive
    return {"total": total, **parts}


@torch.no_grad()
def judge_predictor(
    predictor: Predictor, data: AlignData, constant: Float[Tensor, " d_enc"], *, device: torch.device
) -> dict[str, float]:
    """How well the predictor does on held-out text, next to the constant that ignores the input.

    Args:
        data: held-out rows.
        constant: the unit vector with the highest mean cosine on the *training* windows.

    Returns:
        `align/held_out_cosine`, `align/constant_cosine`, and `align/retrieval_top1`: how often the true window
        is ranked first among up to `RETRIEVAL_SIZE` held-out ones (identical windows count as one).
    """
    predictor.eval()
    predicted, true = [], []
    for i in range(len(data.hidden)):
        hidden, is_token, target, window = data.batch([i], device)
        has_window = window >= 0
        predicted.append(predictor(hidden, is_token)[has_window].cpu())
        true.append(target[has_window].cpu())
    predictor.train()
    p, t = torch.cat(predicted), torch.cat(true)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(p), generator=generator)[:RETRIEVAL_SIZE]
    scores = p[chosen] @ t[chosen].T
    is_best = scores.diagonal() >= scores.max(dim=1).values - 1e-6
    return {
        "align/held_out_cosine": float((p * t).sum(dim=-1).mean()),
        "align/constant_cosine": float((t @ constant).mean()),
        "align/retrieval_top1": float(is_best.float().mean()),
    }


def best_constant(windows: Windows, mean: Float[Tensor, " d_enc"]) -> Float[Tensor, " d_enc"]:
    """The one vector that is nearest to all training windows: their mean direction."""
    return torch.nn.functional.normalize(windows.mean(lambda embeddings: center(embeddings, mean)), dim=0)


def check_gain(signals: Mapping[str, float], wanted: float | None) -> None:
    """Raise UserError where the predictor beats a constant by less held-out cosine than `wanted` (None: any will do).

    Args:
        signals: of `judge_predictor`.
    """
    held_out, constant = signals["align/held_out_cosine"], signals["align/constant_cosine"]
    if wanted is not None and held_out - constant < wanted:
        raise UserError(
            f"The predictor has learnt too little to steer by: cosine {held_out:.3f} on held-out text, {constant:.3f} "
            f"for a constant; task.min_predictor_gain asks for {wanted:g} more. Give it more text (data.corpus) or "
            "more steps (task.first_stage_steps)."
        )
