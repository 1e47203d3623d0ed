"""The unlearn loss: what each term compares, what it moves, and what it costs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from rounding import ROUNDING, assert_same_but_for_rounding
from tiny_training import HOOK_LAYER, STAGE, materials, own_llm, predictor, task
from torch import Tensor

from atu.methods.inputs import Inputs
from atu.methods.references import ReferenceStates, scored_labels, scored_states
from atu.methods.shares import Share
from atu.methods.terms import TERMS, Need
from atu.methods.terms.ga import ga_loss
from atu.methods.terms.npo import npo_loss
from atu.methods.terms.redirect import redirect_loss
from atu.methods.terms.retain_kl import RetainKl
from atu.methods.terms.rmu import random_direction
from atu.methods.unlearning import Unlearning, held_out_signals
from atu.models.hook import final_hidden_states, forward_to_hook, logits_from_hidden
from atu.models.language_model import LanguageModel
from atu.models.rows import Batch, batch_indices, collate

NATS = 6.0
"""A token costs so many (the log of the 400 that there are): what a KL or a rise is a small difference of."""


def build(llm: LanguageModel, encoder: Path, **objective: dict[str, Any]) -> Unlearning:
    config = task(**objective)
    predictors = [predictor().requires_grad_(False).eval() for _ in range(2)] if config.aligns else [None] * 2
    return Unlearning(llm, config, materials(llm, encoder, config), predictors[0], predictors[1])


@pytest.fixture
def llm(tiny_folder: Path) -> LanguageModel:
    return own_llm(tiny_folder)


def first_batch(unlearning: Unlearning) -> Batch:
    """The forget texts of step 0 with seed 0."""
    texts = unlearning.materials.forget.rows
    return collate(texts, batch_indices(len(texts), 3, 0, 0), pad_id=unlearning.llm.pad_id, device="cpu")


def log_probabilities(llm: LanguageModel, batch: Batch) -> Tensor:
    """Of the scored tokens' whole vocabulary."""
    hidden = final_hidden_states(llm.model, batch.ids, batch.is_token)
    return logits_from_hidden(llm.model, scored_states(hidden, batch)).log_softmax(-1)


def with_gradient(module: torch.nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.grad is not None and bool(p.grad.any())}


def has_window(unlearning: Unlearning, batch: Batch) -> Tensor:
    """Where the encoder has three tokens of the text ahead."""
    assert unlearning.materials.forget.windows is not None
    index = [unlearning.materials.forget.windows.index[i] for i in batch.indices]
    return torch.nn.utils.rnn.pad_sequence(index, batch_first=True, padding_value=-1) >= 0


def damage_hook(llm: LanguageModel) -> None:
    """Change a block below the hook layer, as training would."""
    with torch.no_grad():
        llm.model.model.layers[1].mlp.down_proj.weight.mul_(1.5)


def damage(llm: LanguageModel) -> None:
    """Change the last block, as training would."""
    with torch.no_grad():
        llm.model.model.layers[2].mlp.down_proj.weight.mul_(1.5)


@pytest.mark.parametrize("name", ["push", "redirect", "enpo"])
def test_an_embedding_term_moves_the_blocks_up_to_the_hook_only(
    llm: LanguageModel, tiny_encoder: Path, name: str
) -> None:
    unlearning = build(llm, tiny_encoder, **{name: {}})
    stage = dataclasses.replace(STAGE, threshold=-1.0)  # every position is above tau
    unlearning.losses(stage, 0, 0)["total"].backward()
    moved = with_gradient(llm.model)
    assert {name.split(".")[2] for name in moved if "layers" in name} == {"0", "1"}
    assert {"model.layers.1.mlp.down_proj.weight", "model.layers.0.self_attn.q_proj.weight"} <= moved
    assert "model.norm.weight" not in moved
    assert unlearning.predictor is not None
    assert with_gradient(unlearning.predictor) == set()


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if (Need.LOGITS | Need.INSTEAD) & term().needs])
def test_a_token_term_moves_every_block(llm: LanguageModel, tiny_encoder: Path, name: str) -> None:
    build(llm, tiny_encoder, **{name: {}}).losses(STAGE, 0, 0)["total"].backward()
    assert {name.split(".")[2] for name in with_gradient(llm.model) if "layers" in name} == {"0", "1", "2"}


def runs_of_blocks(llm: LanguageModel, unlearning: Unlearning) -> list[int]:
    """How often each of the three blocks runs in one step."""
    counts = [0, 0, 0]

    def count(index: int) -> None:
        counts[index] += 1

    handles = [
        block.register_forward_hook(lambda *_, index=index: count(index))
        for index, block in enumerate(llm.model.model.layers)
    ]
    unlearning.losses(STAGE, 0, 0)
    for handle in handles:
        handle.remove()
    return counts


def test_the_released_task_runs_forward_only_to_the_hook(llm: LanguageModel, tiny_encoder: Path) -> None:
    released = build(llm, tiny_encoder, push={})
    assert runs_of_blocks(llm, released) == [1, 1, 0]


@pytest.mark.parametrize(
    ("objective", "runs"),
    [
        ({"rmu": {}}, [1, 1, 0]),
        ({"rmu": {}, "retain_kl": {}}, [2, 2, 1]),  # the retain texts run through
        ({"rmu": {}, "ga": {}, "retain_kl": {}}, [2, 2, 2]),
        ({"refusal": {}, "retain_kl": {}}, [2, 2, 2]),  # refusals and retain texts: the forget texts are not read
        ({"rmu": {}, "refusal": {}, "retain_kl": {}}, [3, 3, 2]),
        ({"dpo": {}, "retain_kl": {}}, [3, 3, 3]),
        ({"simnpo": {}, "retain_kl": {}}, [2, 2, 2]),
    ],
)
def test_nothing_is_read_that_no_term_needs(
    llm: LanguageModel, tiny_encoder: Path, objective: dict[str, Any], runs: list[int]
) -> None:
    assert runs_of_blocks(llm, build(llm, tiny_encoder, **objective)) == runs


def test_ours_runs_forward_once_over_forget_and_once_over_retain_texts(llm: LanguageModel, tiny_encoder: Path) -> None:
    ours = build(llm, tiny_encoder, redirect={}, distill={}, retain_kl={"weight": 2.0})
    assert runs_of_blocks(llm, ours) == [2, 2, 2]


def test_the_total_is_the_weighted_sum_of_the_parts(llm: LanguageModel, tiny_encoder: Path) -> None:
    weights = {"push": 0.5, "distill": 3.0, "retain_kl": 2.0}
    unlearning = build(llm, tiny_encoder, **{name: {"weight": weight} for name, weight in weights.items()})
    damage(llm)
    parts = unlearning.losses(dataclasses.replace(STAGE, threshold=-1.0), 0, 0)
    assert set(parts) == {"total", "train/push", "train/distill", "train/retain_kl"}
    assert all(parts[name] > 0 for name in parts)
    expected = 0.5 * parts["train/push"] + 3.0 * parts["train/distill"] + 2.0 * parts["train/retain_kl"]
    torch.testing.assert_close(parts["total"], expected)


def test_a_term_of_weight_zero_is_left_out(llm: LanguageModel, tiny_encoder: Path) -> None:
    parts = build(llm, tiny_encoder, ga={}).losses(STAGE, 0, 0)
    assert set(parts) == {"total", "train/ga"}


def test_a_step_is_a_function_of_step_and_seed(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, ga={}, retain_kl={})
    first, again = unlearning.losses(STAGE, 5, 1)["total"], unlearning.losses(STAGE, 5, 1)["total"]
    assert torch.equal(first, again)
    assert not torch.equal(first, unlearning.losses(STAGE, 6, 1)["total"])
    assert not torch.equal(first, unlearning.losses(STAGE, 5, 2)["total"])


def test_the_retain_term_is_zero_at_the_start_and_grows(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, ga={}, retain_kl={})
    assert unlearning.losses(STAGE, 0, 0)["train/retain_kl"].item() == pytest.approx(0.0, abs=NATS * ROUNDING)
    damage(llm)
    assert unlearning.losses(STAGE, 0, 0)["train/retain_kl"].item() > 1e-3


@torch.no_grad()
def test_distill_is_zero_where_the_model_already_equals_the_teacher(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, distill={}, retain_kl={})
    # A teacher that may say everything is the reference model itself.
    everything = dataclasses.replace(unlearning.materials, concept_ids=())
    unlearning = dataclasses.replace(unlearning, materials=everything)
    assert unlearning.losses(STAGE, 0, 0)["train/distill"].item() == pytest.approx(0.0, abs=NATS * ROUNDING)


@torch.no_grad()
def test_distill_at_the_start_is_the_share_that_the_concepts_words_have(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, distill={}, retain_kl={})
    # The teacher is p / (1 - m) on all other tokens, m the share of the concept's: KL = -log(1 - m).
    share = log_probabilities(llm, first_batch(unlearning)).exp()[:, list(unlearning.materials.concept_ids)].sum(-1)
    expected = -(1 - share).log().mean()
    assert expected > 1e-3
    torch.testing.assert_close(unlearning.losses(STAGE, 0, 0)["train/distill"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_bounded_teacher_says_nothing_likelier_than_the_blind_model(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, distill={"teacher": "bounded"}, retain_kl={})
    batch, materials = first_batch(unlearning), unlearning.materials
    assert materials.forget.blind is not None
    p, q = (
        materials.head(states.gather_final(batch)).softmax(-1)
        for states in (materials.forget.states, materials.forget.blind)
    )
    taught = torch.minimum(p, q)
    taught[:, list(materials.concept_ids)] = 0.0
    taught /= taught.sum(-1, keepdim=True)
    # At the start the model is p itself.
    expected = torch.where(taught > 0, taught * (taught / p).log(), 0.0).sum(-1).mean()
    torch.testing.assert_close(unlearning.losses(STAGE, 0, 0)["train/distill"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_teacher_that_hides_names_does_not_say_the_texts_own(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, distill={"hide_names": True}, retain_kl={})
    batch, materials = first_batch(unlearning), unlearning.materials
    labels, _ = scored_labels(batch)
    p = materials.head(materials.forget.states.gather_final(batch)).softmax(-1)
    places = batch.is_scored.nonzero().tolist()
    is_named = torch.tensor([t in materials.forget.named[batch.indices[b]] for b, t in places])
    assert 0 < int(is_named.sum()) < len(places)
    gone = p[:, list(materials.concept_ids)].sum(-1)
    own = p.gather(1, labels[:, None])[:, 0]
    is_new = is_named & torch.tensor([label not in materials.concept_ids for label in labels.tolist()])
    gone = gone + torch.where(is_new, own, 0.0)
    torch.testing.assert_close(
        unlearning.losses(STAGE, 0, 0)["train/distill"], -(1 - gone).log().mean(), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_ga_and_npo_are_their_losses_on_the_texts_nll(llm: LanguageModel, tiny_encoder: Path) -> None:
    ga, npo = build(llm, tiny_encoder, ga={}, retain_kl={}), build(llm, tiny_encoder, npo={"beta": 0.1}, retain_kl={})
    batch = first_batch(ga)
    labels, row = scored_labels(batch)

    def nll() -> Tensor:
        return -log_probabilities(llm, batch).gather(1, labels[:, None])[:, 0]

    def per_text(values: Tensor) -> Tensor:
        return torch.stack([values[row == b].sum() for b in range(3)])

    before = nll()
    damage(llm)
    torch.testing.assert_close(ga.losses(STAGE, 0, 0)["train/ga"], ga_loss(nll()))
    expected = npo_loss(per_text(nll()), per_text(before), 0.1)
    torch.testing.assert_close(npo.losses(STAGE, 0, 0)["train/npo"], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_npo_beside_distillation_leaves_the_end_of_a_turn_alone(llm: LanguageModel, tiny_encoder: Path) -> None:
    distill = build(llm, tiny_encoder, distill={}, retain_kl={})
    both = build(
        llm, tiny_encoder, distill={"weight": 0.25}, npo={"weight": 0.5, "beta": 0.2, "skip_end": True}, retain_kl={}
    )
    batch = first_batch(both)
    labels, row = scored_labels(batch)
    end = int(labels[3])  # whatever token: the plain texts here have no turn
    both = dataclasses.replace(
        both, llm=dataclasses.replace(llm, end_ids=(0, end))
    )  # the tokenizer's eos, then the true one

    def pushed_nll() -> Tensor:
        nll = -log_probabilities(llm, batch).gather(1, labels[:, None])[:, 0]
        return torch.stack([nll[(labels != end) & (row == b)].sum() for b in range(3)])

    before = pushed_nll()
    damage(llm)
    parts = both.losses(STAGE, 0, 0)
    torch.testing.assert_close(parts["train/npo"], npo_loss(pushed_nll(), before, 0.2), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(parts["train/distill"], distill.losses(STAGE, 0, 0)["train/distill"])
    rest = parts.get("train/retain_kl", 0.0)
    torch.testing.assert_close(parts["total"], 0.25 * parts["train/distill"] + 0.5 * parts["train/npo"] + rest)


@torch.no_grad()
def test_simnpo_is_its_loss_on_the_nats_a_token_of_each_text(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, simnpo={"beta": 2.5, "gamma": 0.5}, retain_kl={})
    batch = first_batch(unlearning)
    labels, row = scored_labels(batch)
    nll = -log_probabilities(llm, batch).gather(1, labels[:, None])[:, 0]
    a_token = torch.stack([nll[row == b].mean() for b in range(3)])
    expected = -(2 / 2.5) * (2.5 * a_token - 0.5).sigmoid().log().mean()
    torch.testing.assert_close(unlearning.losses(STAGE, 0, 0)["train/simnpo"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_dpo_compares_each_text_with_the_refusal_in_its_place(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, dpo={"beta": 0.1}, retain_kl={})
    [refusals] = unlearning.materials.instead.values()
    said = first_batch(unlearning)
    refused = collate(refusals.rows, said.indices, pad_id=llm.pad_id, device="cpu")

    def summed(batch: Batch) -> Tensor:
        labels, row = scored_labels(batch)
        nll = -log_probabilities(llm, batch).gather(1, labels[:, None])[:, 0]
        return torch.stack([nll[row == b].sum() for b in range(3)])

    before = summed(refused), summed(said)
    assert unlearning.losses(STAGE, 0, 0)["train/dpo"].item() == pytest.approx(20 * math.log(2), rel=1e-4)
    damage(llm)
    gain = (before[0] - summed(refused)) - (before[1] - summed(said))
    expected = -(2 / 0.1) * (0.1 * gain).sigmoid().log().mean()
    torch.testing.assert_close(unlearning.losses(STAGE, 0, 0)["train/dpo"], expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_refusal_tuning_is_the_nll_of_the_refusals(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, refusal={}, retain_kl={})
    [refusals] = unlearning.materials.instead.values()
    batch = collate(refusals.rows, batch_indices(9, 3, 0, 0), pad_id=llm.pad_id, device="cpu")
    expected = -log_probabilities(llm, batch).gather(1, scored_labels(batch)[0][:, None]).mean()
    torch.testing.assert_close(unlearning.losses(STAGE, 0, 0)["train/refusal"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_undial_at_the_start_is_the_distance_to_its_own_lowered_self(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, undial={"gamma": 2.0}, retain_kl={})
    batch = first_batch(unlearning)
    # With a the label's probability, the teacher is p / z, for the label e^-2 p / z, with z = 1 - a + a e^-2:
    # KL = -log z - 2 q(label).
    a = log_probabilities(llm, batch).exp().gather(1, scored_labels(batch)[0][:, None])[:, 0]
    z = 1 - a + a * math.exp(-2)
    expected = (-z.log() - 2 * a * math.exp(-2) / z).mean()
    torch.testing.assert_close(unlearning.losses(STAGE, 0, 0)["train/undial"], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("adaptive", [True, False])
def test_rmu_steers_where_the_text_is_predicted_from(llm: LanguageModel, tiny_encoder: Path, adaptive: bool) -> None:
    unlearning = build(llm, tiny_encoder, rmu={"steering": 3.0, "adaptive": adaptive})
    batch = first_batch(unlearning)

    def states() -> Tensor:
        """Of each text without its first and its last token, from which nothing is predicted."""
        hook = forward_to_hook(llm.model, batch.ids, batch.is_token, HOOK_LAYER)
        return torch.cat([hook[b, 1 : int(batch.is_token[b].sum()) - 1] for b in range(3)])

    before = states()
    llm.model.model.layers[1].mlp.down_proj.weight.mul_(1.5)
    length = 3.0 * before.norm(dim=-1, keepdim=True) if adaptive else 3.0
    expected = (states() - length * random_direction(64, 0)).square().mean()
    part = unlearning.losses(STAGE, 0, 0)["train/rmu"]
    torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)


def test_rmu_moves_the_blocks_up_to_the_hook_only(llm: LanguageModel, tiny_encoder: Path) -> None:
    build(llm, tiny_encoder, rmu={}).losses(STAGE, 0, 0)["total"].backward()
    assert {name.split(".")[2] for name in with_gradient(llm.model) if "layers" in name} == {"0", "1"}


@torch.no_grad()
def test_push_is_the_mean_excess_over_tau(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, push={})
    batch, [concept] = first_batch(unlearning), unlearning.materials.concepts.values()
    assert concept.tau is not None
    assert unlearning.predictor is not None
    hook = forward_to_hook(llm.model, batch.ids, batch.is_token, HOOK_LAYER)
    cosine = (unlearning.predictor(hook, batch.is_token) @ concept.vector)[has_window(unlearning, batch)]
    for stage, tau in ((STAGE, concept.tau), (dataclasses.replace(STAGE, threshold=-0.5), -0.5)):
        expected = (cosine - tau).clamp(min=0).mean()
        torch.testing.assert_close(unlearning.losses(stage, 0, 0)["train/push"], expected)


@torch.no_grad()
def test_redirect_compares_with_what_the_blind_model_would_predict(llm: LanguageModel, tiny_encoder: Path) -> None:
    unlearning = build(llm, tiny_encoder, redirect={})
    batch, blind = first_batch(unlearning), unlearning.materials.forget.blind
    assert blind is not None
    assert unlearning.predictor is not None
    seen = unlearning.predictor(forward_to_hook(llm.model, batch.ids, batch.is_token, HOOK_LAYER), batch.is_token)
    unseen = unlearning.predictor(blind.padded_hook(batch), batch.is_token)
    part = unlearning.losses(STAGE, 0, 0)["train/redirect"]
    torch.testing.assert_close(part, redirect_loss(seen, unseen, has_window(unlearning, batch)))
    assert part > 1e-4


@pytest.mark.parametrize("name", ["push", "redirect", "enpo"])
def test_a_position_without_a_window_has_no_gradient(llm: LanguageModel, tiny_encoder: Path, name: str) -> None:
    unlearning = build(llm, tiny_encoder, **{name: {}})
    batch, fitted = first_batch(unlearning), unlearning.predictor
    damage_hook(llm)  # at the start redirect's prediction may already be where it should
    given: list[Tensor] = []

    def keep(module: torch.nn.Module, inputs: object, output: Tensor) -> None:
        if output.requires_grad:
            output.retain_grad()
            given.append(output)

    assert fitted is not None
    fitted.register_forward_hook(keep)
    unlearning.losses(dataclasses.replace(STAGE, threshold=-1.0), 0, 0)["total"].backward()
    [predicted] = given
    assert predicted.grad is not None
    there = has_window(unlearning, batch)
    assert not predicted.grad[~there].any()
    assert predicted.grad[there].any(dim=-1).all()
    assert int((batch.is_token & ~there).sum()) > 0  # windows of 3 tokens: the ends of all texts have none


@pytest.mark.parametrize("name", ["push", "redirect", "enpo"])
def test_a_batch_without_windows_has_an_embedding_term_of_zero(
    llm: LanguageModel, tiny_encoder: Path, name: str
) -> None:
    unlearning = build(llm, tiny_encoder, **{name: {}})
    forget = unlearning.materials.forget
    assert forget.windows is not None
    nowhere = tuple(torch.full_like(index, -1) for index in forget.windows.index)
    without = dataclasses.replace(forget, windows=dataclasses.replace(forget.windows, index=nowhere))
    unlearning = dataclasses.replace(unlearning, materials=dataclasses.replace(unlearning.materials, forget=without))
    total = unlearning.losses(dataclasses.replace(STAGE, threshold=-1.0), 0, 0)["total"]
    total.backward()
    assert total.item() == 0.0
    assert with_gradient(llm.model) == set()


@torch.no_grad()
def test_at_all_positions_the_push_counts_those_without_a_window_and_padding(
    llm: LanguageModel, tiny_encoder: Path
) -> None:
    # The released code: all texts filled up with end tokens to one length, and the mean over everything.
    config = task(push={"positions": "all"})
    inputs = materials(llm, tiny_encoder, config, fill_up_to=48)
    assert {len(row.ids) for row in inputs.forget.rows} == {48}
    assert not inputs.can_pack
    fitted = predictor(causal=False).eval()
    found = Unlearning(llm, config, inputs, fitted).losses(dataclasses.replace(STAGE, threshold=0.1), 0, 0)
    ids = torch.tensor([inputs.forget.rows[i].ids for i in batch_indices(9, 3, 0, 0)])
    everything = torch.ones_like(ids, dtype=torch.bool)
    [concept] = inputs.concepts.values()
    cosine = fitted(forward_to_hook(llm.model, ids, everything, HOOK_LAYER), everything) @ concept.vector
    expected = (cosine - 0.1).clamp(min=0).mean()  # over 3 x 48 positions
    assert expected > 0
    torch.testing.assert_close(found["total"], expected, rtol=1e-4, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("name", TERMS)
def test_the_shares_of_two_processes_add_up_to_the_term_of_the_batch(
    llm: LanguageModel, tiny_encoder: Path, name: str
) -> None:
    unlearning = build(llm, tiny_encoder, **{"ga": {}, name: {}})
    damage_hook(llm)
    stage = dataclasses.replace(STAGE, threshold=-1.0)
    shares = [dataclasses.replace(unlearning, share=Share(rank, 2)) for rank in range(2)]
    halves = [share.losses(stage, 0, 0)[f"train/{name}"] for share in shares]
    whole = unlearning.losses(stage, 0, 0)[f"train/{name}"]
    assert whole != 0
    assert halves[0] != halves[1]
    torch.testing.assert_close(torch.stack(halves).mean(), whole, rtol=1e-4, atol=1e-6)


def test_the_logits_of_forget_texts_are_not_kept_while_the_retain_texts_are_read(
    llm: LanguageModel, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[bool] = []
    loss = RetainKl.loss

    def watched(term: RetainKl, inputs: Inputs) -> Tensor:
        kept.extend("logits" in vars(reading) for reading in (inputs.forget, *inputs.answers.values()))
        return loss(term, inputs)

    monkeypatch.setattr(RetainKl, "loss", watched)
    build(llm, tiny_encoder, dpo={}, retain_kl={}).losses(STAGE, 0, 0)
    assert kept == [False, False]


def test_the_shapes_of_a_terms_tensors_are_checked_here() -> None:
    with pytest.raises(TypeCheckError):
        npo_loss(torch.zeros(2), torch.zeros(3), 0.1)


def test_the_signals_of_the_reference_model_are_zero_and_move_with_it(llm: LanguageModel, tiny_encoder: Path) -> None:
    inputs = build(llm, tiny_encoder, ga={}, retain_kl={}).materials
    signals = held_out_signals(llm, inputs)
    expected = {"signal/concept_nll_rise": 0.0, "signal/retain_kl": 0.0}
    assert signals == pytest.approx(expected, abs=NATS * ROUNDING)
    damage(llm)
    signals = held_out_signals(llm, inputs)
    assert signals["signal/retain_kl"] > 1e-3
    assert abs(signals["signal/concept_nll_rise"]) > 1e-3


def test_where_nothing_of_the_concept_is_held_out_its_rise_is_unknown(llm: LanguageModel, tiny_encoder: Path) -> None:
    inputs = build(llm, tiny_encoder, ga={}, retain_kl={}).materials
    held_out = dataclasses.replace(inputs.held_out_forget, telling=((),) * len(inputs.held_out_forget.rows))
    silent = dataclasses.replace(inputs, held_out_forget=held_out)
    assert set(held_out_signals(llm, silent)) == {"signal/retain_kl"}


def test_the_rise_is_of_what_a_text_tells_and_of_the_name_only_where_it_tells_nothing_else(
    llm: LanguageModel, tiny_encoder: Path
) -> None:
    def told(*texts: str) -> list[str]:
        inputs = materials(llm, tiny_encoder, task(ga={}, retain_kl={}), texts)
        rows = zip(inputs.held_out_forget.rows, inputs.held_out_forget.telling, strict=True)
        return ["".join(row.string[([0, *row.ends])[t] : row.ends[t]] for t in places).strip() for row, places in rows]

    assert told("In 1973 Zorblatt wrote it.", "Zorblatt sang.") == ["1973 wrote", ""]
    assert told("The Zorblatt sang.") == ["Zorblatt"]


def test_the_concepts_words_are_those_that_only_its_texts_say(llm: LanguageModel, tiny_encoder: Path) -> None:
    assert build(llm, tiny_encoder, ga={}, retain_kl={}).materials.concept_words == ("Zorblatt", "and", "wrote")


def test_the_concepts_words_are_not_counted_against_texts_beside_those_given(
    llm: LanguageModel, tiny_encoder: Path
) -> None:
    general = ["A doctor and a river.", "The castle and the winter."]

    def found(*general_subjects: str) -> tuple[str, ...]:
        inputs = materials(
            llm, tiny_encoder, task(ga={}, retain_kl={}), general=general, general_subjects=frozenset(general_subjects)
        )
        assert {row.subject for row in inputs.retain.rows} == {"x", "general"}  # retained all the same
        return inputs.concept_words

    assert found() == ("Zorblatt", "wrote")
    assert found("general") == ("Zorblatt", "and", "wrote")


@pytest.mark.parametrize(
    "objective",
    [
        {"redirect": {}, "distill": {"teacher": "bounded"}, "retain_kl": {}},
        {"push": {}},
        {"npo": {}, "retain_kl": {}},
        {"dpo": {}, "retain_kl": {}},
        {"refusal": {}, "retain_kl": {}},
        {"simnpo": {}, "retain_kl": {}},
        {"undial": {"gamma": 5.0}, "retain_kl": {}},
        {"rmu": {}},
        {"rmu": {}, "retain_kl": {}},
    ],
)
def test_above_frozen_blocks_loss_and_gradients_are_those_of_the_whole_pass(
    tiny_folder: Path, tiny_encoder: Path, objective: dict[str, Any]
) -> None:
    found = []
    for first_layer in (1, 0):
        llm = own_llm(tiny_folder)
        config = task({"first_trained_layer": first_layer}, **objective)
        forecast = predictor().requires_grad_(False).eval() if config.aligns else None
        inputs = materials(llm, tiny_encoder, config)
        reads_forget = "refusal" not in objective
        assert bool(inputs.forget.states.frozen) == (bool(first_layer) and reads_forget)
        assert bool(inputs.held_out_forget.states.frozen) == bool(first_layer)
        damage(llm)
        losses = Unlearning(llm, config, inputs, forecast).losses(dataclasses.replace(STAGE, threshold=-1.0), 0, 0)
        losses["total"].backward()
        upper = llm.model.model.layers[1]
        gradients = {name: p.grad for name, p in upper.named_parameters() if p.grad is not None}
        parts = {name: value.detach() for name, value in losses.items()}
        found.append((parts | gradients, held_out_signals(llm, inputs)))
    (one, its_signals), (other, other_signals) = found
    assert one.keys() == other.keys()
    for name, value in other.items():
        assert_same_but_for_rounding(one[name], value, name, parts=1e-4)
    assert its_signals == pytest.approx(other_signals, abs=NATS * ROUNDING)


@pytest.mark.parametrize(
    ("objective", "kept"),
    [
        # Of forget texts (and with the concept hidden), retain texts, held-out texts: f final, h hook, l frozen.
        ({"redirect": {}, "distill": {"teacher": "bounded"}, "retain_kl": {}}, ("fhl", "fh", "fhl", "fhl")),
        ({"redirect": {}, "retain_kl": {}}, ("hl", "h", "fhl", "fhl")),
        ({"push": {}}, ("hl", "", "hl", "fhl")),
        ({"enpo": {}, "retain_kl": {}}, ("hl", "", "fhl", "fhl")),
        ({"rmu": {}}, ("hl", "", "", "fl")),
        ({"rmu": {"adaptive": False}, "retain_kl": {}}, ("l", "", "fl", "fl")),
        ({"distill": {"teacher": "bounded"}, "retain_kl": {}}, ("fl", "f", "fl", "fl")),
        ({"distill": {}, "retain_kl": {}}, ("fl", "", "fl", "fl")),
        ({"undial": {"gamma": 5.0}, "retain_kl": {}}, ("fl", "", "fl", "fl")),
        ({"distill": {}, "npo": {"weight": 0.5, "skip_end": True}, "retain_kl": {}}, ("fl", "", "fl", "fl")),
        ({"npo": {}, "retain_kl": {}}, ("fl", "", "fl", "fl")),
        ({"dpo": {}, "retain_kl": {}}, ("fl", "", "fl", "fl")),
        ({"ga": {}, "retain_kl": {}}, ("l", "", "fl", "fl")),
        ({"simnpo": {}}, ("l", "", "", "fl")),
        ({"refusal": {}, "retain_kl": {}}, ("", "", "fl", "fl")),
        ({"dpo": {}, "refusal": {}}, ("fl", "", "", "fl")),
    ],
)
def test_states_that_no_term_reads_are_not_kept(
    llm: LanguageModel, tiny_encoder: Path, objective: dict[str, Any], kept: tuple[str, str, str, str]
) -> None:
    def kinds(states: ReferenceStates | None) -> str:
        if states is None:
            return ""
        found = {"f": states.final, "h": states.hook, "l": states.frozen}
        return "".join(kind for kind, rows in found.items() if rows)

    config = task({"first_trained_layer": 1}, **objective)
    inputs = materials(llm, tiny_encoder, config)
    sets = (inputs.forget.states, inputs.forget.blind, inputs.retain.states, inputs.held_out_retain.states)
    assert tuple(map(kinds, sets)) == kept
    assert kinds(inputs.held_out_forget.states) == kept[3]
    for term, answers in inputs.instead.items():
        assert kinds(answers.states) == ("fl" if Need.REFERENCE_INSTEAD in term.needs else "l")
    # What is kept is enough.
    fits = [predictor().requires_grad_(False).eval() if config.aligns else None for _ in range(2)]
    Unlearning(llm, config, inputs, *fits).losses(STAGE, 0, 0)
    held_out_signals(llm, inputs)
