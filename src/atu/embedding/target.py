"""What to forget, as a vector, and how near to it other text comes by itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from atu.embedding.encoder import TextEncoder
from atu.embedding.windows import Windows
from atu.records import Target


@dataclass(frozen=True)
class Concept:
    """A concept in the encoder's (centred) space."""

    vector: Float[Tensor, " d_enc"]
    """Of unit length."""
    tau: float | None = None
    """Calibrated threshold, a cosine in [-1, 1]; None where nobody has asked for one."""


@dataclass(frozen=True)
class ConceptSpace:
    """What a concept is placed in: the encoder, and the windows of texts about anything else."""

    encoder: TextEncoder
    target: Target
    others: Windows
    mean: Float[Tensor, " d_enc"]
    """Mean embedding of the corpus, zeros where embeddings are not centred."""

    def concept(self, form: str, percentile: float | None = None) -> Concept:
        """The concept as `concept_text` puts it, with `calibrated_threshold` where a percentile asks for one."""
        vector = concept_embedding(self.encoder, self.target, form, self.mean)
        if percentile is None:
            return Concept(vector)
        return Concept(vector, calibrated_threshold(self.others, self.mean, vector, percentile))


def concept_text(target: Target, form: str) -> str:
    """The text that stands for the concept: its name, or its name and description."""
    return target.name if form == "name" else f"{target.name}: {target.description}"


def concept_embedding(
    encoder: TextEncoder, target: Target, form: str, mean: Float[Tensor, " d_enc"]
) -> Float[Tensor, " d_enc"]:
    """Unit embedding of the concept in the centred space of the windows.

    Args:
        mean: mean embedding of the corpus, zeros where embeddings are not centred.
    """
    return normalize(encoder.embed_texts([concept_text(target, form)])[0] - mean, dim=0)


def center(embeddings: Float[Tensor, "*shape d_enc"], mean: Float[Tensor, " d_enc"]) -> Float[Tensor, "*shape d_enc"]:
    """Remove the corpus mean and scale back to unit length."""
    return normalize(embeddings - mean, dim=-1)


def calibrated_threshold(
    others: Windows, mean: Float[Tensor, " d_enc"], concept: Float[Tensor, " d_enc"], percentile: float
) -> float:
    """tau below which text is no nearer to the concept than other people's text is.

    Args:
        others: true windows of texts about other concepts; each position counts.
        mean: mean embedding of the corpus, zeros where embeddings are not centred.
        percentile: 0..100; 95 leaves one innocent window in twenty above tau.
    """
    cosines = others.scores(lambda embeddings: center(embeddings, mean) @ concept)
    return float(torch.quantile(cosines, percentile / 100.0))
