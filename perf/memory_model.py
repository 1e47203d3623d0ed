"""How many bytes training takes: weights, gradients, optimiser state, and one batch's activations.

For models shaped like Llama (RMS norms, gated MLP, grouped-query attention, no biases), trained as here: token
embeddings and output head frozen, a frozen copy of the head for the reference logits, a forget pass and a retain pass
whose graphs live until one backward pass, a KL on the logits of the scored tokens of each. Adapters sit on every linear
layer of the blocks. Counted is what PyTorch's autograd keeps; `perf/memory.py --measure` compares with a real step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Weights = Literal["float32", "bfloat16", "int8", "nf4"]

_WEIGHT_BYTES = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0, "nf4": 0.5 + 4 / 64}
"""A weight of a linear layer in a block; nf4 has a float32 scale for 64 weights."""
_STATE_BYTES = {"adamw": 8.0, "adamw8bit": 2.0 + 8 / 256, "sgd": 0.0}
"""Of the optimiser for a trained number; 8-bit state has two float32 scales for 256 numbers."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a model's config says about its size."""

    vocab: int
    width: int
    inner: int
    """Width inside the MLP."""
    blocks: int
    heads: int
    kv_heads: int
    head_width: int
    tied: bool
    """Whether the output head is the token embedding."""

    @property
    def layers(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of a block's linear layers: q, k, v, o, gate, up, down."""
        d, f, q, kv = self.width, self.inner, self.heads * self.head_width, self.kv_heads * self.head_width
        return ((d, q), (d, kv), (d, kv), (q, d), (d, f), (d, f), (f, d))

    @property
    def in_blocks(self) -> int:
        """Weights of all linear layers of all blocks."""
        return self.blocks * sum(inputs * outputs for inputs, outputs in self.layers)

    @property
    def in_norms(self) -> int:
        """Weights of all norms."""
        return (2 * self.blocks + 1) * self.width

    @property
    def in_head(self) -> int:
        """Weights of the output head; as many as in the token embedding."""
        return self.vocab * self.width

    @property
    def parameters(self) -> int:
        """All weights, tied ones once."""
        return self.in_blocks + self.in_norms + self.in_head * (1 if self.tied else 2)


@dataclass(frozen=True, kw_only=True)
class Setup:
    """How a model is trained."""

    weights: Weights = "float32"
    rank: int | None = None
    """Of the adapters; None = full fine-tuning."""
    subspace: bool = False
    """Whether their inner matrix stays, as in the forget subspace, so that no layer keeps its input."""
    optimizer: Literal["adamw", "adamw8bit", "sgd"] = "adamw"
    autocast: bool = False
    """Whether products are made in bfloat16."""
    checkpointing: bool = False
    foreach: bool = False
    """Whether the optimiser works on all tensors at once, as PyTorch's AdamW does on a GPU."""


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """Tokens of one step, padding included, and how many of them are scored."""

    forget_tokens: int
    retain_tokens: int
    forget_scored: int
    retain_scored: int

    @property
    def tokens(self) -> int:
        """Of both passes."""
        return self.forget_tokens + self.retain_tokens


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes. `peak` is less than the sum of the others: gradients come as activations go."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    """Of a batch, with the logits, where they are most."""
    peak: float


def estimate(shape: Shape, setup: Setup, batch: BatchSize) -> Memory:
    """Memory of an unlearn step after the first, when the optimiser has its state."""
    trained = trained_parameters(shape, setup)
    other = 2.0 if setup.weights == "bfloat16" else 4.0
    weights = (
        shape.in_blocks * _WEIGHT_BYTES[setup.weights]
        + (shape.parameters - shape.in_blocks + shape.in_head) * other
        + 4.0 * in_adapters(shape, setup)
    )
    bytes_of_trained = 4.0 if setup.rank is not None else other
    gradients = bytes_of_trained * trained
    optimizer = _STATE_BYTES[setup.optimizer] * trained * (bytes_of_trained / 4 if setup.optimizer == "adamw" else 1)
    block = block_bytes(shape, setup) * batch.tokens
    kept = _kept_bytes(shape, setup, batch)
    most_logits, kept_logits = _logit_bytes(shape, setup, batch)
    recomputed = block if setup.checkpointing else 0.0
    largest = max(max(inputs * outputs for inputs, outputs in shape.layers), 1)
    scratch = bytes_of_trained * (trained if setup.foreach else (2 * largest if setup.rank is None else 0))
    activations = max(kept + most_logits, kept + kept_logits + recomputed)
    held = weights + optimizer
    peak = held + max(activations, gradients + block, gradients + scratch)
    return Memory(weights=weights, gradients=gradients, optimizer=optimizer, activations=activations, peak=peak)


def trained_parameters(shape: Shape, setup: Setup) -> int:
    """How many numbers move."""
    if setup.rank is None:
        return shape.in_blocks + shape.in_norms
    if setup.subspace:
        return shape.blocks * setup.rank * sum(outputs for _, outputs in shape.layers)
    return in_adapters(shape, setup)


def in_adapters(shape: Shape, setup: Setup) -> int:
    """Numbers of both matrices of all adapters."""
    return shape.blocks * (setup.rank or 0) * sum(inputs + outputs for inputs, outputs in shape.layers)


def moment_bytes(shape: Shape) -> tuple[int, int]:
    """Of the second moments of a block, of forget and of retain texts: without its widest layer, `down`, and with it.

    q, k and v read the same, and so do gate and up.
    """
    narrow = 2 * shape.width**2 + (shape.heads * shape.head_width) ** 2
    return 2 * 4 * narrow, 2 * 4 * (narrow + shape.inner**2)


def block_bytes(shape: Shape, setup: Setup) -> float:
    """What one block keeps of a token for the backward pass without checkpointing.

    float32: both norms keep their input, and what they made of it where their weight moves or an adapter reads it; the
    attention keeps q, k, v and its output, the MLP gate, up, their product and its input. Under autocast each linear
    layer keeps its own bfloat16 copy of its input, and all that follows it is bfloat16. In a subspace no layer's
    input is kept, neither what the norms made nor the MLP's product; int8 layers keep them all the same.
    """
    d, f = shape.width, shape.inner
    inside = 2 * (shape.heads + shape.kv_heads) * shape.head_width + 4 * f
    statistics = 4 * (shape.heads + 2)  # log-sum-exp of the attention, scales of the norms
    is_full = setup.rank is None
    ranks = 0 if setup.rank is None else 7 * setup.rank
    if setup.subspace and setup.weights != "int8":
        inside -= f
        made = 2 if setup.autocast else 4
        return 4 * 2 * d + made * (inside + ranks) + statistics
    if not setup.autocast:
        return 4 * ((6 if is_full else 4) * d + inside + ranks) + statistics
    # Quantised layers answer in the dtype of the residual stream, so gate, up and their product are float32.
    wide = 2 * 3 * f if setup.weights in ("int8", "nf4") else 0
    return 4 * (4 if is_full else 2) * d + 2 * ((5 if is_full else 6) * d + inside + ranks) + wide + statistics


def _kept_bytes(shape: Shape, setup: Setup, batch: BatchSize) -> float:
    """What the trunk keeps of a batch until the backward pass begins."""
    residual = 2 if setup.weights == "bfloat16" else 4
    if setup.checkpointing:
        # The inputs of all blocks and of the final norm. Copies of moving weights stay in autocast's cache.
        copied = _copied_head(shape, setup) + (_copied_weights(shape, setup) if setup.rank is None else 0.0)
        return residual * shape.width * (shape.blocks + 1) * batch.tokens + copied
    last_norm = 4 * (2 if setup.rank is None else 1) * shape.width
    activations = (shape.blocks * block_bytes(shape, setup) + last_norm) * batch.tokens
    return activations + _copied_weights(shape, setup) + _copied_head(shape, setup)


def _copied_weights(shape: Shape, setup: Setup) -> float:
    """bfloat16 copies that autocast makes of float32 weights: once a step of moving ones, in each pass of others."""
    if not setup.autocast or setup.weights != "float32":
        return 0.0
    return 2.0 * shape.in_blocks * (1 if setup.rank is None else 2)


def _copied_head(shape: Shape, setup: Setup) -> float:
    """The same of the output head, which is frozen."""
    return 2 * 2.0 * shape.in_head if setup.autocast and setup.weights != "bfloat16" else 0.0


def _logit_bytes(shape: Shape, setup: Setup, batch: BatchSize) -> tuple[float, float]:
    """Of the KL: most at once (in the retain term, the forget term's kept), and what the forget term keeps.

    The retain term's part is gone by the time that blocks are computed again: its backward pass comes first.

    A logit is there five times at most: the model's and the reference's, both as log-probabilities, and the reference's
    probability; where products are bfloat16, also a float32 copy of the model's. The model's log-probability and the
    reference's probability are kept for the backward pass.
    """
    first = 2 if setup.autocast or setup.weights == "bfloat16" else 4  # the logits themselves
    most, kept = 2 * first + 3 * 4 + (4 if first == 2 else 0), 2 * 4
    most_bytes = shape.vocab * (kept * batch.forget_scored + most * batch.retain_scored)
    return most_bytes, shape.vocab * kept * batch.forget_scored
