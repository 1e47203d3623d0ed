"""The losses: pure functions of tensors. Every mean runs over the positions that a mask marks as True."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax, logsigmoid, relu


def masked_mean(values: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean of `values` where `mask` is True; 0 (with a gradient path) where nothing is marked."""
    weights = mask.to(values.dtype)
    return (values * weights).sum() / weights.sum().clamp(min=1.0)


def alignment_loss(cosine: Float[Tensor, "*shape"], mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean of 1 - cos(e^_t, e_t) over positions with a full window.

    Source: Align-then-Unlearn, alignment loss. Differs: the released code minimises -cos, the same up to a
    constant.
    """
    return masked_mean(1.0 - cosine, mask)


def contrastive_loss(
    predicted: Float[Tensor, "n d_enc"],
    true: Float[Tensor, "n d_enc"],
    window: Int[Tensor, " n"],
    temperature: float = 0.07,
) -> Float[Tensor, ""]:
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
    return cross_entropy(scores.masked_fill(is_same, float("-inf")), place)


def push_loss(cosine: Float[Tensor, "*shape"], tau: float, mask: Bool[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Hinge max(0, cos(e^_t, e_u) - tau): moves the prediction away from the concept e_u, down to tau.

    Source: Align-then-Unlearn, unlearning loss.
    """
    return masked_mean(relu(cosine - tau), mask)


def redirect_loss(
    predicted: Float[Tensor, "batch pos d_enc"],
    reference: Float[Tensor, "batch pos d_enc"],
    mask: Bool[Tensor, "batch pos"],
) -> Float[Tensor, ""]:
    """1 - cos to the embedding that the untouched model predicts when it cannot see the concept's words.

    Bounded and zero once reached, where a push has no natural end.
    """
    return masked_mean(1.0 - (predicted * reference).sum(dim=-1), mask)


def enpo_loss(
    cosine: Float[Tensor, "*shape"],
    reference_cosine: Float[Tensor, "*shape"],
    beta: float,
    mask: Bool[Tensor, "*shape"],
) -> Float[Tensor, ""]:
    """-(1/beta) mean log sigmoid(-beta D) with D = cos(e^_t, e_u) - cos(e_ref_t, e_u).

    Source: the ENPO variant of Align-then-Unlearn. Differs: the reference is the original model throughout
    (the variant re-copies it before each stage), and unmarked positions add nothing.
    """
    return masked_mean(-logsigmoid(-beta * (cosine - reference_cosine)) / beta, mask)


def random_direction(dim: int, seed: int) -> Float[Tensor, " dim"]:
    """The unit vector of `seed` whose entries are uniform in [0, 1) before it is scaled.

    Source: Li et al. 2024 (arXiv 2403.03218), RMU's u.
    """
    entries = torch.rand(dim, generator=torch.Generator().manual_seed(seed))
    direction: Tensor = entries / entries.norm()
    return direction


def rmu_loss(
    hidden: Float[Tensor, "batch pos d_llm"],
    direction: Float[Tensor, " d_llm"],
    length: Float[Tensor, "batch pos"],
    mask: Bool[Tensor, "batch pos"],
) -> Float[Tensor, ""]:
    """Mean squared difference, over positions and components, between h_t and c_t u.

    Args:
        hidden: states at the hook layer.
        direction: u, a unit vector.
        length: c_t; the same everywhere, or a multiple of the original state's norm.

    Source: Li et al. 2024 (arXiv 2403.03218), RMU's forget loss; length in proportion to the norm: Dang et al. 2024
    (arXiv 2408.06223), Adaptive RMU. Differs: the mean over components too, as in the released code, where the paper
    has their sum.
    """
    return masked_mean((hidden.float() - length.unsqueeze(-1) * direction).square().mean(dim=-1), mask)


def token_nll(logits: Float[Tensor, "n vocab"], labels: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Negative log-likelihood of each label, nats."""
    return cross_entropy(logits.float(), labels, reduction="none")


def sequence_nll(nll: Float[Tensor, " n"], row: Int[Tensor, " n"], num_rows: int) -> Float[Tensor, " rows"]:
    """Sum of token NLLs per sequence; `row[i]` is the sequence that token i belongs to."""
    return torch.zeros(num_rows, dtype=nll.dtype, device=nll.device).index_add(0, row, nll)


def nll_of_rows(nll: Float[Tensor, " n"], row: Int[Tensor, " n"], num_rows: int) -> Float[Tensor, " rows"]:
    """Mean token NLL of each sequence, nats per token."""
    return sequence_nll(nll, row, num_rows) / torch.bincount(row, minlength=num_rows)


def mean_nll_of_rows(nll: Float[Tensor, " n"], row: Int[Tensor, " n"], num_rows: int) -> Float[Tensor, ""]:
    """Nats per token: mean over the tokens of each row, then over rows, so that each row weighs the same."""
    return nll_of_rows(nll, row, num_rows).mean()


def ga_loss(nll: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Gradient ascent: minus the mean token NLL of the forget texts (unbounded below).

    Source: Jang et al. 2023 (arXiv 2210.01504), equation 1.
    """
    return -nll.mean()


def npo_loss(nll: Float[Tensor, " rows"], reference_nll: Float[Tensor, " rows"], beta: float) -> Float[Tensor, ""]:
    """-(2/beta) mean log sigmoid(-beta log(pi / pi_ref)), log-ratios summed over each sequence.

    Args:
        nll, reference_nll: summed NLL of each forget sequence now and under the original model, nats.

    Source: Zhang et al. 2024 (arXiv 2404.05868), equation 3.
    """
    return -(2.0 / beta) * logsigmoid(beta * (nll - reference_nll)).mean()


def simnpo_loss(nll: Float[Tensor, " rows"], beta: float, gamma: float) -> Float[Tensor, ""]:
    """-(2/beta) mean log sigmoid(-(beta/|y|) log pi(y|x) - gamma): NPO without a reference.

    Args:
        nll: -(1/|y|) log pi(y|x), the mean token NLL of each forget sequence, nats per token.
        gamma: reward margin.

    Source: Fan et al. 2024 (arXiv 2410.07163), SimNPO's forget loss.
    """
    return -(2.0 / beta) * logsigmoid(beta * nll - gamma).mean()


def dpo_loss(
    preferred: Float[Tensor, " rows"],
    reference_preferred: Float[Tensor, " rows"],
    rejected: Float[Tensor, " rows"],
    reference_rejected: Float[Tensor, " rows"],
    beta: float,
) -> Float[Tensor, ""]:
    """-(2/beta) mean log sigmoid(beta (log(pi/pi_ref) of the preferred - log(pi/pi_ref) of the rejected answer)).

    Args:
        preferred, rejected: summed NLL of each answer now, nats; the `reference_` ones under the original model.

    Source: Rafailov et al. 2023 (arXiv 2305.18290), equation 7. Differs: the factor 2/beta that NPO has, which is this
    loss without the preferred answer, so that a weight means the same of both.
    """
    gain = (reference_preferred - preferred) - (reference_rejected - rejected)
    return -(2.0 / beta) * logsigmoid(beta * gain).mean()


def refusal_loss(nll: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    """Mean token NLL of refusals: supervised fine-tuning on them.

    Source: Jin et al. 2024 (arXiv 2406.10890), rejection tuning.
    """
    return nll.mean()


def kl_to_reference(logits: Float[Tensor, "n vocab"], reference_logits: Float[Tensor, "n vocab"]) -> Float[Tensor, ""]:
    """Mean KL(reference || model) over positions, nats per token; the reference is a constant.

    A reference logit of -inf (a token that the reference excludes) has probability 0 and adds nothing.
    """
    # In place: the logits of a batch fill hundreds of megabytes, and a copy takes as long as a log_softmax.
    with torch.no_grad():
        reference = log_softmax(reference_logits.float(), dim=-1)
        probability = reference.exp()
        reference.masked_fill_(reference.isneginf(), 0.0)
    return reference.sub_(log_softmax(logits.float(), dim=-1)).mul_(probability).sum(dim=-1).mean()


def bounded_logits(
    logits: Float[Tensor, "n vocab"], bound: Float[Tensor, "n vocab"], margin: float = 0.0
) -> Float[Tensor, "n vocab"]:
    """Logits of the distribution min(p, e^margin q), scaled to sum to 1: no token gains much by what only p knows.

    Args:
        logits: of p, the model that reads the whole text.
        bound: logits of q, the same model that cannot see some of its words.
        margin: nats that p may be above q.
    """
    return torch.minimum(log_softmax(logits.float(), dim=-1), log_softmax(bound.float(), dim=-1) + margin)


def exclude_tokens(logits: Float[Tensor, "n vocab"], token_ids: Int[Tensor, " k"]) -> Float[Tensor, "n vocab"]:
    """Logits of the distribution without some tokens: their share goes to all others in proportion."""
    return logits.index_fill(-1, token_ids, float("-inf"))


def exclude_labels(
    logits: Float[Tensor, "n vocab"], labels: Int[Tensor, " n"], where: Bool[Tensor, " n"]
) -> Float[Tensor, "n vocab"]:
    """`exclude_tokens` of one token a position: its label, at the positions of `where` alone."""
    excluded = torch.zeros_like(logits, dtype=torch.bool)
    excluded[where, labels[where]] = True
    return logits.masked_fill(excluded, float("-inf"))


def lowered_logits(
    logits: Float[Tensor, "n vocab"], labels: Int[Tensor, " n"], gamma: float
) -> Float[Tensor, "n vocab"]:
    """Logits with that of each label lowered by `gamma`; from then on the label's odds are e^-gamma of what they were.

    Source: Dong et al. 2024 (arXiv 2402.10052), UNDIAL's teacher. There the student learns it by cross-entropy, which
    differs from `kl_to_reference` by the teacher's entropy, a constant.
    """
    lowered = torch.full_like(labels, -gamma, dtype=torch.float32).unsqueeze(-1)
    return logits.float().scatter_add(-1, labels.unsqueeze(-1), lowered)
