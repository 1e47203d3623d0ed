"""What `perf/bench.py` compares: a step as it is done here, and the same step as the released code does it.

The released ways are re-stated from what that code does. Both sides have the same model, texts, predictor, loss and
moving parameters, so that they differ in the way alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD, AdamW, Optimizer

from atu.benchmarks.catalog import build_benchmark
from atu.config import RunConfig
from atu.embedding.encoder import TextEncoder, load_encoder
from atu.embedding.predictor import Predictor, build_predictor
from atu.embedding.target import Concept, center
from atu.embedding.windows import window_starts
from atu.errors import UserError
from atu.methods.align import AlignData, align_losses
from atu.methods.config import StageConfig
from atu.methods.layers import resolve_hook_layer
from atu.methods.losses import alignment_loss
from atu.methods.materials import Materials, RowSet
from atu.methods.references import reference_states
from atu.methods.subspace import chosen_directions, find_directions
from atu.methods.terms.push import Push, push_loss
from atu.methods.unlearning import Unlearning
from atu.models.adapters import add_subspace
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.models.rows import Batch, batch_indices, collate
from atu.preparation import prepare
from atu.runs.progress import RunProgress
from atu.training.device import Compute
from atu.training.parameters import trainable_parameters

Work = Callable[[], float]
"""Does it once; the loss, or another number that both ways must agree on."""
TEXTS = 8
"""In a step."""
_STILL = 1e-12
"""Learning rate at which each step of a series finds the same weights, as float32 has them."""
_TAU = -1.0
"""No cosine is below it, so the hinge gives every position a gradient."""


@contextmanager
def one_line_errors() -> Iterator[None]:
    """What the user can mend ends the program with one line."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


@dataclass(frozen=True)
class Pair:
    """The same work in two ways."""

    ours: Work
    reference: Work


@dataclass(frozen=True)
class Bench:
    """Model, encoder and materials of a run."""

    config: RunConfig
    llm: LanguageModel
    encoder: TextEncoder
    materials: Materials

    @classmethod
    def prepare(cls, config: RunConfig, compute: Compute) -> Bench:
        """As a run prepares itself: corpus, references and windows that are in the cache are not made again."""
        target = build_benchmark(config.data).target(config.unlearning_target)
        llm = load_language_model(config.pre_trained_llm, device=str(compute.device))
        with RunProgress(Console(stderr=True)) as progress:
            materials = prepare(config, llm, target, compute, progress)
        return cls(config, llm, load_encoder(config.text_encoder, device=str(llm.device)), materials)

    def align_step(self) -> Pair:
        """A step of the predictor: on cached states and windows, or with the model and the encoder run anew."""
        forget, mean = self.materials.forget, self.materials.mean
        assert forget.windows is not None
        assert mean is not None
        data = AlignData(forget.states.hook, forget.windows, mean)
        predictor, released = self.predictor().eval(), self.predictor().eval()  # no dropout: one loss for both
        texts, device = self._texts(), self.llm.device

        def ours() -> Tensor:
            return align_losses(predictor, data, texts, contrastive_weight=0.0, device=device)["total"]

        def reference() -> Tensor:
            batch = self._batch()
            with torch.no_grad():
                hidden = self._hidden(batch, self.materials.hook_layer)
            windows, places = self._windows(texts)
            true = center(self.encoder.embed_ids(windows, form=self.encoder.config.token_form), mean)
            found = released(hidden, batch.is_token)[tuple(torch.tensor(places, device=device).T)]
            cosine = (found * true.to(device)).sum(dim=-1)
            return alignment_loss(cosine, torch.ones_like(cosine, dtype=torch.bool))

        return Pair(
            whole_step(ours, AdamW(predictor.parameters(), lr=_STILL)),
            whole_step(reference, AdamW(released.parameters(), lr=_STILL)),
        )

    def push_step(self, hook: float) -> Pair:
        """A step of the paper's unlearn loss: packed and up to the hook, or the whole model with all its logits."""
        layer = resolve_hook_layer(hook, self.llm.model.config.get_text_config().num_hidden_layers)
        term = Push()
        module = replace(self.config.task.training_module, first_trained_layer=0, forget_batch_size=TEXTS)
        task = replace(
            self.config.task,
            training_module=module,
            objective={"push": term},
        )
        stage = StageConfig(type="unlearning", steps=1, threshold=_TAU)
        assert self.materials.mean is not None
        concept = torch.eye(len(self.materials.mean))[0]  # any direction takes as long
        materials = replace(_from_the_tokens(self.materials), hook_layer=layer, concepts={term: Concept(concept)})
        predictor = self.predictor().requires_grad_(False).eval()
        unlearning = Unlearning(self.llm, task, materials, predictor)
        assert materials.forget.windows is not None
        concept, windows = concept.to(self.llm.device), materials.forget.windows

        def ours() -> Tensor:
            return unlearning.losses(stage, 0, self.config.seed)["total"]

        def reference() -> Tensor:
            batch = self._batch()
            self._windows(self._texts())  # built in each step and not used
            counts = windows.mask(batch.indices, batch.ids.shape[1]).to(batch.ids.device)
            return push_loss(predictor(self._hidden(batch, layer), batch.is_token) @ concept, _TAU, counts)

        return Pair(*(whole_step(losses, self._sgd(layers=None)) for losses in (ours, reference)))

    def default_step(self) -> Pair:
        """An unlearn step of the config's task: as it is done, or padded and from the tokens on.

        Where a forget subspace is what moves, it moves in both, and the LLM keeps its adapters from then on.
        """
        module = self.config.task.training_module
        if module.moves == "subspace":
            found = find_directions(self.llm, self.materials, module.subspace, progress=lambda what: None)
            least, most = module.subspace.min_ratio, module.subspace.max_rank
            add_subspace(self.llm.model, chosen_directions(found, min_ratio=least, max_rank=most))
        predictor = self.predictor().requires_grad_(False).eval()
        stage = next(stage for stage in self.config.task.stages if stage.type == "unlearning")
        works = []
        for materials in (self.materials, replace(_from_the_tokens(self.materials), can_pack=False)):
            unlearning = Unlearning(self.llm, self.config.task, materials, predictor)
            optimizer = self._sgd(layers=self.materials.trained_layers)
            works.append(whole_step(_total_of(unlearning, stage, self.config.seed), optimizer))
        return Pair(*works)

    def embed_windows(self, num_texts: int) -> Pair:
        """All windows of some texts: each distinct one once and many in a call, or one call for each."""
        windows, _ = self._windows(range(min(num_texts, len(self.materials.forget.rows))))
        form = self.encoder.config.token_form

        def ours() -> float:
            place: dict[tuple[int, ...], int] = {}
            index = [place.setdefault(tuple(window), len(place)) for window in windows]
            return float(self.encoder.embed_ids(list(place), form=form)[index].sum())

        def reference() -> float:
            return float(torch.cat([self.encoder.embed_ids([window], form=form) for window in windows]).sum())

        return Pair(ours, reference)

    def read_references(self, num_texts: int) -> Work:
        """The reference model's reading of some texts, with no cache."""
        materials, rows = self.materials, self.materials.forget.rows[:num_texts]
        unknown = replace(self.llm, provenance={})

        def work() -> float:
            states = reference_states(
                unknown,
                rows,
                hook_layer=materials.hook_layer,
                frozen_blocks=materials.forget.states.frozen_blocks,
                packed=materials.can_pack,
            )
            return float(states.final[0][0, 0])

        return work

    def num_texts(self) -> tuple[int, int]:
        """Texts in all, and how often the reference model reads one: forget texts also with the concept hidden."""
        materials = self.materials
        sets = (materials.forget, materials.retain, materials.held_out_forget, materials.held_out_retain)
        count = sum(len(rows.rows) for rows in sets)
        return count, count + (len(materials.forget.rows) if materials.forget.blind is not None else 0)

    def _texts(self) -> list[int]:
        return batch_indices(len(self.materials.forget.rows), TEXTS, 0, self.config.seed)

    def _batch(self) -> Batch:
        rows = self.materials.forget.rows
        return collate(rows, self._texts(), pad_id=self.llm.pad_id, device=self.llm.device)

    def _hidden(self, batch: Batch, layer: int) -> Tensor:
        """States at a layer as the released code gets them: by a whole forward pass, logits of every position too."""
        output = self.llm.model(
            input_ids=batch.ids, attention_mask=batch.is_token, output_hidden_states=True, use_cache=False
        )
        hidden: Tensor = output.hidden_states[layer]
        return hidden

    def _windows(self, texts: Sequence[int]) -> tuple[list[list[int]], list[tuple[int, int]]]:
        """Encoder tokens of each window of some texts; and the text, by its place in `texts`, and position of each."""
        windows, places = [], []
        k = self.encoder.config.window_tokens
        for b, i in enumerate(texts):
            row = self.materials.forget.rows[i]
            ids, starts = self.encoder.token_offsets(row.string[row.body_start :])
            for t, start in enumerate(window_starts(row, starts, self.encoder.config.shortest_window)):
                if start >= 0:
                    windows.append(ids[start : start + k])
                    places.append((b, t))
        return windows, places

    def predictor(self) -> Predictor:
        """An untrained one of the config's kind, between this model and this encoder."""
        assert self.materials.mean is not None
        return build_predictor(
            self.config.embedding_prediction_model,
            d_llm=self.llm.model.config.get_text_config().hidden_size,
            d_enc=len(self.materials.mean),
            seed=self.config.seed,
        ).to(self.llm.device)

    def _sgd(self, *, layers: range | None) -> Optimizer:
        return SGD(trainable_parameters(self.llm, train_embeddings=False, layers=layers).values(), lr=_STILL)


def _from_the_tokens(materials: Materials) -> Materials:
    """The same, but a pass begins at the tokens, not behind the frozen blocks."""

    def whole(rows: RowSet) -> RowSet:
        return replace(rows, states=replace(rows.states, frozen=(), frozen_blocks=0))

    trained = range(materials.trained_layers.stop)
    return replace(materials, forget=whole(materials.forget), retain=whole(materials.retain), trained_layers=trained)


def _total_of(unlearning: Unlearning, stage: StageConfig, seed: int) -> Callable[[], Tensor]:
    return lambda: unlearning.losses(stage, 0, seed)["total"]


def whole_step(losses: Callable[[], Tensor], optimizer: Optimizer) -> Work:
    """One whole step of training; its loss."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def work() -> float:
        loss = losses()
        loss.backward()
        clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())

    return work
