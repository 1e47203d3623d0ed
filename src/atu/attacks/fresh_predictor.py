"""A fresh embedding predictor: can a critic that unlearning never met read the answer before it is said?

The predictor of the align stage, trained anew on the model as it is: from the hidden states up to the end of a question
to the embedding of what comes next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.optim import AdamW

from atu.attacks.halves import Halves
from atu.attacks.linear_probe import Readings, ranked_above
from atu.attacks.states import prompt_ids
from atu.embedding.config import PredictorConfig
from atu.embedding.encoder import TextEncoder
from atu.embedding.predictor import Predictor, build_predictor
from atu.embedding.target import center
from atu.embedding.windows import Windows, embed_windows
from atu.evaluation.batching import eval_mode
from atu.evaluation.scorers import contains_any
from atu.methods.align import AlignData, align_losses, hook_states
from atu.models.hook import forward_to_hook
from atu.models.language_model import LanguageModel
from atu.models.packing import can_pack
from atu.models.rows import Row, batch_indices, build_rows
from atu.records import Probe, Target, Text
from atu.training.loop import train

_MAX_TOKENS = 256
_RATE, _BATCH, _CONTRASTIVE, _CLIP = 2e-3, 8, 0.1, 1.0
"""As in an align stage (config/task/unlearning_atu.yaml)."""
_FRESH = 7919
"""Added to the seed, so that no run's predictor began with the same weights."""


def readable_texts(target: Target, corpus: Sequence[Text], halves: Halves) -> list[Text]:
    """Texts that a reader may be trained on.

    Not those about the target, or with its name in them, in which an answer of the tested half stands. Others may use
    such a word: that "Denmark" is a word is no secret.
    """
    names = [target.name, *target.aliases]
    return [
        text
        for text in corpus
        if halves.is_clean(f"{text.prompt or ''}\n{text.text}")
        or not (text.subject in names or contains_any(f"{text.prompt or ''}\n{text.text}", names))
    ]


@dataclass(frozen=True)
class FreshPredictor:
    """Trains a predictor for any layer of a model, and reads answers with it."""

    llm: LanguageModel
    encoder: TextEncoder
    texts: Sequence[Text]
    steps: int
    seed: int

    def read(self, layer: int, tested: Sequence[Probe], unknown: Sequence[Probe]) -> Readings:
        """How often the answer is nearer to the prediction than the answers to the other tested questions are.

        `unknown`: the same questions about a name that nobody bears.
        """
        predictor = self._train(layer)
        true = self._embed([probe.references[0] for probe in tested])
        target, nobody = (_predict(self.llm, predictor, layer, probes) @ true.T for probes in (tested, unknown))
        return Readings(
            [_rank(row, i, tested) for i, row in enumerate(target.tolist())],
            [_rank(row, i, tested) for i, row in enumerate(nobody.tolist())],
            target.diagonal().tolist(),
        )

    @cached_property
    def _rows(self) -> list[Row]:
        return build_rows(self.llm, self.texts, max_tokens=_MAX_TOKENS)

    @cached_property
    def _windows(self) -> Windows:
        return embed_windows(self.encoder, self._rows)

    @cached_property
    def _mean(self) -> Float[Tensor, " d_enc"]:
        if not self.encoder.config.center:
            return torch.zeros(self.encoder.dim)
        return self._windows.mean()

    def _embed(self, answers: Sequence[str]) -> Float[Tensor, "answers d_enc"]:
        config = self.encoder.config
        ids = [self.encoder.token_offsets(answer)[0][: config.window_tokens] for answer in answers]
        return center(self.encoder.embed_ids(ids, form=config.token_form), self._mean)

    def _train(self, layer: int) -> Predictor:
        llm = self.llm
        with eval_mode(llm.model):
            states = hook_states(llm, self._rows, hook_layer=layer, packed=can_pack(llm, self._rows))
        data = AlignData(states, self._windows, self._mean)
        width = llm.model.config.get_text_config().hidden_size
        predictor = build_predictor(
            PredictorConfig(name="fresh"), d_llm=width, d_enc=self.encoder.dim, seed=_FRESH + self.seed
        ).to(llm.device)

        def losses(step: int) -> dict[str, Tensor]:
            chosen = batch_indices(len(self._rows), _BATCH, step, self.seed)
            return align_losses(predictor, data, chosen, contrastive_weight=_CONTRASTIVE, device=llm.device)

        with torch.random.fork_rng():
            torch.manual_seed(_FRESH + self.seed)
            train(
                AdamW(predictor.parameters(), lr=_RATE, weight_decay=0.0),
                losses,
                steps=self.steps,
                rate=lambda step: _RATE,
                clip=_CLIP,
                not_finite=lambda number: (
                    f"A fresh predictor on '{llm.label}', layer {layer}, fails: its loss is not finite at step "
                    f"{number}. The weights of the model are damaged."
                ),
            )
        return predictor.eval()


def _predict(
    llm: LanguageModel, predictor: Predictor, layer: int, probes: Sequence[Probe]
) -> Float[Tensor, "probes d_enc"]:
    """What the predictor expects after each question; one at a time, since questions are few and short."""
    found = []
    with eval_mode(llm.model):
        for probe in probes:
            ids = torch.tensor([prompt_ids(llm, probe)], device=llm.device)
            is_token = torch.ones_like(ids, dtype=torch.bool)
            hidden = forward_to_hook(llm.model, ids, is_token, layer)
            found.append(predictor(hidden.float(), is_token)[0, -1].cpu())
    return torch.stack(found)


def _rank(cosines: Sequence[float], own: int, probes: Sequence[Probe]) -> float:
    """Share of the answers that would be wrong here which lie farther away than the right one."""
    wrong = {
        probe.references[0]: cosine
        for probe, cosine in zip(probes, cosines, strict=True)
        if not contains_any(probe.references[0], probes[own].references)
    }
    return ranked_above(cosines[own], list(wrong.values())) if wrong else 0.5
