"""What a term's loss reads in one step: readings of the step's texts, each made when a term first asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from atu.embedding.predictor import Predictor
from atu.embedding.target import Concept
from atu.methods.losses import sequence_nll, token_nll
from atu.methods.materials import Materials, RowSet
from atu.methods.references import marked, scored_labels, scored_states
from atu.methods.terms.base import Need, Term
from atu.models.hook import capture_hook, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.packing import read_batch, read_batch_to_hook
from atu.models.rows import Batch, collate

Counts = Bool[Tensor, " n"] | slice
"""Which of the n scored tokens count."""


@dataclass(frozen=True, eq=False)
class Reading:
    """Some texts as the model reads them now, with gradients, and as the reference read them, without.

    n is the number of their scored tokens, which stand text by text, each in its order.
    """

    llm: LanguageModel
    materials: Materials
    rows: RowSet
    indices: Sequence[int]
    """Of the texts in `rows`."""
    passes: Need = Need.LOGITS
    """`LOGITS`, `HOOK` or both: what the one pass is made for. To the hook layer alone it ends there."""

    @cached_property
    def batch(self) -> Batch:
        """The texts, padded on the right."""
        return collate(self.rows.rows, self.indices, pad_id=self.llm.pad_id, device=self.llm.device)

    @cached_property
    def _states(self) -> tuple[Float[Tensor, "batch pos d_llm"] | None, Float[Tensor, "batch pos d_llm"] | None]:
        """Final and hook states; no block is run for nothing, and none twice."""
        packed, frozen = self.materials.can_pack, self.rows.states.padded_frozen(self.batch)
        layer = self.materials.hook_layer
        if Need.LOGITS not in self.passes:
            return None, read_batch_to_hook(self.llm, self.batch, layer, packed=packed, frozen=frozen)
        if Need.HOOK not in self.passes:
            return read_batch(self.llm, self.batch, packed=packed, frozen=frozen)[0], None
        with capture_hook(self.llm.model, layer) as captured:
            final, in_batch_shape = read_batch(self.llm, self.batch, packed=packed, frozen=frozen)
        return final, in_batch_shape(captured.hidden)

    @property
    def states(self) -> Float[Tensor, "n d_llm"]:
        """The final states from which the scored tokens are predicted."""
        final, _ = self._states
        assert final is not None
        return scored_states(final, self.batch)

    @property
    def hook(self) -> Float[Tensor, "batch pos d_llm"]:
        """States at the hook layer; whatever stands on padding."""
        _, hook = self._states
        assert hook is not None
        return hook

    @cached_property
    def logits(self) -> Float[Tensor, "n vocab"]:
        """Logits at each scored token."""
        return logits_from_hidden(self.llm.model, self.states)

    def release(self) -> None:
        """Forget the logits, which fill hundreds of megabytes; they are computed again where they are asked for."""
        self.__dict__.pop("logits", None)

    @cached_property
    def _scored(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        return scored_labels(self.batch)

    @property
    def labels(self) -> Int[Tensor, " n"]:
        """Id of each scored token."""
        return self._scored[0]

    @property
    def text(self) -> Int[Tensor, " n"]:
        """Which text each scored token belongs to, from 0."""
        return self._scored[1]

    @cached_property
    def nll(self) -> Float[Tensor, " n"]:
        """Negative log-likelihood of each scored token, nats."""
        return token_nll(self.logits, self.labels)

    def nll_of_texts(self, counts: Counts = slice(None)) -> Float[Tensor, " batch"]:
        """NLL of each text, summed over those of its scored tokens that count, nats."""
        return sequence_nll(self.nll[counts], self.text[counts], len(self.indices))

    @property
    def ends_turn(self) -> Bool[Tensor, " n"]:
        """True at the tokens that end a turn."""
        return torch.isin(self.labels, torch.tensor(self.llm.end_ids, device=self.labels.device))

    @property
    def is_name(self) -> Bool[Tensor, " n"]:
        """True at the tokens of a name or number (`Need.NAMES`)."""
        return marked(self.batch, self.rows.named)[self.batch.is_scored]

    @property
    def may_repeat(self) -> Bool[Tensor, " n"]:
        """True at the tokens before which the text has said the concept's name (`Need.REPEATS`)."""
        first = torch.tensor([self.rows.repeats[i] for i in self.batch.indices], device=self.batch.ids.device)
        places = torch.arange(self.batch.ids.shape[1], device=self.batch.ids.device)
        return (places >= first[:, None])[self.batch.is_scored]

    @torch.no_grad()
    def reference_logits(self, counts: Counts = slice(None)) -> Float[Tensor, "_ vocab"]:
        """Logits of the reference at those scored tokens that count; not kept, since they are large."""
        logits: Tensor = self.materials.head(self.rows.states.gather_final(self.batch).to(self.llm.device)[counts])
        return logits

    @torch.no_grad()
    def reference_nll_of_texts(self, counts: Counts = slice(None)) -> Float[Tensor, " batch"]:
        """`nll_of_texts` under the reference."""
        nll = token_nll(self.reference_logits(counts), self.labels[counts])
        return sequence_nll(nll, self.text[counts], len(self.indices))

    def reference_hook(self) -> Float[Tensor, "batch pos d_llm"]:
        """States of the reference at the hook layer, zeros on padding."""
        return self.rows.states.padded_hook(self.batch).to(self.llm.device)

    @torch.no_grad()
    def blind_logits(self) -> Float[Tensor, "n vocab"]:
        """Logits of the reference that cannot see the concept's words."""
        assert self.rows.blind is not None
        logits: Tensor = self.materials.head(self.rows.blind.gather_final(self.batch).to(self.llm.device))
        return logits

    def blind_hook(self) -> Float[Tensor, "batch pos d_llm"]:
        """Its states at the hook layer, zeros on padding."""
        assert self.rows.blind is not None
        return self.rows.blind.padded_hook(self.batch).to(self.llm.device)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the losses of one step read: this process's texts of the batch. Only what a term `needs` may be read."""

    forget: Reading
    retain: Reading
    answers: Mapping[Term, Reading]
    """Of the terms that put answers in place of the forget texts: those of this batch, in its order."""
    seed: int
    """Of the run."""
    threshold: float | None = None
    """tau of the stage; None where it sets none."""
    predictor: Predictor | None = None
    """Its weights stand still."""
    reference_predictor: Predictor | None = None

    @property
    def materials(self) -> Materials:
        """What never changes."""
        return self.forget.materials

    @cached_property
    def predicted(self) -> Float[Tensor, "batch pos d_enc"]:
        """The embedding that the predictor reads from the forget texts' hook states."""
        return self.predict(self.forget.hook)

    def predict(self, hook: Float[Tensor, "batch pos d_llm"]) -> Float[Tensor, "batch pos d_enc"]:
        """The embedding that it would read from other states of the same texts."""
        assert self.predictor is not None
        predicted: Tensor = self.predictor(hook, self.forget.batch.is_token)
        return predicted

    @torch.no_grad()
    def reference_predict(self, hook: Float[Tensor, "batch pos d_llm"]) -> Float[Tensor, "batch pos d_enc"]:
        """The embedding that the predictor read after the first align stage (`Need.REFERENCE_PREDICTOR`)."""
        assert self.reference_predictor is not None
        predicted: Tensor = self.reference_predictor(hook, self.forget.batch.is_token)
        return predicted

    @property
    def has_window(self) -> Bool[Tensor, "batch pos"]:
        """Where the predictor is trained to say something: the positions of the forget texts that have a window.

        A batch may be without any; the mean over it is 0, and so are its gradients.
        """
        batch, windows = self.forget.batch, self.forget.rows.windows
        assert windows is not None
        return windows.mask(batch.indices, batch.ids.shape[1]).to(batch.ids.device)

    def instead(self, term: Term) -> Reading:
        """The answers that `term` puts in place of the forget texts of this batch, in their order."""
        return self.answers[term]

    def concept(self, term: Term) -> Concept:
        """What `term.concept` made before the first step."""
        return self.materials.concepts[term]
