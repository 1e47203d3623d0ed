"""A model folder that is damaged, or made to do harm: one line that names the file, and nothing hangs."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from atu.embedding.config import EncoderConfig
from atu.embedding.encoder import load_encoder
from atu.errors import UserError
from atu.models.config import ModelConfig
from atu.models.gguf import convert_gguf
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model

UP = "model.layers.0.mlp.up_proj.weight"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path, tiny_folder: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "own"))


def fault(folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """The one line that loading the folder ends with; nothing else is printed."""
    with pytest.raises(UserError) as caught:
        load_language_model(resolve_model(str(folder)), device="cpu")
    assert capfd.readouterr() == ("", "")
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)
    return str(caught.value)


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def change_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changes))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop(UP), f"are incomplete: 1 tensor is missing, such as {UP}."),
        (lambda weights: weights.clear(), "are incomplete: 30 tensors are missing, such as lm_head.weight."),
        (
            lambda weights: weights.update({UP: torch.ones(3, 5)}),
            f"do not belong to config.json: 1 tensor is of another shape, such as {UP}, which has 3x5 where the config "
            "says 128x64.",
        ),
    ],
)
def test_tensors_that_are_not_the_models_are_named(
    folder: Path, capfd: pytest.CaptureFixture[str], change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    change_weights(folder, change)
    assert fault(folder, capfd) == f"The weights of 'own' in {folder} {message}"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_named_and_never_scored(
    folder: Path, capfd: pytest.CaptureFixture[str], value: float
) -> None:
    change_weights(folder, lambda weights: weights[UP][3, 5].fill_(value))
    assert fault(folder, capfd) == (
        f"The weights of 'own' in {folder}: 1 tensor is not made of finite numbers alone, such as {UP}. Get the model "
        "again, or load it in another type if this one is too narrow (dtype)."
    )


@pytest.mark.parametrize(("dtype", "kind"), [(torch.int64, "I64"), (torch.int8, "I8"), (torch.bool, "BOOL")])
def test_weights_in_whole_numbers_are_not_taken_for_fractions(
    folder: Path, capfd: pytest.CaptureFixture[str], dtype: torch.dtype, kind: str
) -> None:
    change_weights(folder, lambda weights: weights.update({UP: weights[UP].to(dtype)}))
    assert fault(folder, capfd) == (
        f"The weights of 'own' in {folder}: {UP} is of type {kind}, which no weight has, and config.json has no "
        "quantization_config. Get the model again."
    )


def test_masks_that_older_models_were_saved_with_are_no_weights(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update({"model.layers.0.self_attn.bias": torch.ones(4, 4).bool()}))
    load_language_model(resolve_model(str(folder)), device="cpu")


def test_finite_weights_with_which_nothing_finite_is_computed(folder: Path) -> None:
    change_weights(folder, lambda weights: weights[UP].fill_(1e38))
    with pytest.raises(UserError, match="computes NaN or infinity"):
        load_language_model(resolve_model(str(folder)), device="cpu")


def test_a_folder_without_a_tokenizer(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "tokenizer.json").unlink()
    assert fault(folder, capfd) == (
        f"The tokenizer of 'own' cannot be loaded from {folder}: no tokenizer.json, nor another file that holds one, "
        "is there."
    )


def test_a_tokenizer_of_few_tokens_whose_ids_the_model_lacks(folder: Path) -> None:
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    words = content["model"]["vocab"]
    merged = next(word for word, number in words.items() if number == len(words) - 1)
    words[merged] = 5000
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="has 5001 tokens, its model only 400: they do not belong together"):
        load_language_model(resolve_model(str(folder)), device="cpu")


@pytest.mark.parametrize("value", ["2", -5, [2, "3"], 1.0, True])
def test_an_end_of_answers_that_is_no_token_id(folder: Path, capfd: pytest.CaptureFixture[str], value: Any) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": value}))
    assert "eos_token_id must be a token id or a list of them" in fault(folder, capfd)


def test_finite_weights_whose_sum_is_not_are_loaded(folder: Path) -> None:
    # Rows of tokens that are not asked: what is computed stays finite.
    change_weights(folder, lambda weights: weights["model.embed_tokens.weight"][300:].fill_(1e38))
    load_language_model(resolve_model(str(folder)), device="cpu")


def test_an_encoder_whose_weights_are_not_finite_is_refused(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    name = "encoder.layer.0.output.dense.bias"
    change_weights(folder, lambda weights: weights[name][0].fill_(float("nan")))
    with pytest.raises(UserError, match=f"not made of finite numbers alone, such as {name}"):
        load_encoder(EncoderConfig(name="own", model_name=str(folder)), device="cpu")


def test_tensors_that_the_config_has_no_place_for_are_told_of(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change_config(folder, num_hidden_layers=2)  # a model of three blocks, of which one would silently be left out
    load_language_model(resolve_model(str(folder)), device="cpu")
    assert capfd.readouterr().err == (
        f"warning: The weights of 'own' in {folder}: 9 tensors are not read, such as "
        "model.layers.2.input_layernorm.weight; config.json has no place for it.\n"
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "'weight_map' must say which file each tensor lies in"),
        ([], "expected a JSON object {...}, found a list"),
        (7, "expected a JSON object {...}, found a number"),
        ({"weight_map": {}}, "'weight_map' must say which file each tensor lies in"),
        ({"weight_map": []}, "'weight_map' must say which file each tensor lies in"),
        *(
            ({"weight_map": {UP: name}}, f"lies in {name!r}, which is no name of a file beside it")
            for name in ("../model.safetensors", "/etc/passwd", "a/b", ".hidden")
        ),
        ({"weight_map": {UP: 3}}, "lies in '3', which is no name of a file beside it"),
        ({"weight_map": {UP: "other.safetensors"}}, "lacks 1 of 1 weight files: other.safetensors"),
    ],
)
def test_an_index_of_weights_that_is_none(
    folder: Path, capfd: pytest.CaptureFixture[str], value: object, message: str
) -> None:
    (folder / INDEX).write_text(json.dumps(value))
    assert message in fault(folder, capfd)


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected a JSON object {...}, found a list."),
        ("3", "expected a JSON object {...}, found a number."),
        ("{", "not valid JSON (Expecting property name enclosed in double quotes at character 2)."),
        ("[" * 100_000, "nested more than 64 deep."),
        (b"\xff", "not UTF-8 text. Save the file as UTF-8."),
    ],
    ids=["list", "number", "cut", "deep", "bytes"],
)
def test_a_config_that_is_none(
    folder: Path, capfd: pytest.CaptureFixture[str], name: str, content: str | bytes, message: str
) -> None:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    assert fault(folder, capfd) == f"{folder}/{name}: {message}"


@pytest.mark.parametrize("value", [0, -4, 1.5, True, "four", 10**12, 10**400])
@pytest.mark.parametrize("key", ["num_attention_heads", "hidden_size", "num_hidden_layers", "vocab_size", "head_dim"])
def test_a_size_that_no_model_has(folder: Path, capfd: pytest.CaptureFixture[str], key: str, value: Any) -> None:
    change_config(folder, **{key: value})
    assert fault(folder, capfd).startswith(f"{folder}/config.json: ")


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_attention_heads", 3), ("dtype", []), ("rope_parameters", []), ("pad_token_id", 10**9), ("hidden_act", "x")],
)
def test_what_only_the_library_knows_to_be_wrong(
    folder: Path, capfd: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    change_config(folder, **{key: value})
    assert f"'own' cannot be loaded from {folder}: " in fault(folder, capfd)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "generation_config.json", "tokenizer.json", "chat_template.jinja", INDEX]
)
def test_a_pipe_in_place_of_a_file(folder: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    assert fault(folder, capfd) == f"{folder}/{name} is a pipe, not a file. Give a file."


@pytest.mark.parametrize("size", [0, 8, 100, 5000])
def test_weights_that_were_cut(folder: Path, capfd: pytest.CaptureFixture[str], size: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    assert fault(folder, capfd).startswith(f"'own' cannot be loaded from {folder}: ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no GGUF file, or a damaged one: it does not begin with GGUF."),
        (b"PK\x03\x04" + b"\0" * 100, "is no GGUF file, or a damaged one: it does not begin with GGUF."),
        (b"GGUF", "cannot be read, it may be cut: "),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "cannot be read, it may be cut: "),
        (b"GGUF\x03\0\0\0" + b"\0" * 16, "cannot be read, it may be cut: "),
    ],
)
def test_a_gguf_file_that_is_none_or_was_cut(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        convert_gguf(path, tmp_path / "out", storage_dtype="float32")
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["pipe", "cut"])
def test_a_text_encoder_that_is_damaged(
    tmp_path: Path, tiny_encoder: Path, capfd: pytest.CaptureFixture[str], name: str, kind: str
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "encoder"))
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).write_bytes(content[:50])
    with pytest.raises(UserError) as caught:
        load_encoder(EncoderConfig(name="own", model_name=str(folder)), device="cpu")
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_tokenizer_of_elsewhere_is_checked_too(folder: Path, tiny_folder: Path) -> None:
    (folder / "tokenizer.json").write_text("[]")
    config = ModelConfig(name="own", model_name=str(tiny_folder), tokenizer_name=str(folder))
    with pytest.raises(UserError, match=r"tokenizer\.json: expected a JSON object"):
        load_language_model(config, device="cpu")
