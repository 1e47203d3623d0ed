"""Our terms against the trainers of open-unlearning (commit d3d7cf9), whose formulas are written out here again.

Equal where both mean the same; where ours differs on purpose, the name of the test says how. All compare on a padded
batch with labels as in transformers: position t - 1 predicts label t, and -100 marks what does not count. Their WGA,
SatImp and CE-U stand in the tests of these terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_training import STAGE, own_llm, unlearning
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax, logsigmoid, softmax

from atu.methods.losses import kl_to_reference
from atu.methods.materials import RowSet
from atu.methods.terms.rmu import random_direction, rmu_loss
from atu.methods.terms.undial import lowered_logits
from atu.models.language_model import LanguageModel
from atu.models.rows import Batch, batch_indices, collate

IGNORED = -100
VOCAB = 11


class Moved:
    """A reference, the same model with a changed block, and our loss of a batch that both have read."""

    def __init__(self, folder: Path, encoder: Path, **objective: dict[str, Any]) -> None:
        self.reference, self.llm = own_llm(folder), own_llm(folder)
        self.ours = unlearning(self.llm, encoder, **objective)
        with torch.no_grad():
            self.llm.model.model.layers[2].mlp.down_proj.weight.mul_(1.5)

    def batch(self, rows: RowSet, size: int, seed: int) -> Batch:
        """That of step 0."""
        indices = batch_indices(len(rows.rows), size, 0, seed)
        batch = collate(rows.rows, indices, pad_id=self.llm.pad_id, device="cpu")
        assert not bool(batch.is_token.all())  # there is padding
        return batch

    def forget(self) -> Batch:
        return self.batch(self.ours.materials.forget, 3, 0)

    def parts(self) -> dict[str, Tensor]:
        return self.ours.losses(STAGE, 0, 0)


def logits_and_labels(llm: LanguageModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """What the model says at each position, and the labels of all positions."""
    logits = llm.model(input_ids=batch.ids, attention_mask=batch.is_token.long()).logits
    return logits, batch.ids.masked_fill(~batch.is_scored, IGNORED)


def batch_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """`compute_batch_nll`: the sum over each row's labelled tokens."""
    return cross_entropy(logits[:, :-1].mT, labels[:, 1:], reduction="none", ignore_index=IGNORED).sum(-1)


def mean_nll(logits: Tensor, labels: Tensor) -> Tensor:
    """The loss that transformers gives: the mean over all labelled tokens of the batch."""
    return cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=IGNORED)


@torch.no_grad()
def test_ga_with_a_retain_term_is_graddiff_whose_retain_loss_is_kl_over_scored_tokens_alone(
    tiny_folder: Path, tiny_encoder: Path
) -> None:
    """GradDiff's KL runs over every position, prompts and padding too: here over those that predict a scored token."""
    moved = Moved(tiny_folder, tiny_encoder, ga={"weight": 2.0}, retain_kl={"weight": 3.0})
    forget, retain = moved.forget(), moved.batch(moved.ours.materials.retain, 4, 1)
    parts = moved.parts()
    torch.testing.assert_close(parts["train/ga"], -mean_nll(*logits_and_labels(moved.llm, forget)))

    now, labels = logits_and_labels(moved.llm, retain)
    before, _ = logits_and_labels(moved.reference, retain)
    kl = kl_div(log_softmax(now, -1), log_softmax(before, -1), reduction="none", log_target=True).sum(-1)
    is_scored = labels[:, 1:] != IGNORED
    torch.testing.assert_close(parts["train/retain_kl"], kl[:, :-1][is_scored].mean(), rtol=1e-4, atol=1e-6)
    assert not torch.isclose(parts["train/retain_kl"], kl.mean(), rtol=1e-3)
    torch.testing.assert_close(parts["total"], 2.0 * parts["train/ga"] + 3.0 * parts["train/retain_kl"])


@torch.no_grad()
def test_npo_is_the_same(tiny_folder: Path, tiny_encoder: Path) -> None:
    moved = Moved(tiny_folder, tiny_encoder, npo={"beta": 0.1})
    now, before = (batch_nll(*logits_and_labels(llm, moved.forget())) for llm in (moved.llm, moved.reference))
    expected = -2 / 0.1 * logsigmoid(0.1 * (now - before)).mean()
    torch.testing.assert_close(moved.parts()["train/npo"], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_dpo_is_the_same_for_the_same_refusals(tiny_folder: Path, tiny_encoder: Path) -> None:
    """Which refusal stands against which text differs: theirs is drawn each time, ours belongs to seed and text."""
    moved = Moved(tiny_folder, tiny_encoder, dpo={"beta": 0.1})
    refused = moved.batch(*moved.ours.materials.instead.values(), 3, 0)
    win, lose = (
        batch_nll(*logits_and_labels(moved.reference, batch)) - batch_nll(*logits_and_labels(moved.llm, batch))
        for batch in (refused, moved.forget())
    )
    expected = -2 / 0.1 * logsigmoid(0.1 * (win - lose)).mean()
    torch.testing.assert_close(moved.parts()["train/dpo"], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("delta", [0.0, 0.4])
def test_simnpo_is_the_same_with_gamma_for_beta_times_delta(
    tiny_folder: Path, tiny_encoder: Path, delta: float
) -> None:
    moved = Moved(tiny_folder, tiny_encoder, simnpo={"beta": 4.5, "gamma": 4.5 * delta})
    logits, labels = logits_and_labels(moved.llm, moved.forget())
    nats_per_token = batch_nll(logits, labels) / (labels != IGNORED).sum(-1)
    expected = -2 / 4.5 * logsigmoid(4.5 * (nats_per_token - delta)).mean()
    torch.testing.assert_close(moved.parts()["train/simnpo"], expected, rtol=1e-4, atol=1e-5)


def padded(lengths: Sequence[int], *, width: int = 7, prompt: int = 2) -> tuple[Tensor, Tensor]:
    """Random logits of shape (batch, width, vocab) and labels, `lengths` of them in each row behind a prompt."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(len(lengths), width, VOCAB, generator=generator)
    labels = torch.randint(VOCAB, (len(lengths), width), generator=generator)
    for row, length in zip(labels, lengths, strict=True):
        row[:prompt] = row[prompt + length :] = IGNORED
    return logits, labels


def scored(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """What our terms are given: logits and label of each token that counts."""
    counts = labels[:, 1:] != IGNORED
    return logits[:, :-1][counts], labels[:, 1:][counts]


def undial(logits: Tensor, teacher: Tensor, labels: Tensor, beta: float) -> Tensor:
    """`compute_undial_loss` at each position."""
    lowered = torch.zeros_like(teacher[:, :-1])
    rows, places = torch.meshgrid(torch.arange(len(labels)), torch.arange(labels.shape[1] - 1), indexing="ij")
    lowered[rows, places, labels[:, 1:]] = beta  # the label -100 is an index from the end
    soft = softmax(teacher[:, :-1] - lowered, -1)
    return cross_entropy(logits[:, :-1].mT, soft.mT, reduction="none")


def test_undial_has_the_same_gradient_but_leaves_prompts_and_padding_alone() -> None:
    """Theirs also lowers, wherever a label is -100, the logit of the vocabulary's entry V - 100, and counts that."""
    _, labels = padded([2, 4])
    logits, teacher = torch.randn(2, 2, 7, 200, generator=torch.Generator().manual_seed(1))
    logits.requires_grad_()
    theirs = undial(logits, teacher, labels, 10.0)
    counts = labels[:, 1:] != IGNORED
    wanted = torch.autograd.grad(theirs[counts].mean(), logits, retain_graph=True)[0]
    now, label = scored(logits, labels)
    ours = kl_to_reference(now, lowered_logits(scored(teacher, labels)[0], label, 10.0))
    torch.testing.assert_close(torch.autograd.grad(ours, logits)[0], wanted)
    assert bool(wanted[:, :-1][counts].any())
    assert not bool(wanted[:, :-1][~counts].any())
    # What theirs does to a prompt: the entry is pushed down though nothing there is to be forgotten.
    everywhere = torch.autograd.grad(theirs.mean(), logits)[0]
    assert float(everywhere[0, 0, 200 + IGNORED]) > 0


def test_undial_is_the_same_up_to_the_teachers_entropy() -> None:
    logits, labels = padded([2, 4])
    teacher = logits.flip(0)
    now, label = scored(logits, labels)
    lowered = lowered_logits(scored(teacher, labels)[0], label, 10.0)
    soft = lowered.softmax(-1)
    entropy = -(soft * soft.log()).sum(-1).mean()
    theirs = cross_entropy(now, soft)
    torch.testing.assert_close(kl_to_reference(now, lowered), theirs - entropy)


def rmu(states: Tensor, steered: Tensor, mask: Tensor) -> Tensor:
    """`compute_activation_loss`."""
    summed = ((states - steered).square() * mask.unsqueeze(-1)).mean(-1).sum(-1)
    return (summed / mask.sum(-1, keepdim=True)).mean()  # (batch,) / (batch, 1)


@pytest.mark.parametrize(("lengths", "is_same"), [([3, 3], True), ([1, 4], False)])
def test_rmu_is_the_same_for_rows_of_one_length_and_else_a_mean_over_tokens(lengths: list[int], is_same: bool) -> None:
    """Theirs divides each row's sum by the count of every row, and averages over all pairs."""
    states, labels = padded(lengths)
    mask, direction = labels != IGNORED, random_direction(VOCAB, 0)
    theirs = rmu(states, 2.0 * direction, mask)
    ours = rmu_loss(states, direction, torch.full(labels.shape, 2.0), mask)
    torch.testing.assert_close(ours, (states - 2.0 * direction).square().mean(-1)[mask].mean())
    assert bool(torch.isclose(ours, theirs, rtol=1e-5)) == is_same
