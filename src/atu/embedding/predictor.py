"""The embedding predictor: from the LLM's hidden states up to t to the embedding of the tokens after t."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from atu.embedding.config import PredictorConfig


class CausalPredictor(nn.Module):
    """A small pre-norm transformer, e^_t = E(h_1..h_t) (paper, section 3).

    Output t depends on the states 1..t alone. The states carry the LLM's positions, so none are added.
    """

    def __init__(self, config: PredictorConfig, *, d_llm: int, d_enc: int) -> None:
        super().__init__()
        # Hidden states of late blocks differ in scale by orders of magnitude between models.
        self.norm_in = nn.LayerNorm(d_llm)
        self.project_in = nn.Linear(d_llm, config.hidden_dim)
        layer = nn.TransformerEncoderLayer(
            config.hidden_dim,
            config.num_heads,
            dim_feedforward=4 * config.hidden_dim,
            dropout=config.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.num_layers, enable_nested_tensor=False)
        self.norm_out = nn.LayerNorm(config.hidden_dim)
        self.project_out = nn.Linear(config.hidden_dim, d_enc)

    def forward(
        self, hidden: Float[Tensor, "batch pos d_llm"], is_token: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_enc"]:
        """Predicted embeddings of unit length, float32.

        Args:
            hidden: states at the hook layer.
            is_token: False on padding, which no position attends to.
        """
        x = self.project_in(self.norm_in(hidden))
        x = self.layers(x, mask=_future(hidden), src_key_padding_mask=~is_token, is_causal=True)
        predicted = self.project_out(self.norm_out(x))
        return nn.functional.normalize(predicted.float(), dim=-1)


class ReleasedPredictor(nn.Module):
    """The predictor of the released code: a decoder whose memory is its own input.

    Self-attention is causal, but cross-attention sees every position, so output t reads the states of the very
    tokens that it should predict. Kept to reproduce the paper's runs.
    """

    def __init__(self, config: PredictorConfig, *, d_llm: int, d_enc: int) -> None:
        super().__init__()
        self.project_in = nn.Linear(d_llm, config.hidden_dim)
        layer = nn.TransformerDecoderLayer(
            config.hidden_dim,
            config.num_heads,
            dim_feedforward=4 * config.hidden_dim,
            dropout=config.dropout,
            batch_first=True,
        )
        self.layers = nn.TransformerDecoder(layer, config.num_layers)
        self.project_out = nn.Linear(config.hidden_dim, d_enc)

    def forward(
        self, hidden: Float[Tensor, "batch pos d_llm"], is_token: Bool[Tensor, "batch pos"]
    ) -> Float[Tensor, "batch pos d_enc"]:
        """Predicted embeddings of unit length, float32; arguments as for `CausalPredictor`."""
        x = self.project_in(hidden)
        x = self.layers(x, x, tgt_mask=_future(hidden), memory_key_padding_mask=~is_token)
        return nn.functional.normalize(self.project_out(x).float(), dim=-1)


Predictor = CausalPredictor | ReleasedPredictor


def build_predictor(config: PredictorConfig, *, d_llm: int, d_enc: int, seed: int) -> Predictor:
    """A freshly initialised predictor; the same seed gives the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        kind = CausalPredictor if config.causal else ReleasedPredictor
        return kind(config, d_llm=d_llm, d_enc=d_enc)


def _future(hidden: Tensor) -> Bool[Tensor, "pos pos"]:
    """True where a position may not look: at those after it."""
    width = hidden.shape[1]
    return torch.ones(width, width, dtype=torch.bool, device=hidden.device).triu(1)
