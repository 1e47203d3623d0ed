"""Configuration of the sentence encoder and of the embedding predictor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from atu.errors import UserError
from atu.models.config import PackageFile
from atu.typed import check_sizes

TokenForm = Literal["sentence", "bare"]


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """A frozen sentence encoder with mean pooling."""

    name: str
    model_name: str
    """Hub id or local folder."""
    revision: str | None = None
    packages: tuple[PackageFile, ...] = ()
    """Where the files lie inside PyPI packages, for machines without a hub."""
    window_tokens: int = 8
    """k: encoder tokens in one target window (paper: 8)."""
    min_window_tokens: int | None = None
    """Fewest encoder tokens of a window that ends with its text; None takes windows of k tokens alone, as the paper
    does, so that a question with a shorter answer has none."""
    token_form: TokenForm = "sentence"
    """`sentence` puts the encoder's special tokens around windows and targets alike; `bare` leaves them
    out of the windows only, as the released code does."""
    center: bool = True
    """Remove the corpus mean from every embedding, so that unrelated text scores about 0."""
    batch_size: int = 256
    """Windows in one encoder call."""

    def __post_init__(self) -> None:
        check_sizes(self, {"window_tokens": 10**6, "batch_size": 10**6})
        if self.min_window_tokens is not None and not 1 <= self.min_window_tokens <= self.window_tokens:
            raise UserError(
                f"min_window_tokens must lie in [1, window_tokens = {self.window_tokens}], not "
                f"{self.min_window_tokens}; null takes full windows alone."
            )

    @property
    def shortest_window(self) -> int:
        """Fewest encoder tokens that a window holds."""
        return self.window_tokens if self.min_window_tokens is None else self.min_window_tokens

    def too_long(self, texts: str) -> str:
        """The message where none of some texts of the corpus holds a window."""
        key = "window_tokens" if self.min_window_tokens is None else "min_window_tokens"
        return (
            f"text_encoder.{key}={self.shortest_window} is longer than {texts} of the corpus: lower it or give longer "
            "texts."
        )


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """The network that reads hidden states up to t and predicts the embedding of the tokens after t."""

    name: str
    hidden_dim: int = 256
    num_heads: int = 4
    num_layers: int = 1
    dropout: float = 0.1
    causal: bool = True
    """False reproduces the released predictor, which attends to the tokens it should predict."""

    def __post_init__(self) -> None:
        check_sizes(self, {"hidden_dim": 2**16, "num_heads": 2**16, "num_layers": 1000})
        if not 0 <= self.dropout < 1:
            raise UserError(f"dropout must lie in [0, 1), not {self.dropout}.")
        if self.hidden_dim % self.num_heads:
            raise UserError(f"hidden_dim ({self.hidden_dim}) must be a multiple of num_heads ({self.num_heads}).")
