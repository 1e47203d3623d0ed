"""What the reference model says, kept: exact, found again, and blind where it should be."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from rounding import assert_same_but_for_rounding
from tiny_training import HOOK_LAYER, RETAIN, own_llm, rows

from atu.entry.compose import compose_run
from atu.methods.config import TaskConfig
from atu.methods.materials import kept_states
from atu.methods.references import original_head, reference_states, scored_labels, scored_states
from atu.models.hook import final_hidden_states
from atu.models.language_model import LanguageModel
from atu.models.rows import Row, collate

TEXTS = [*RETAIN, "Short.", "Shakespeare was born in Stratford, and wrote Hamlet, Macbeth and others."]


@torch.no_grad()
def test_final_states_times_the_head_are_the_models_logits(tiny_llm: LanguageModel) -> None:
    texts = rows(tiny_llm, TEXTS)
    states, head = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER), original_head(tiny_llm)
    for row, final, hook in zip(texts, states.final, states.hook, strict=True):
        alone = tiny_llm.model(torch.tensor([row.ids]), output_hidden_states=True)
        before_scored = alone.logits[0, row.first_scored - 1 : -1]  # the states of a prompt are not kept
        torch.testing.assert_close(head(final), before_scored, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(hook, alone.hidden_states[HOOK_LAYER][0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_gathered_states_lie_in_the_order_of_the_scored_tokens(tiny_llm: LanguageModel) -> None:
    texts = rows(tiny_llm, TEXTS)
    states = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER)
    batch = collate(texts, [9, 0, 8], pad_id=tiny_llm.pad_id, device="cpu")
    now = scored_states(final_hidden_states(tiny_llm.model, batch.ids, batch.is_token), batch)
    torch.testing.assert_close(states.gather_final(batch), now, rtol=1e-4, atol=1e-4)
    labels, row = scored_labels(batch)
    assert labels.tolist() == [*texts[9].ids[1:], *texts[0].ids[1:], *texts[8].ids[1:]]
    assert row.tolist() == [b for b, i in enumerate((9, 0, 8)) for _ in texts[i].ids[1:]]


def test_hook_states_of_a_batch_are_zero_on_padding(tiny_llm: LanguageModel) -> None:
    texts = rows(tiny_llm, TEXTS)
    states = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER)
    batch = collate(texts, [8, 9], pad_id=tiny_llm.pad_id, device="cpu")
    padded = states.padded_hook(batch)
    length = len(texts[8].ids)
    assert torch.equal(padded[0, :length], states.hook[8])
    assert not padded[0, length:].any()
    assert torch.equal(padded[1], states.hook[9])


def test_a_second_call_finds_them_again(tiny_llm: LanguageModel, cache: Path) -> None:
    known = dataclasses.replace(tiny_llm, provenance={"sha256": "of these weights"})
    texts = rows(tiny_llm, TEXTS)
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        calls.append((done, total))

    first = reference_states(known, texts, hook_layer=HOOK_LAYER, progress=progress)
    assert calls == [(10, 10)]
    second = reference_states(known, texts, hook_layer=HOOK_LAYER, progress=progress)
    assert calls == [(10, 10)]
    assert all(torch.equal(a, b) for a, b in zip(first.final + first.hook, second.final + second.hook, strict=True))
    assert len(list(cache.rglob("*.safetensors"))) == 2  # a file for the final states, one for those at the hook

    other_weights = dataclasses.replace(tiny_llm, provenance={"sha256": "of others"})
    for llm, settings in (
        (other_weights, {"hook_layer": HOOK_LAYER}),
        (known, {"hook_layer": 1}),
        (known, {"hook_layer": HOOK_LAYER, "hidden": [[1]] * len(texts)}),
    ):
        reference_states(llm, texts, **settings, progress=progress)
    assert len(calls) == 4


def test_only_what_is_missing_is_computed(tiny_llm: LanguageModel, cache: Path) -> None:
    known = dataclasses.replace(tiny_llm, provenance={"sha256": "of these weights"})
    texts, calls = rows(tiny_llm, TEXTS), list[tuple[int, int]]()

    def read(**settings: Any) -> tuple[int, int]:
        """Blocks that ran, and files that are there."""
        ran: list[int] = []
        handles = [
            block.register_forward_hook(lambda *_, number=number: ran.append(number))
            for number, block in enumerate(tiny_llm.model.model.layers)
        ]
        reference_states(known, texts, **settings, progress=lambda done, total: calls.append((done, total)))
        for handle in handles:
            handle.remove()
        return len(ran), len(list(cache.rglob("*.safetensors")))

    assert read(final=False, hook_layer=1) == (1, 1)  # the two blocks above are not run
    assert read(final=False, hook_layer=1) == (0, 1)
    assert read(final=False, hook_layer=2, frozen_blocks=1) == (2, 2)  # behind one block is at hook layer 1
    assert read(final=True, hook_layer=2, frozen_blocks=1) == (3, 3)
    assert read(final=True) == (0, 3)
    assert len(calls) == 3


def test_what_a_pass_up_to_a_layer_gives_is_what_a_whole_one_gives(tiny_llm: LanguageModel) -> None:
    texts = rows(tiny_llm, TEXTS)
    for packed in (False, True):
        whole = reference_states(tiny_llm, texts, hook_layer=2, frozen_blocks=1, packed=packed)
        cut = reference_states(tiny_llm, texts, final=False, hook_layer=2, frozen_blocks=1, packed=packed)
        assert not cut.final
        for one, other in zip(whole.hook + whole.frozen, cut.hook + cut.frozen, strict=True):
            assert_same_but_for_rounding(one, other)


def test_a_model_without_a_checksum_is_run_each_time(tiny_llm: LanguageModel, cache: Path) -> None:
    assert not tiny_llm.provenance
    reference_states(tiny_llm, rows(tiny_llm, TEXTS), hook_layer=HOOK_LAYER)
    assert not cache.exists()


def of_tokens(*ids: int) -> Row:
    return Row(ids=ids, ends=tuple(range(1, len(ids) + 1)), string="x" * len(ids), body_start=0, subject="x")


def test_nothing_can_be_read_from_a_hidden_token(tiny_llm: LanguageModel) -> None:
    # Two texts that differ in their hidden words only, at positions 1 and 3.
    texts = [of_tokens(11, 300, 12, 301, 13), of_tokens(11, 302, 12, 303, 13)]
    hidden = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER, hidden=[(1, 3), (1, 3)])
    seen = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER)
    for states, places in ((hidden.final, [0, 2]), (hidden.hook, [0, 2, 4])):
        assert_same_but_for_rounding(states[0][places], states[1][places])
    assert not torch.allclose(seen.final[0][2], seen.final[1][2], atol=1e-3)
    assert not torch.allclose(seen.hook[0][4], seen.hook[1][4], atol=1e-3)


def test_hiding_leaves_the_others_where_they_were(tiny_llm: LanguageModel) -> None:
    # Without hidden tokens in a text, nothing changes; with them, what stands before them does not.
    texts = [of_tokens(11, 12, 13, 14), of_tokens(11, 12, 300, 13, 14)]
    hidden = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER, hidden=[(), (2,)])
    seen = reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER)
    assert_same_but_for_rounding(hidden.final[0], seen.final[0])
    assert_same_but_for_rounding(hidden.final[1][:2], seen.final[1][:2])
    assert not torch.allclose(hidden.final[1][3], seen.final[1][3], atol=1e-3)


def test_a_hidden_first_token_gives_finite_states(tiny_llm: LanguageModel) -> None:
    # Its own position has nothing else to attend to, so it stays in sight.
    states = reference_states(tiny_llm, [of_tokens(300, 11, 12)], hook_layer=HOOK_LAYER, hidden=[(0,)])
    assert states.final[0].isfinite().all()


def test_texts_that_share_a_row_hide_each_its_own_positions(tiny_llm: LanguageModel) -> None:
    texts = rows(tiny_llm, TEXTS)
    hidden = [tuple(range(2 + i % 3, len(text.ids), 3)) for i, text in enumerate(texts)]
    alone, packed = (
        reference_states(tiny_llm, texts, hook_layer=HOOK_LAYER, hidden=hidden, packed=packed)
        for packed in (False, True)
    )
    for one, other in zip(alone.final, packed.final, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def reference_bytes(task: TaskConfig, hidden_size: int, num_tokens: Mapping[str, int]) -> int:
    """Most bytes of the states that are kept on disk; prompts, whose final states are not kept, make it less.

    Args:
        num_tokens: of all rows of each use, as `kept_states` names them; those of `forget` are the `blind` ones too.
    """
    tokens = {**num_tokens, "blind": num_tokens["forget"]}
    kinds = {use: kept.final + kept.hook + kept.frozen for use, kept in kept_states(task).items()}
    return sum(4 * hidden_size * tokens.get(use, 0) * count for use, count in kinds.items())


@pytest.mark.parametrize(
    ("overrides", "gigabytes"),
    [
        ([], 20.1),
        (["task=unlearning_distill"], 16.5),
        (["task=unlearning_npo"], 14.6),
        (["task=unlearning_ga"], 12.8),
        (["task=unlearning_atu_released"], 7.3),
    ],
)
def test_what_is_kept_at_paper_scale_is_what_the_docs_say(overrides: list[str], gigabytes: float) -> None:
    # docs/memory.md: 582 texts about the person, 3 x 582 about others, 256 tokens each, Phi-3-mini's hidden size.
    task = compose_run(["experiment=paper-scale", "unlearning_target=1_Stephen_King", *overrides]).task
    tokens = {"forget": 582 * 256, "retain": 3 * 582 * 256}
    found = reference_bytes(task, hidden_size=3072, num_tokens=tokens)
    assert round(found / 1e9, 1) == gigabytes


def test_the_head_is_a_frozen_copy(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    head = original_head(llm)
    before = head(torch.ones(1, 64))
    with torch.no_grad():
        llm.model.get_output_embeddings().weight.zero_()
    assert torch.equal(head(torch.ones(1, 64)), before)
    assert not any(parameter.requires_grad for parameter in head.parameters())
