"""Loading from folder, hub cache and GGUF, and what a damaged or foreign model is told."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from atu.errors import UserError
from atu.models.config import ModelConfig
from atu.models.language_model import LanguageModel
from atu.models.load import load_language_model
from atu.storage.user_files import file_sha256


def load(folder: Path | str, **settings: object) -> LanguageModel:
    config = ModelConfig(name="tiny", model_name=str(folder), **settings)  # type: ignore[arg-type]
    return load_language_model(config, device="cpu")


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_is_loaded_ready_for_evaluation(tiny_folder: Path) -> None:
    llm = load(tiny_folder)
    assert llm.label == "tiny"
    assert llm.model.dtype == torch.float32
    assert not llm.model.training
    checksum = file_sha256(tiny_folder / "model.safetensors")
    assert {**llm.provenance, "settings": ""} == {
        "source": str(tiny_folder), "revision": "", "sha256": checksum, "settings": "",
    }  # fmt: skip


def test_the_same_weights_under_another_config_are_another_model(copy: Path) -> None:
    key = load(copy).weights_key
    (copy / "README.md").write_text("For people.")
    assert load(copy).weights_key == key
    edit_json(copy / "config.json", rope_theta=500.0, rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    assert load(copy).weights_key != key


def test_the_dtype_is_the_configs_not_the_files(tiny_folder: Path) -> None:
    assert load(tiny_folder, dtype="bfloat16").model.dtype == torch.bfloat16


def test_a_checksum_is_compared(tiny_folder: Path) -> None:
    load(tiny_folder, sha256=file_sha256(tiny_folder / "model.safetensors"))
    with pytest.raises(UserError, match=r"wrong checksum: expected sha256 0{64}, got [0-9a-f]{64}"):
        load(tiny_folder, sha256="0" * 64)


def test_a_cut_weights_file_is_an_error_of_one_line(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(UserError, match=r"^'tiny' cannot be loaded from .*") as caught:
        load(copy)
    assert "\n" not in str(caught.value)


def test_a_missing_tensor_is_not_filled_with_random_numbers(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"1 tensor is missing, such as model\.layers\.1\.mlp\.up_proj\.weight"):
        load(copy)


def test_a_tensor_of_another_shape_is_refused(copy: Path) -> None:
    edit_json(copy / "config.json", intermediate_size=96)
    with pytest.raises(UserError, match=r"9 tensors are of another shape, such as "):
        load(copy)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(copy: Path, tiny_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(copy)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(copy)
    with pytest.raises(UserError, match="tokenizer of 'tiny' has 401 tokens, its model only 400"):
        load(tiny_folder, tokenizer_name=str(copy))


def test_a_missing_tokenizer_is_named(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    (copy / "tokenizer_config.json").unlink()
    with pytest.raises(UserError, match="tokenizer of 'tiny' cannot be loaded"):
        load(copy)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        ('{"eos_token_id": [2', "not valid JSON"),
        ('{"eos_token_id": "</s>"}', "eos_token_id must be a token id"),
        ('{"suppress_tokens": 5}', "is no generation config"),
        ('{"num_return_sequences": 3}', "is no generation config"),
    ],
)
def test_a_generation_config_that_cannot_be_read_is_named(copy: Path, content: str, reason: str) -> None:
    """Transformers goes on without a broken one, and answers then run on behind their end."""
    (copy / "generation_config.json").write_text(content)
    with pytest.raises(UserError, match=reason) as caught:
        load(copy)
    assert "generation_config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_without_fast_attention_is_told_what_to_set(tiny_folder: Path, tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=400, hidden_size=16, state_size=4, num_hidden_layers=1, eos_token_id=2)
    MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(tmp_path / "mamba")
    with pytest.raises(UserError, match=r"attn_implementation=sdpa: .* Set it to eager\.$"):
        load(tmp_path / "mamba")
    assert load(tmp_path / "mamba", attn_implementation="eager").turn_end == 2


def test_code_of_a_model_is_not_run_unless_trusted(copy: Path, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    (copy / "foreign.py").write_text(f"open({str(ran)!r}, 'w')\n")
    auto_map = {"AutoConfig": "foreign.Config", "AutoModelForCausalLM": "foreign.Model"}
    edit_json(copy / "config.json", model_type="foreign", auto_map=auto_map)
    with pytest.raises(UserError, match=r"Python code of its own, .* pre_trained_llm\.trust_remote_code=true"):
        load(copy)
    assert not ran.exists()


def test_a_model_that_is_no_causal_one_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    sizes = {"vocab_size": 400, "d_model": 8, "d_ff": 8, "d_kv": 4, "num_layers": 1, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(**sizes)).save_pretrained(tmp_path / "t5")
    with pytest.raises(UserError, match=r"'tiny' cannot be loaded from .*T5Config"):
        load(tmp_path / "t5")


def test_without_a_gpu_cuda_is_refused(tiny_folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="no usable CUDA GPU"):
        load_language_model(ModelConfig(name="tiny", model_name=str(tiny_folder)), device="cuda")


@pytest.fixture
def hub(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The hub, offline: its cache holds the tiny model as org/tiny. Returns the commit."""
    commit = "0123456789012345678901234567890123456789"
    repository = tmp_path / "hub" / "models--org--tiny"
    shutil.copytree(tiny_folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return commit


def test_a_hub_model_without_revision_warns_and_tells_the_commit(hub: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="atu"):
        llm = load("org/tiny")
    assert llm.provenance["source"] == "hub org/tiny"
    assert llm.provenance["revision"] == hub
    assert f"pre_trained_llm.revision={hub}" in caplog.text


def test_a_pinned_hub_model_loads_without_warning(hub: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="atu"):
        assert load("org/tiny", revision=hub).provenance["revision"] == hub
    assert not caplog.text


def test_a_model_that_is_nowhere_is_told_in_one_line(hub: str) -> None:
    with pytest.raises(UserError, match=r"'org/other' is neither a model folder nor can it be had") as caught:
        load("org/other")
    assert "\n" not in str(caught.value)


def write_gguf(folder: Path, path: Path) -> None:
    """The tiny model as llama.cpp writes it, with Q8_0 feed-forward weights and all others in float32."""
    model = LlamaForCausalLM.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)

    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(vocabulary["vocab"], key=vocabulary["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges([" ".join(pair) for pair in vocabulary["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template((folder / "chat_template.jinja").read_text())

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        array = tensor.numpy()
        for part, num_heads in heads.items():
            if part in name:  # llama.cpp keeps the two halves of a rotary pair side by side
                halves = array.reshape(num_heads, 2, -1, array.shape[1])
                array = np.ascontiguousarray(halves.swapaxes(1, 2).reshape(array.shape))
        kind = gguf.GGMLQuantizationType.Q8_0 if ".mlp." in name else gguf.GGMLQuantizationType.F32
        target = names.get_name(name, try_suffixes=(".weight",))
        writer.add_tensor(target, gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_becomes_the_same_model_and_is_converted_once(
    tiny_folder: Path, tmp_path: Path, cache: Path
) -> None:
    write_gguf(tiny_folder, tmp_path / "tiny.gguf")
    llm = load(tmp_path, gguf_file="tiny.gguf")
    original = load(tiny_folder)
    assert llm.end_ids == (2,)
    assert llm.encode(llm.render("Who wrote Hamlet?")) == original.encode(original.render("Who wrote Hamlet?"))
    found = llm.model.state_dict()
    for name, weight in original.model.state_dict().items():
        expected = weight.numpy()
        if ".mlp." in name:  # the reference is the gguf library
            packed = gguf.quants.quantize(expected, gguf.GGMLQuantizationType.Q8_0)
            expected = gguf.quants.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)
        np.testing.assert_array_equal(found[name].numpy(), expected, err_msg=name)

    (folder,) = [path for path in (cache / "models").iterdir() if path.is_dir()]
    generation = json.loads((folder / "generation_config.json").read_text())
    assert generation["eos_token_id"] == [2]
    assert "_from_model_config" not in generation

    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert load(tmp_path / "tiny.gguf").provenance["sha256"] == llm.provenance["sha256"]
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_a_gguf_file_is_parsed_once(
    tiny_folder: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real vocabularies take seconds each time."""
    parsed = []

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        def __init__(self, path: str) -> None:
            parsed.append(Path(path).name)
            super().__init__(path)

    monkeypatch.setattr(gguf, "GGUFReader", Reader)
    write_gguf(tiny_folder, tmp_path / "tiny.gguf")
    load(tmp_path / "tiny.gguf")
    assert parsed == ["tiny.gguf"]
    assert gguf.GGUFReader is Reader  # as it was before


def test_a_gguf_file_may_be_stored_in_half_the_space(tiny_folder: Path, tmp_path: Path, cache: Path) -> None:
    write_gguf(tiny_folder, tmp_path / "tiny.gguf")
    load(tmp_path / "tiny.gguf", storage_dtype="bfloat16")
    (weights,) = (cache / "models").glob("*/model.safetensors")
    assert {tensor.dtype for tensor in load_file(weights).values()} == {torch.bfloat16}


def test_a_gguf_file_with_a_wrong_checksum_is_not_converted(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"abc")
    with pytest.raises(UserError, match=r"x\.gguf has the wrong checksum: expected sha256 0{64}, got ba7816bf"):
        load(tmp_path, gguf_file="x.gguf", sha256="0" * 64)
    assert not cache.exists()


def test_a_file_that_is_no_gguf_is_told_as_such(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(b"abc" * 100)
    with pytest.raises(UserError, match=r"x\.gguf is no GGUF file, or a damaged one"):
        load(tmp_path / "x.gguf")
    with pytest.raises(UserError, match=r"There is no GGUF file .*y\.gguf"):
        load(tmp_path, gguf_file="y.gguf")


@pytest.mark.model
def test_the_embedded_model_is_bit_for_bit_the_known_one(smollm2: LanguageModel) -> None:
    # Checksum measured on the weights dequantised and written by transformers 5.24 and torch 2.13.
    expected = "a672150fb4f99d7c8f4168cecdd464069c0ef3a37d8113f22ddb9d48031d03cd"
    assert smollm2.provenance["sha256"] == expected
    assert smollm2.end_ids == (2,)
    assert smollm2.pad_id == 2
    ids = smollm2.encode(smollm2.render("Who wrote Hamlet?"))
    assert ids[:2] == [1, 9690]  # <|im_start|>system
    output = smollm2.model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)
    assert "William Shakespeare" in smollm2.tokenizer.decode(output[0, len(ids) :])
