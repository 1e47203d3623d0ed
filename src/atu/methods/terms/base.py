"""What every term of the unlearn loss says of itself."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from atu.errors import UserError
from atu.methods.lazy import Float, torch
from atu.records import Look, Text, Words

if TYPE_CHECKING:
    from atu.embedding.target import Concept, ConceptSpace
    from atu.methods.inputs import Inputs
    from atu.methods.materials import Progress, RowSet
    from atu.models.language_model import LanguageModel


class Need(enum.Flag):
    """What terms read. A step computes, and the materials hold, what some term of the task needs and nothing else.

    "Reference" is the model as it was before the first step; "blind" is the reference with the concept's words hidden
    from it.
    """

    LOGITS = enum.auto()
    """What the model says on the forget texts: `inputs.forget.logits`."""
    HOOK = enum.auto()
    """Its states there at the hook layer: `inputs.forget.hook`."""
    INSTEAD = enum.auto()
    """What it says on the answers that the term puts in place of the forget texts: `inputs.instead(self).logits`."""
    RETAIN = enum.auto()
    """What it says on the retain texts: `inputs.retain.logits`."""
    REFERENCE_LOGITS = enum.auto()
    """`inputs.forget.reference_logits()`."""
    REFERENCE_HOOK = enum.auto()
    """`inputs.forget.reference_hook()`."""
    REFERENCE_INSTEAD = enum.auto()
    """`inputs.instead(self).reference_logits()`."""
    REFERENCE_RETAIN = enum.auto()
    """`inputs.retain.reference_logits()`."""
    BLIND_LOGITS = enum.auto()
    """`inputs.forget.blind_logits()`."""
    BLIND_HOOK = enum.auto()
    """`inputs.forget.blind_hook()`."""
    PREDICTOR = enum.auto()
    """A trained predictor, and with it encoder, windows and align stages: `inputs.predicted`, `inputs.has_window`."""
    REFERENCE_PREDICTOR = enum.auto()
    """The predictor as it was after the first align stage: `inputs.reference_predictor`."""
    STAGE_THRESHOLD = enum.auto()
    """The tau that an unlearn stage may set: `inputs.threshold`."""
    CONCEPT_TOKENS = enum.auto()
    """At least one token that says a word of the concept alone (`inputs.materials.concept_ids`)."""
    NAMES = enum.auto()
    """Where the forget texts hold names and numbers: `inputs.forget.is_name`."""
    REPEATS = enum.auto()
    """Where the forget texts have said the concept's name before: `inputs.forget.may_repeat`."""
    FILLED_TEXTS = enum.auto()
    """Texts filled up to `max_input_length` with end tokens that are read as text; for a term that stands alone."""

    FORGET_TEXTS = LOGITS | HOOK
    """The model reads the forget texts in a step."""
    ABOVE_HOOK = LOGITS | INSTEAD | RETAIN
    """It runs above the hook layer."""
    BLIND = BLIND_LOGITS | BLIND_HOOK
    """The blind reference reads the forget texts before the first step."""


@dataclass(frozen=True, kw_only=True)
class Term(ABC):
    """One term of the unlearn loss: its options are the fields, what they do is `loss`.

    A term is a module of this folder and a line of `TERMS`. It holds the pure function with formula and source, and
    a frozen dataclass that calls it.
    """

    weight: float = 1.0
    """Factor in the total; 0 leaves the term out, as if its key were not there."""

    texts: ClassVar[Literal["forget", "instead", "retain"]] = "forget"
    """Those of a step over which the mean of the loss runs; `instead` are the term's own answers."""

    look: ClassVar[Look | None] = None
    """Of a method whose first term it is; None chooses one by the method's name."""

    def __post_init__(self) -> None:
        not_negative(weight=self.weight)

    @property
    @abstractmethod
    def needs(self) -> Need:
        """What the loss reads, which may depend on the options."""

    @property
    @abstractmethod
    def label(self) -> Words:
        """A few words for tables and manifests."""

    @property
    @abstractmethod
    def sentence(self) -> Words:
        """What the term does, in one sentence for pages."""

    def amount(self, rows: RowSet, index: int) -> int:
        """How much of the loss's mean one text is: its scored tokens, unless the mean runs over something else.

        By it the means of the processes that share a batch add up to the mean of the batch.

        Args:
            rows: the rows of `texts`.
            index: of the text in `rows`.
        """
        return rows.num_scored(index)

    @abstractmethod
    def loss(self, inputs: Inputs) -> Float[torch.Tensor, ""]:
        """The unweighted loss on this process's texts of one step, with a path to the model's gradients."""

    def concept(self, space: ConceptSpace) -> Concept | None:
        """The concept in the encoder's space, for a term that compares with it: `inputs.concept(self)`.

        Computed once, before the first step; of a term that needs `PREDICTOR`.
        """
        return None

    def instead(self, llm: LanguageModel, texts: Sequence[Text], seed: int, progress: Progress) -> Sequence[Text]:
        """For a term that needs `INSTEAD`: other answers in place of the forget texts, one each, in their order.

        Made once, before the first step.

        Args:
            llm: the reference.
            texts: the forget texts.
            seed: of the run.
            progress: shows how far it is.
        """
        raise NotImplementedError


def not_negative(**options: float) -> None:
    """Refuse options below 0.

    Raises:
        UserError: names the option.
    """
    for name, value in options.items():
        if not value >= 0:
            raise UserError(f"{name} must not be negative.")


def positive(**options: float) -> None:
    """Refuse options that are 0 or less.

    Raises:
        UserError: names the option.
    """
    for name, value in options.items():
        if not value > 0:
            raise UserError(f"{name} must be positive.")
