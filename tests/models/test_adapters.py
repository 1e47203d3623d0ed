"""Adapters begin as nothing, train alone, and end as plain weights that answer as they did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rounding import assert_same_but_for_rounding
from tiny_training import own_llm
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from atu.errors import UserError
from atu.models.adapters import adapter_parameters, add_adapter, add_subspace, layer_sizes, linear_layers, merge_adapter
from atu.models.config import LoraConfig, ModelConfig
from atu.models.hook import forward_to_hook
from atu.models.language_model import LanguageModel, wrap
from atu.models.packing import can_pack
from atu.models.rows import build_rows
from atu.records import Text

IDS = torch.arange(3, 30).unsqueeze(0)
PROMPTS = ("Who wrote Hamlet?", "What is the capital of Japan?")


def with_lora(llm: LanguageModel, seed: int = 0, **lora: Any) -> LanguageModel:
    """The same model, adapted."""
    config = ModelConfig(name="tiny", model_name="tiny", adapter="lora", lora=LoraConfig(**lora))
    add_adapter(llm.model, config, seed=seed)
    return llm


def disturb(llm: LanguageModel) -> None:
    """Adapters as after training: B is no longer zero."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapter_parameters(llm.model).items():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05, generator=generator)


def logits(llm: LanguageModel) -> Tensor:
    with torch.no_grad():
        found: Tensor = llm.model(input_ids=IDS, use_cache=False).logits
    return found


def adapted(llm: LanguageModel) -> set[str]:
    """Names of the layers that have an adapter."""
    return {name.rpartition(".lora_")[0] for name in adapter_parameters(llm.model)}


def test_an_untrained_adapter_changes_no_bit_of_what_is_read(tiny_llm: LanguageModel, tiny_folder: Path) -> None:
    llm = with_lora(own_llm(tiny_folder))
    assert torch.equal(logits(llm), logits(tiny_llm))
    mask = torch.ones_like(IDS)
    with torch.no_grad():
        states = [forward_to_hook(model.model, IDS, mask, 2) for model in (llm, tiny_llm)]
    assert torch.equal(*states)


def test_every_linear_layer_of_every_block_by_default(tiny_folder: Path) -> None:
    llm = with_lora(own_llm(tiny_folder), rank=4)
    assert len(adapted(llm)) == 3 * 7  # three blocks with q, k, v, o, gate, up, down; neither head nor embedding
    # rank * (inputs + outputs): width 64, keys and values 32, inner width 128
    of_block = 4 * ((64 + 64) + 2 * (64 + 32) + (64 + 64) + 2 * (64 + 128) + (128 + 64))
    assert sum(p.numel() for p in adapter_parameters(llm.model).values()) == 3 * of_block


def test_targets_and_layers_choose(tiny_folder: Path) -> None:
    llm = with_lora(own_llm(tiny_folder), targets=("q_proj", "down_proj"), layers=(1, 3))
    assert adapted(llm) == {
        f"model.layers.{block}.{layer}" for block in (0, 2) for layer in ("self_attn.q_proj", "mlp.down_proj")
    }


def test_the_seed_decides_and_other_random_numbers_stay(tiny_folder: Path) -> None:
    state = torch.get_rng_state()
    one, same, other = (adapter_parameters(with_lora(own_llm(tiny_folder), seed=s).model) for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_a_target_that_no_layer_has(tiny_folder: Path) -> None:
    with pytest.raises(UserError) as caught:
        with_lora(own_llm(tiny_folder), targets=("q_proj", "qkv_proj"))
    assert str(caught.value) == (
        "pre_trained_llm.lora.targets: the blocks of 'tiny' have no linear layer 'qkv_proj'; they have down_proj, "
        "gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj."
    )


@pytest.mark.parametrize("layer", [0, 4])
def test_a_block_that_the_model_does_not_have(tiny_folder: Path, layer: int) -> None:
    with pytest.raises(UserError, match=rf"'tiny' has no block {layer}; it has 1 to 3\.$"):
        with_lora(own_llm(tiny_folder), layers=(2, layer))


def test_adapters_are_float32_on_bfloat16_weights(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    llm.model.bfloat16()
    with_lora(llm)
    assert {p.dtype for p in adapter_parameters(llm.model).values()} == {torch.float32}
    assert llm.model.dtype == torch.bfloat16


def test_texts_can_still_share_a_row(tiny_folder: Path) -> None:
    llm = with_lora(own_llm(tiny_folder))
    disturb(llm)
    texts = [Text(text=f"The {word} is a castle.", subject="x", source="test") for word in ("river", "letter")]
    assert can_pack(llm, build_rows(llm, texts, max_tokens=64))


def test_merging_adds_the_scaled_product_to_the_weights(tiny_llm: LanguageModel, tiny_folder: Path) -> None:
    llm = with_lora(own_llm(tiny_folder), rank=2, alpha=6, targets=("up_proj",), layers=(2,))
    disturb(llm)
    factors = {name.rpartition("lora_")[2][0]: p.detach() for name, p in adapter_parameters(llm.model).items()}
    expected_logits = logits(llm)
    merged, report = merge_adapter(llm, [llm.render(prompt) for prompt in PROMPTS])
    name = "model.layers.1.mlp.up_proj.weight"
    before, after = tiny_llm.model.state_dict(), merged.model.state_dict()
    assert after.keys() == before.keys()
    assert [key for key in before if not torch.equal(after[key], before[key])] == [name]
    torch.testing.assert_close(after[name], before[name] + 6 / 2 * factors["B"] @ factors["A"])
    assert_same_but_for_rounding(logits(merged), expected_logits)
    assert report.num_prompts == 2
    assert report.widened is None
    assert report.merged < 1e-4 < report.bf16 < report.trained
    assert not [module for module in merged.model.modules() if "lora" in type(module).__module__]
    assert not adapter_parameters(merged.model)


def test_bfloat16_weights_become_float32_so_that_the_sum_is_not_rounded(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    llm.model.bfloat16()
    with_lora(llm)
    disturb(llm)
    merged, report = merge_adapter(llm, [llm.render(prompt) for prompt in PROMPTS])
    assert {p.dtype for p in merged.model.parameters()} == {torch.float32}
    assert report.widened is not None
    assert report.merged < 1e-4 < report.widened
    assert "Before, the weights were made float32" in report.describe()


def test_a_merge_that_changes_the_answers_is_refused(tiny_folder: Path) -> None:
    llm = with_lora(own_llm(tiny_folder), targets=("up_proj",), layers=(2,))
    disturb(llm)
    layer = llm.model.model.layers[1].mlp.up_proj
    # What is merged is now twice what the adapter adds.
    layer.register_forward_hook(lambda module, inputs, output: (output + module.base_layer(*inputs)) / 2)
    with pytest.raises(UserError, match="Merging the adapters into 'tiny' changed its answers"):
        merge_adapter(llm, [llm.render(prompt) for prompt in PROMPTS])


def test_layers_that_are_stored_transposed(tiny_folder: Path) -> None:
    config = GPT2Config(
        vocab_size=400, n_positions=128, n_embd=64, n_layer=2, n_head=4, initializer_range=0.2, bos_token_id=1,
        eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
    llm = with_lora(wrap(model, PreTrainedTokenizerFast.from_pretrained(tiny_folder), label="gpt2"))
    assert {name.rpartition(".")[2] for name in adapted(llm)} == {"c_attn", "c_proj", "c_fc"}
    disturb(llm)
    expected = logits(llm)
    merged, _ = merge_adapter(llm, [llm.render(prompt) for prompt in PROMPTS])
    assert_same_but_for_rounding(logits(merged), expected)
    assert not [
        module for module in merged.model.modules() if isinstance(module, nn.ModuleDict) and "default" in module
    ]


def with_subspace(llm: LanguageModel, ranks: dict[str, int]) -> dict[str, Tensor]:
    """Put random directions into the named layers, and give them back."""
    generator = torch.Generator().manual_seed(1)
    directions = {
        name: 0.1 * torch.randn(rank, layer_sizes(llm.model.get_submodule(name))[0], generator=generator)
        for name, rank in ranks.items()
    }
    add_subspace(llm.model, directions)
    return directions


def test_a_subspace_begins_as_nothing_and_trains_b_alone(tiny_llm: LanguageModel, tiny_folder: Path) -> None:
    state = torch.get_rng_state()
    llm = own_llm(tiny_folder)
    llm.model.bfloat16()
    expected = logits(llm)
    directions = with_subspace(llm, {"model.layers.0.self_attn.q_proj": 1, "model.layers.2.mlp.down_proj": 3})
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(logits(llm), expected)
    trained = adapter_parameters(llm.model)
    assert {name: tuple(p.shape) for name, p in trained.items()} == {
        "model.layers.0.self_attn.q_proj.lora_B.subspace.weight": (64, 1),
        "model.layers.2.mlp.down_proj.lora_B.subspace.weight": (64, 3),
    }
    assert {p.dtype for p in trained.values()} == {torch.float32}
    for name, rows in directions.items():
        fixed = llm.model.get_submodule(name).lora_A["subspace"].weight
        assert torch.equal(fixed, rows)
        assert not fixed.requires_grad


def test_no_directions_change_nothing(tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    add_subspace(llm.model, {})
    assert not adapter_parameters(llm.model)
    assert not hasattr(llm.model, "peft_config")


def test_merging_a_subspace_adds_b_a_to_the_named_layers_alone(tiny_llm: LanguageModel, tiny_folder: Path) -> None:
    llm = own_llm(tiny_folder)
    directions = with_subspace(llm, {"model.layers.1.mlp.up_proj": 2, "model.layers.2.self_attn.k_proj": 1})
    disturb(llm)
    trained = {name.partition(".lora_B")[0]: p.detach() for name, p in adapter_parameters(llm.model).items()}
    adapted_logits = logits(llm)
    merged, _ = merge_adapter(llm, [llm.render(prompt) for prompt in PROMPTS])
    before, after = tiny_llm.model.state_dict(), merged.model.state_dict()
    assert after.keys() == before.keys()
    assert {key for key in before if not torch.equal(after[key], before[key])} == {
        f"{name}.weight" for name in directions
    }
    for name, rows in directions.items():
        torch.testing.assert_close(after[f"{name}.weight"], before[f"{name}.weight"] + trained[name] @ rows)
    assert_same_but_for_rounding(logits(merged), adapted_logits)
    assert not adapter_parameters(merged.model)


def test_layers_of_many_blocks_and_of_transposed_weights_get_their_own_directions(tiny_folder: Path) -> None:
    """peft takes names for patterns, and cuts long lists of them short: block 1 is not block 11."""
    config = GPT2Config(
        vocab_size=400, n_positions=128, n_embd=32, n_layer=12, n_head=4, initializer_range=0.2, bos_token_id=1,
        eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
    llm = wrap(model, PreTrainedTokenizerFast.from_pretrained(tiny_folder), label="gpt2")
    every = [name for names in linear_layers(model, range(12)).values() for name in names]
    ranks = {name: 1 + number % 3 for number, name in enumerate(every) if number % 7}
    directions = with_subspace(llm, ranks)
    assert adapted(llm) == set(ranks)
    for name, rows in directions.items():
        assert torch.equal(model.get_submodule(name).lora_A["subspace"].weight, rows), name
    disturb(llm)
    expected = logits(llm)
    merged, _ = merge_adapter(llm, [llm.render(prompt) for prompt in PROMPTS])
    assert_same_but_for_rounding(logits(merged), expected)
