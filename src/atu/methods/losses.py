"""What several losses share, and those of the predictor: pure functions of tensors.

The loss of a term of the objective stands in its module (`methods/terms`).
"""

from __future__ import annotations

from atu.methods.lazy import Bool, Float, Int, functional, torch


def masked_mean(values: Float[torch.Tensor, "*shape"], mask: Bool[torch.Tensor, "*shape"]) -> Float[torch.Tensor, ""]:
    """Mean of `values` where `mask` is True; 0 (with a gradient path) where nothing is marked."""
    weights = mask.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1.0)


def alignment_loss(
    cosine: Float[torch.Tensor, "*shape"], mask: Bool[torch.Tensor, "*shape"]
) -> Float[torch.Tensor, ""]:
    """Mean of 1 - cos(e^_t, e_t) over positions with a full window.

    Source: Align-then-Unlearn, alignment loss. Differs: the released code minimises -cos, the same up to a
    constant.
    """
    return masked_mean(1.0 - cosine, mask)


def contrastive_loss(
    predicted: Float[torch.Tensor, "n d_enc"],
    true: Float[torch.Tensor, "n d_enc"],
    window: Int[torch.Tensor, " n"],
    temperature: float = 0.07,
) -> Float[torch.Tensor, ""]:
    """InfoNCE: each prediction must pick its own true window among those of the batch.

    Args:
        predicted, true: unit embeddings, row i of one belongs to row i of the other; without rows the loss is 0.
        window: which window a row of `true` is; rows of the same one are not told from each other.

    Source: van den Oord et al. 2018 (arXiv 1807.03748), equation 4, with a cosine score.
    """
    if len(predicted) == 0:  # a batch of texts too short to hold a window
        return predicted.sum()
    scores = predicted @ true.T / temperature
    place = torch.arange(len(scores), device=scores.device)
    is_same = (window[:, None] == window[None, :]) & (place[:, None] != place[None, :])
    return functional.cross_entropy(scores.masked_fill(is_same, float("-inf")), place)


def place_in_text(text: Int[torch.Tensor, " n"]) -> Int[torch.Tensor, " n"]:
    """Which token of its text each token is, from 0.

    Args:
        text: the text that each token is of, in ascending order.
    """
    return torch.arange(len(text), device=text.device) - torch.searchsorted(text, text)


def token_nll(logits: Float[torch.Tensor, "n vocab"], labels: Int[torch.Tensor, " n"]) -> Float[torch.Tensor, " n"]:
    """Negative log-likelihood of each label, nats."""
    return functional.cross_entropy(logits.float(), labels, reduction="none")


def sequence_nll(
    nll: Float[torch.Tensor, " n"], row: Int[torch.Tensor, " n"], num_rows: int
) -> Float[torch.Tensor, " rows"]:
    """Sum of token NLLs per sequence; `row[i]` is the sequence that token i belongs to."""
    return torch.zeros(num_rows, dtype=nll.dtype, device=nll.device).index_add(0, row, nll)


def nll_of_rows(
    nll: Float[torch.Tensor, " n"], row: Int[torch.Tensor, " n"], num_rows: int
) -> Float[torch.Tensor, " rows"]:
    """Mean token NLL of each sequence, nats per token."""
    return sequence_nll(nll, row, num_rows) / torch.bincount(row, minlength=num_rows)


def mean_nll_of_rows(
    nll: Float[torch.Tensor, " n"], row: Int[torch.Tensor, " n"], num_rows: int
) -> Float[torch.Tensor, ""]:
    """Nats per token: mean over the tokens of each row, then over rows, so that each row weighs the same."""
    return nll_of_rows(nll, row, num_rows).mean()


def kl_to_reference(
    logits: Float[torch.Tensor, "n vocab"], reference_logits: Float[torch.Tensor, "n vocab"]
) -> Float[torch.Tensor, ""]:
    """Mean KL(reference || model) over positions, nats per token; the reference is a constant.

    A reference logit of -inf (a token that the reference excludes) has probability 0 and adds nothing.
    """
    # In place: the logits of a batch fill hundreds of megabytes, and a copy takes as long as a log_softmax.
    with torch.no_grad():
        reference = functional.log_softmax(reference_logits.float(), dim=-1)
        probability = reference.exp()
        reference.masked_fill_(reference.isneginf(), 0.0)
    return reference.sub_(functional.log_softmax(logits.float(), dim=-1)).mul_(probability).sum(dim=-1).mean()
