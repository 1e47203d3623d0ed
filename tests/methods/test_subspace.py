"""The forget subspace: hand-computed directions, how rows are read for them, and what is kept of them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rounding import assert_same_but_for_rounding
from safetensors.torch import load_file
from tiny_training import materials, own_llm, task
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    MixtralConfig,
    Phi3Config,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2MoeConfig,
)

from atu.errors import UserError
from atu.methods import subspace
from atu.methods.config import SubspaceConfig
from atu.methods.materials import Materials, RowSet
from atu.methods.moments import Moments, add_products, second_moments
from atu.methods.subspace import (
    Directions,
    chosen_directions,
    describe_choice,
    find_directions,
    forget_directions,
    kept_directions,
    rates,
)
from atu.models.adapters import add_subspace, linear_layers
from atu.models.hook import transformer_blocks
from atu.models.language_model import LanguageModel, wrap
from atu.models.rows import Row, collate

TASK = task({"moves": "subspace"}, npo={}, retain_kl={})


def silent(_what: str) -> None:
    """No progress."""


def random_moments(width: int, tokens: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, width, generator=generator) * torch.logspace(0, -2, width)
    return x.mT @ x / tokens


def test_two_uncorrelated_inputs() -> None:
    # The mean of C_r's diagonal is 2, so 0.5 * 2 is added to it: the ratios are 6 / (3 + 1) and 8 / (1 + 1).
    rows, ratios = forget_directions(
        torch.diag(torch.tensor([6.0, 8])), torch.diag(torch.tensor([3.0, 1])), ridge=0.5, count=2
    )
    torch.testing.assert_close(ratios, torch.tensor([4.0, 1.5]))
    # Of mean square 1 over forget tokens: 8 a^2 = 1, 6 a^2 = 1.
    torch.testing.assert_close(rows, torch.tensor([[0.0, 8**-0.5], [6**-0.5, 0.0]]))


def test_correlated_inputs_and_the_sign() -> None:
    # C_f has the eigenvectors (1, -1, 0) and (1, 1, 0), values 5 and 1, and e_3, value 2; C_r is 0.9 I, 0.1 is added.
    c_f = torch.tensor([[3.0, -2, 0], [-2, 3, 0], [0, 0, 2]])
    rows, ratios = forget_directions(c_f, 0.9 * torch.eye(3), ridge=1 / 9, count=2)
    torch.testing.assert_close(ratios, torch.tensor([5.0, 2]))
    expected = torch.tensor([[10**-0.5, -(10**-0.5), 0], [0, 0, 2**-0.5]])
    # Its largest number is positive; of two that are as large, rounding chooses.
    torch.testing.assert_close(rows * rows[:, :1].sign().where(rows[:, :1] != 0, torch.ones(2, 1)), expected)
    assert (rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)) > 0).all()


def test_it_solves_the_generalised_eigenproblem() -> None:
    c_f, c_r = random_moments(24, 100), random_moments(24, 200, seed=1)
    rows, ratios = forget_directions(c_f, c_r, ridge=0.01, count=5)
    inner = (c_r + 0.01 * c_r.diagonal().mean() * torch.eye(24)).double()
    every = torch.linalg.eigvals(torch.linalg.solve(inner, c_f.double())).real.sort(descending=True).values
    assert_same_but_for_rounding(ratios.double(), every[:5])
    a = rows.double()
    assert_same_but_for_rounding(a @ c_f.double(), ratios.double()[:, None] * (a @ inner))
    assert_same_but_for_rounding(a @ c_f.double() @ a.mT, torch.eye(5).double())


def test_the_ridge_bounds_what_counts_as_unused() -> None:
    # Retain texts never use the second input: 1 / (0.5 * ridge).
    c_r = torch.diag(torch.tensor([1.0, 0]))
    for ridge, ratio in ((0.01, 200.0), (0.1, 20.0)):
        assert float(forget_directions(torch.eye(2), c_r, ridge=ridge, count=1)[1]) == pytest.approx(ratio)


@pytest.mark.parametrize("rank", [0, 1, 3])
def test_there_are_no_more_directions_than_forget_texts_have(rank: int) -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(rank, 20, generator=generator)
    rows, ratios = forget_directions(x.mT @ x, random_moments(20, 200), ridge=0.01, count=8)
    assert len(rows) == len(ratios) == rank
    assert rows.isfinite().all()
    assert_same_but_for_rounding((rows @ x.mT).square().sum(dim=1), torch.ones(rank)) if rank else None


def test_the_lower_triangle_alone_is_read() -> None:
    c_f, c_r = random_moments(300, 400), random_moments(300, 400, seed=1)
    expected = forget_directions(c_f, c_r, ridge=0.01, count=3)
    found = forget_directions(c_f.tril(), c_r.tril(), ridge=0.01, count=3)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    x = torch.randn(50, 300)
    moment = torch.ones(300, 300).tril()
    add_products(moment, x)
    assert_same_but_for_rounding(moment.tril(), (x.mT @ x + 1).tril())


def test_a_layer_that_retain_texts_leave_dead_has_infinite_ratios() -> None:
    rows, ratios = forget_directions(torch.eye(2), torch.zeros(2, 2), ridge=0.01, count=2)
    assert rows.isfinite().all()
    assert (ratios > 1e30).all()
    assert not len(forget_directions(torch.zeros(2, 2), torch.zeros(2, 2), ridge=0.01, count=2)[0])


def test_a_ridge_that_rounding_swallows_is_one_line() -> None:
    c_r = -1e-7 * torch.eye(3)
    c_r[0, 0] = 1.0
    with pytest.raises(
        UserError, match=r"^task\.training_module\.subspace\.ridge=1e-09 is lost in rounding: .* such as 0\.01\.$"
    ):
        forget_directions(torch.eye(3), c_r, ridge=1e-9, count=1)


def layer(*ratios: float, scale: float = 2.0) -> Directions:
    return Directions(torch.eye(4)[: len(ratios)], torch.tensor(ratios, dtype=torch.float32), scale)


def test_layers_and_ranks_are_chosen_by_the_ratio() -> None:
    found = {"two": layer(90, 25, 24), "one": layer(30, 3), "none": layer(24.9), "dead": layer()}
    chosen = chosen_directions(found, min_ratio=25, max_rank=3)
    assert {name: len(rows) for name, rows in chosen.items()} == {"two": 2, "one": 1}
    torch.testing.assert_close(chosen["two"], 2 * torch.eye(4)[:2])
    assert {name: len(rows) for name, rows in chosen_directions(found, min_ratio=25, max_rank=1).items()} == {
        "two": 1, "one": 1,
    }  # fmt: skip


def test_the_rate_grows_with_the_square_of_the_ratio_up_to_four_times() -> None:
    ratios = torch.tensor([400.0, 100.0, 50.0, 25.0])
    torch.testing.assert_close(rates(ratios, 100.0), torch.tensor([4.0, 1.0, 0.25, 0.0625]))
    torch.testing.assert_close(rates(ratios, None), torch.ones(4))
    found = {"high": layer(200), "low": layer(50, 25)}
    chosen = chosen_directions(found, min_ratio=25, max_rank=2, full_ratio=100)
    torch.testing.assert_close(chosen["high"], 2 * 4 * torch.eye(4)[:1])
    torch.testing.assert_close(chosen["low"], 2 * torch.tensor([[0.25, 0, 0, 0], [0, 0.0625, 0, 0]]))
    # Where nothing comes up to it, the highest has the whole rate.
    chosen = chosen_directions({"low": layer(50, 25)}, min_ratio=25, max_rank=2, full_ratio=100)
    torch.testing.assert_close(chosen["low"], 2 * torch.tensor([[1.0, 0, 0, 0], [0, 0.25, 0, 0]]))


def test_the_log_says_how_many_and_how_distinct() -> None:
    found = {"two": layer(90, 25, 24), "one": layer(30, 3), "none": layer(24.9)}
    assert describe_choice(found, chosen_directions(found, min_ratio=25, max_rank=3)) == (
        "forget subspace: 3 directions in 2 of 3 layers, of ratios 25.0 to 90.0"
    )


def test_no_layer_with_such_a_ratio_is_one_line() -> None:
    for found, highest in (({"a": layer(12, 3), "b": layer()}, "12.0"), ({"a": layer()}, "0.0")):
        with pytest.raises(UserError) as caught:
            chosen_directions(found, min_ratio=25, max_rank=1)
        assert str(caught.value) == (
            "task.training_module.subspace.min_ratio=25: no layer has an input direction that the texts about the "
            f"concept use so many times more than the others; the highest ratio is {highest}. Lower it, or give more "
            "texts about the concept and more about other things."
        )


def read(llm: LanguageModel, rows: RowSet, *, packed: bool, beginning: int = 0, last: int = 3) -> Moments:
    names = [name for layers in linear_layers(llm.model, range(3)).values() for name in layers]
    return second_moments(llm, rows, names, beginning=beginning, packed=packed, last=last, advance=lambda count: None)


def by_hand(llm: LanguageModel, rows: tuple[Row, ...], name: str, beginning: int) -> tuple[Tensor, float]:
    """Mean of x x^T and of the outputs' square, row by row."""
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def record(_module: object, given: tuple[Tensor], output: Tensor) -> None:
        inputs.append(given[0])
        outputs.append(output)

    hook = llm.model.get_submodule(name).register_forward_hook(record)
    with torch.no_grad():
        for row in rows:
            llm.model(torch.tensor([row.ids]))
    hook.remove()
    x, y = (torch.cat([states[0, beginning:] for states in seen]) for seen in (inputs, outputs))
    return x.mT @ x / len(x), float(y.square().mean())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["model.layers.0.self_attn.v_proj", "model.layers.2.mlp.down_proj"])
def test_moments_in_batches_are_those_of_all_tokens(
    tiny_llm: LanguageModel, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, name: str
) -> None:
    monkeypatch.setattr("atu.methods.moments._BATCH_SIZE", 5)
    rows = materials(tiny_llm, tiny_encoder, TASK).retain
    for beginning in (0, 2):
        found = read(tiny_llm, rows, packed=packed, beginning=beginning)
        moment, square = by_hand(tiny_llm, rows.rows, name, beginning)
        assert_same_but_for_rounding(found.inputs[found.readers[name]].tril(), moment.tril())
        assert found.outputs[name] == pytest.approx(square, rel=1e-5)


def test_a_pass_ends_behind_the_last_block_that_is_wanted(tiny_llm: LanguageModel, tiny_encoder: Path) -> None:
    rows = materials(tiny_llm, tiny_encoder, TASK).forget
    lower, whole = read(tiny_llm, rows, packed=True, last=2), read(tiny_llm, rows, packed=True)
    assert {name.split(".")[2] for name in lower.readers} == {"0", "1"}
    assert all(torch.equal(lower.inputs[name], whole.inputs[name]) for name in lower.inputs)


def test_layers_that_read_the_same_share_one_moment(tiny_llm: LanguageModel, tiny_encoder: Path) -> None:
    found = read(tiny_llm, materials(tiny_llm, tiny_encoder, TASK).forget, packed=True)
    assert len(found.inputs) == 3 * 4  # of q, k and v; o; gate and up; down
    assert len({found.readers[f"model.layers.0.self_attn.{name}_proj"] for name in "qkv"}) == 1
    assert len(found.outputs) == len(found.readers) == 3 * 7


def directions(llm: LanguageModel, made: Materials, **settings: Any) -> dict[str, Directions]:
    return find_directions(llm, made, SubspaceConfig(**settings), progress=silent)


def assert_same_directions(one: dict[str, Directions], other: dict[str, Directions], parts: float) -> None:
    assert list(one) == list(other)
    for name, first in one.items():
        second = other[name]
        # The ratio alone: a direction of a ratio that another comes near may be any mix of the two.
        assert_same_but_for_rounding(first.ratios[:1], second.ratios[:1], name, parts)
        assert first.scale == pytest.approx(second.scale, rel=parts)


def test_packed_and_padded_reading_find_the_same(tiny_llm: LanguageModel, tiny_encoder: Path) -> None:
    made = materials(tiny_llm, tiny_encoder, TASK)
    assert made.can_pack
    packed, padded = (directions(tiny_llm, dataclasses.replace(made, can_pack=can)) for can in (True, False))
    assert_same_directions(packed, padded, parts=1e-3)


def test_a_reading_that_begins_behind_the_frozen_blocks_finds_the_same(
    tiny_llm: LanguageModel, tiny_encoder: Path
) -> None:
    config = task({"moves": "subspace", "first_trained_layer": 1}, npo={}, retain_kl={})
    made = materials(tiny_llm, tiny_encoder, config)
    assert made.forget.states.frozen
    from_tokens = {
        side: dataclasses.replace(rows, states=dataclasses.replace(rows.states, frozen=()))
        for side, rows in (("forget", made.forget), ("retain", made.retain))
    }
    found = directions(tiny_llm, made)
    assert {name.split(".")[2] for name in found} == {"1", "2"}
    assert_same_directions(found, directions(tiny_llm, dataclasses.replace(made, **from_tokens)), parts=1e-3)


def test_blocks_for_which_there_is_no_room_get_another_reading(
    tiny_llm: LanguageModel, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = materials(tiny_llm, tiny_encoder, TASK)
    expected = directions(tiny_llm, made)
    # A block: six layers with 64 inputs and one with 128, of forget and retain texts, 4 bytes a number.
    monkeypatch.setattr(subspace, "_MOST_BYTES", 2 * (2 * 4 * (6 * 64**2 + 128**2)))
    told: list[tuple[int, int]] = []
    found = find_directions(
        tiny_llm, made, SubspaceConfig(), progress=lambda _what: lambda done, total: told.append((done, total))
    )
    assert told[-1] == (2 * (9 + 8),) * 2  # two blocks, then the third
    assert list(found) == list(expected)
    for name, layer_ in found.items():
        assert torch.equal(layer_.rows, expected[name].rows)


def test_the_common_beginning_is_left_out(tiny_llm: LanguageModel, tiny_encoder: Path) -> None:
    """What a chat template puts before each text is the same in forget and retain rows and says nothing of either."""
    made = materials(tiny_llm, tiny_encoder, TASK)
    begun = {}
    for side in ("forget", "retain"):
        rows: RowSet = getattr(made, side)
        longer = tuple(
            dataclasses.replace(
                row, ids=(7, 8, 9, *row.ids), ends=(1, 2, 3, *(end + 3 for end in row.ends)), body_start=3
            )
            for row in rows.rows
        )
        begun[side] = RowSet(longer, dataclasses.replace(rows.states, final=()))
    begun_made = dataclasses.replace(made, **begun)
    seen: list[int] = []
    original = second_moments

    def noted(*arguments: Any, **settings: Any) -> Moments:
        seen.append(settings["beginning"])
        return original(*arguments, **settings)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subspace, "second_moments", noted)
        directions(tiny_llm, begun_made)
        directions(tiny_llm, made)
    assert seen == [3, 3, 0, 0]


def test_they_are_found_again_for_the_same_weights_rows_and_settings(
    tiny_llm: LanguageModel, tiny_encoder: Path, cache: Path
) -> None:
    known = dataclasses.replace(tiny_llm, provenance={"sha256": "of these weights"})
    made = materials(tiny_llm, tiny_encoder, TASK)
    first = directions(known, made)
    kept = list((cache / "subspaces").iterdir())
    with pytest.MonkeyPatch.context() as patched:
        patched.delattr(subspace, "_compute")
        again = directions(known, made, min_ratio=2.0, max_rank=3, lr=1e-3)  # these choose among what was found
    assert list(first) == list(again)
    for name, one in first.items():
        assert torch.equal(one.rows, again[name].rows)
        assert torch.equal(one.ratios, again[name].ratios)
        assert again[name].scale == pytest.approx(one.scale, rel=1e-6)
    fewer = dataclasses.replace(made, forget=dataclasses.replace(made.forget, rows=made.forget.rows[:-1]))
    others: list[Callable[[], object]] = [
        lambda: directions(known, fewer),
        lambda: directions(known, made, ridge=0.1),
        lambda: directions(known, made, targets=("q_proj",)),
        lambda: directions(known, dataclasses.replace(made, can_pack=False)),
        lambda: directions(dataclasses.replace(known, provenance={"sha256": "of others"}), made),
    ]
    for number, other in enumerate(others, start=2):
        other()
        assert len([path for path in (cache / "subspaces").iterdir() if path.suffix == ".safetensors"]) == number
    kept[0].write_bytes(b"damaged")
    assert list(directions(known, made)) == list(first)


def test_a_target_that_no_block_has(tiny_llm: LanguageModel, tiny_encoder: Path) -> None:
    with pytest.raises(UserError) as caught:
        directions(tiny_llm, materials(tiny_llm, tiny_encoder, TASK), targets=("q_proj", "qkv_proj"))
    assert str(caught.value) == (
        "task.training_module.subspace.targets: the blocks have no linear layer 'qkv_proj'; they have down_proj, "
        "gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj."
    )


_COMMON: dict[str, Any] = {
    "vocab_size": 400, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
}  # fmt: skip
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2}
FAMILIES: dict[str, tuple[PretrainedConfig, set[str]]] = {
    "gpt2": (
        GPT2Config(
            vocab_size=400, n_embd=32, n_layer=2, n_head=4, initializer_range=0.2, resid_pdrop=0, embd_pdrop=0,
            attn_pdrop=0, bos_token_id=1, eos_token_id=2, pad_token_id=2,
        ),
        {"c_attn", "c_proj", "c_fc"},
    ),
    "qwen2": (
        Qwen2Config(**_COMMON), {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    ),
    "phi3": (Phi3Config(**_COMMON), {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"}),
    "gemma3": (
        Gemma3TextConfig(**_COMMON, head_dim=8, query_pre_attn_scalar=8, sliding_window=64),
        {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    ),
    # No linear layers are the experts of either; a shared expert reads all tokens of all texts in one row.
    "mixtral": (MixtralConfig(**_COMMON, **_EXPERTS, num_local_experts=4), {"q_proj", "k_proj", "v_proj", "o_proj"}),
    "qwen2_moe": (
        Qwen2MoeConfig(
            **_COMMON, **_EXPERTS, num_experts=4, moe_intermediate_size=16, shared_expert_intermediate_size=24
        ),
        {"q_proj", "k_proj", "v_proj", "o_proj"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family(tiny_folder: Path, tiny_encoder: Path, family: str) -> None:
    config, expected = FAMILIES[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config).eval()
    llm = wrap(model, PreTrainedTokenizerFast.from_pretrained(tiny_folder), label=family)
    made = materials(llm, tiny_encoder, TASK)
    found = directions(llm, made)
    assert {name.rpartition(".")[2] for name in found} == expected
    batch = collate(made.forget.rows, [0, 1], pad_id=llm.pad_id, device="cpu")
    with torch.no_grad():
        before = model(batch.ids, attention_mask=batch.is_token).logits
        chosen = chosen_directions(found, min_ratio=1e-3, max_rank=2)
        add_subspace(model, chosen)
        assert torch.equal(model(batch.ids, attention_mask=batch.is_token).logits, before)
    for name, rows in chosen.items():
        layer_ = model.get_submodule(name)
        assert torch.equal(layer_.lora_A["subspace"].weight, rows)
        assert layer_.lora_B["subspace"].weight.shape[1] == len(rows)


class Routed(nn.Module):
    """An expert that is given some tokens, and says nothing."""

    def __init__(self, expert: nn.Module, choose: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.expert, self.choose = expert, choose

    def forward(self, states: Tensor) -> Tensor:
        self.expert(self.choose(states))
        return torch.zeros_like(states)


def test_experts_that_are_given_some_tokens_are_left_out(tiny_folder: Path, tiny_encoder: Path) -> None:
    """Also one that is given them in the shape of a text, and all of them in some batches."""
    llm = own_llm(tiny_folder)
    made = materials(llm, tiny_encoder, TASK)
    calls = 0

    def sometimes_all(states: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return states if calls % 2 else states[:, :3]

    first, second, _ = transformer_blocks(llm.model)
    first.mlp = Routed(first.mlp, lambda states: states.flatten(0, 1)[:5])
    second.mlp = Routed(second.mlp, sometimes_all)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("atu.methods.moments._BATCH_SIZE", 4)
        found = directions(llm, made)
    assert {name.split(".")[2] for name in found if ".mlp." in name} == {"2"}
    assert len(found) == 3 * 4 + 3


def test_a_model_without_any_layer_that_reads_tokens_is_one_line(tiny_llm: LanguageModel, tiny_encoder: Path) -> None:
    made = materials(tiny_llm, tiny_encoder, TASK)
    nothing = Moments({}, {}, {})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(subspace, "second_moments", lambda *_arguments, **_settings: nothing)
        with pytest.raises(UserError) as caught:
            directions(tiny_llm, made)
    assert str(caught.value) == (
        "task.training_module.moves=subspace: no linear layer of 'tiny' reads a text token by token. Set it to weights."
    )


def test_a_model_that_overflows_is_one_line(tiny_folder: Path, tiny_encoder: Path) -> None:
    llm = own_llm(tiny_folder)
    made = materials(llm, tiny_encoder, TASK)
    llm.model.model.layers[1].mlp.up_proj.weight.data.fill_(float("inf"))
    with pytest.raises(UserError) as caught:
        directions(llm, made)
    assert str(caught.value) == (
        "'tiny' computes NaN or infinity on the training texts: the type that it is loaded in may be too narrow for it "
        "(pre_trained_llm.dtype)."
    )


def test_a_run_keeps_what_it_began_with(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "subspace"
    first = kept_directions(folder, lambda: {"a": torch.eye(2)}, resumes=False)
    again = kept_directions(folder, lambda: {"a": torch.zeros(2, 2)}, resumes=True)
    assert torch.equal(again["a"], first["a"])
    anew = kept_directions(folder, lambda: {"a": torch.zeros(2, 2)}, resumes=False)
    assert not anew["a"].any()
    assert not load_file(folder / "directions.safetensors")["a"].any()
    assert [path.name for path in folder.parent.iterdir()] == ["subspace"]


def test_what_a_run_began_with_is_damaged_or_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "subspace"
    kept_directions(folder, lambda: {"a": torch.eye(2)}, resumes=False)
    file = folder / "directions.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    what_to_do = f"The run cannot resume without it: delete {tmp_path / 'run'} to start anew."
    with pytest.raises(UserError) as damaged:
        kept_directions(folder, dict, resumes=True)
    assert "\n" not in str(damaged.value)
    assert str(file) in str(damaged.value)
    assert str(damaged.value).endswith(what_to_do)
    shutil.rmtree(folder)
    with pytest.raises(UserError) as missing:
        kept_directions(folder, dict, resumes=True)
    assert str(missing.value) == f"{file} is missing. {what_to_do}"
