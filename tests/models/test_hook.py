"""The hook forward equals the full forward, in values and gradients, for several architectures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    Phi3Config,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from atu.errors import UserError
from atu.models.hook import (
    FrozenStates,
    can_begin_at,
    capture_hook,
    check_output_head,
    final_hidden_states,
    forward_to_hook,
    logits_from_hidden,
)

_COMMON = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GQA = {**_COMMON, "num_key_value_heads": 1}
CONFIGS: dict[str, PretrainedConfig] = {
    "llama": LlamaConfig(**_GQA),
    "qwen2": Qwen2Config(**_GQA),
    "phi3": Phi3Config(**_GQA),
    "gemma3": Gemma3TextConfig(**_GQA, head_dim=8, query_pre_attn_scalar=8, sliding_window=4),
    "gpt_neox": GPTNeoXConfig(**_COMMON),
    "opt": OPTConfig(**{**_COMMON, "ffn_dim": 32, "word_embed_proj_dim": 16}),
    "gpt2": GPT2Config(vocab_size=50, n_embd=16, n_layer=3, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0),
}
IDS = torch.tensor([[1, 5, 7, 9, 4], [1, 8, 3, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])


def build(config: PretrainedConfig) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(config).eval()


def block_outputs(model: PreTrainedModel) -> list[Tensor]:
    """What transformers itself reports for the output of every block but the last (that one is normed)."""
    output = model(input_ids=IDS, attention_mask=MASK, output_hidden_states=True, use_cache=False)
    return list(output.hidden_states)


@pytest.mark.parametrize("family", CONFIGS)
def test_stopped_forward_gives_the_hidden_states_that_transformers_reports(family: str) -> None:
    model = build(CONFIGS[family])
    expected = block_outputs(model)
    for layer in (1, 2):
        torch.testing.assert_close(forward_to_hook(model, IDS, MASK, layer), expected[layer], rtol=0, atol=0)


@pytest.mark.parametrize("family", CONFIGS)
def test_capture_sees_the_same_states_while_the_full_forward_runs(family: str) -> None:
    model = build(CONFIGS[family])
    for layer in (1, 2, 3):
        with capture_hook(model, layer) as captured:
            output = model(input_ids=IDS, attention_mask=MASK, use_cache=False)
        torch.testing.assert_close(captured.hidden, forward_to_hook(model, IDS, MASK, layer), rtol=0, atol=0)
        assert output.logits.shape == (2, 5, 50)


def test_last_layer_is_taken_before_the_final_norm() -> None:
    model = build(CONFIGS["llama"])
    with torch.no_grad():
        model.model.norm.weight.uniform_(0.5, 2)
        last = forward_to_hook(model, IDS, MASK, 3)
        normed = block_outputs(model)[3]  # transformers reports the last layer after the norm
    torch.testing.assert_close(model.model.norm(last), normed)
    assert not torch.allclose(last, normed)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_stopped_forward_gives_the_gradients_of_the_full_one(family: str, checkpointing: bool) -> None:
    def gradients(stopped: bool) -> dict[str, Tensor]:
        model = build(CONFIGS[family])
        hidden = forward_to_hook(model, IDS, MASK, 2) if stopped else block_outputs(model)[2]
        hidden.pow(2).sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    def checkpointed() -> dict[str, Tensor]:
        model = build(CONFIGS[family]).train()
        model.activation_checkpointing_enable()
        forward_to_hook(model, IDS, MASK, 2).pow(2).sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    expected = gradients(stopped=False)
    found = checkpointed() if checkpointing else gradients(stopped=True)
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(found[name], expected[name])


def test_a_boolean_mask_means_the_same() -> None:
    model = build(CONFIGS["llama"])
    expected = final_hidden_states(model, IDS, MASK)
    torch.testing.assert_close(final_hidden_states(model, IDS, MASK.bool()), expected, rtol=0, atol=0)


def test_captured_states_carry_the_gradient_of_a_loss_on_hook_and_logits_together() -> None:
    model = build(CONFIGS["llama"])
    with capture_hook(model, 2) as captured:
        logits = model(input_ids=IDS, attention_mask=MASK, use_cache=False).logits
    (captured.hidden.sum() + logits.sum()).backward()
    found = model.model.layers[0].mlp.up_proj.weight.grad

    again = build(CONFIGS["llama"])
    output = again(input_ids=IDS, attention_mask=MASK, output_hidden_states=True, use_cache=False)
    (output.hidden_states[2].sum() + output.logits.sum()).backward()
    torch.testing.assert_close(found, again.model.layers[0].mlp.up_proj.weight.grad)


def test_blocks_above_the_hook_are_not_run_and_are_back_afterwards() -> None:
    model = build(CONFIGS["llama"])
    runs: list[int] = []
    for index, block in enumerate(model.model.layers):
        block.register_forward_hook(lambda *_args, index=index: runs.append(index))
    forward_to_hook(model, IDS, MASK, 2)
    assert runs == [0, 1]
    with pytest.raises(IndexError):  # token 50 is outside the vocabulary
        forward_to_hook(model, torch.tensor([[50]]), torch.tensor([[1]]), 2)
    assert len(model.model.layers) == 3


def test_capture_without_a_forward_says_so() -> None:
    with (
        capture_hook(build(CONFIGS["llama"]), 1) as captured,
        pytest.raises(RuntimeError, match="no forward"),
    ):
        _ = captured.hidden


@pytest.mark.parametrize("family", CONFIGS)
def test_logits_from_hidden_states_are_the_models_own(family: str) -> None:
    model = build(CONFIGS[family])
    check_output_head(model)
    expected = model(input_ids=IDS, attention_mask=MASK).logits
    found = logits_from_hidden(model, final_hidden_states(model, IDS, MASK))
    torch.testing.assert_close(found, expected)


def test_a_family_that_caps_its_logits_is_refused() -> None:
    config = Gemma2Config(**_GQA, head_dim=8, query_pre_attn_scalar=8, final_logit_softcapping=0.1)
    with pytest.raises(UserError, match="Gemma2ForCausalLM changes its logits after the output head"):
        check_output_head(build(config))


@pytest.mark.parametrize("family", CONFIGS)
def test_a_pass_begins_above_only_where_that_changes_nothing(family: str) -> None:
    model = build(CONFIGS[family])
    # OPT and GPT-2 add positions to what they take for embeddings.
    assert can_begin_at(model, IDS[:1], 1) == (family not in ("opt", "gpt2"))


@pytest.mark.parametrize("family", ["llama", "qwen2", "phi3", "gemma3", "gpt_neox"])
def test_a_pass_that_begins_above_gives_the_same_states_and_gradients(family: str) -> None:
    model = build(CONFIGS[family])
    frozen = FrozenStates(1, block_outputs(model)[1].detach())

    def gradients(below: FrozenStates | None) -> tuple[Tensor, Tensor, list[Tensor]]:
        model.zero_grad()
        hook = forward_to_hook(model, IDS, MASK, 2, frozen=below)
        final = final_hidden_states(model, IDS, MASK, frozen=below)
        (final[MASK == 1].pow(2).sum() + hook[MASK == 1].pow(2).sum()).backward()
        top = model.get_submodule(_last_block(model))
        return hook.detach(), final.detach(), [p.grad for p in top.parameters() if p.grad is not None]

    for found, expected in zip(gradients(frozen), gradients(None), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def _last_block(model: PreTrainedModel) -> str:
    return next(name for name, _ in reversed(list(model.named_modules())) if name.endswith(".2"))
