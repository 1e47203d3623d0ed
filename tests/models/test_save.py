"""The exported folder: whole or not there, read by plain transformers, with a card that tells its story."""

from __future__ import annotations

import dataclasses
import json
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import yaml
from markdown_it import MarkdownIt
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from atu.errors import UserError
from atu.model_card import ModelCard
from atu.models.chat_template import ChatSettings
from atu.models.language_model import LanguageModel, wrap
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model
from atu.models.save import check_export, check_reload, export_model
from atu.records import Score
from atu.text.escaping import one_line

CARD = ModelCard(
    base_model="org/tiny: a test",
    target="William Shakespeare",
    method="unlearning_atu",
    config_hash="abc123",
    before={
        "forget/all": Score(value=87.04, n=61, low=78, high=95),
        "nll/forget@known": Score(value=0.7, n=30, low=0.5, high=0.9),
        "p/forget@known": Score(value=0.5731, n=30, low=0.5, high=0.65),
    },
    after={"forget/all": Score(value=23.0, n=61, low=13, high=34)},
)
PROMPTS = ("Who wrote Hamlet?", "What is the capital of Japan?")


def rendered(llm: LanguageModel) -> list[str]:
    return [llm.render(prompt) for prompt in PROMPTS]


@contextmanager
def file_size_limit(num_bytes: int) -> Iterator[None]:
    """As on a disk with no more room: a write beyond the limit fails with EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_plain_transformers_loads_the_export_and_answers_alike(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "model"
    export_model(tiny_llm, folder, CARD)
    check_reload(tiny_llm, folder, rendered(tiny_llm))
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "chat_template.jinja",
        "config.json",
        "digests.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]
    for path in folder.glob("*.json"):  # no trace of the machine that made it
        assert str(tiny_llm.tokenizer.name_or_path) not in path.read_text()


def test_all_end_tokens_go_into_the_generation_config(tiny_folder: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype="float32")
    model.generation_config = GenerationConfig(eos_token_id=0)
    llm = wrap(model, AutoTokenizer.from_pretrained(tiny_folder), label="tiny")
    assert llm.end_ids == (2, 0)  # tokenizer and template say 2, the generation config 0
    export_model(llm, tmp_path / "model", CARD)
    assert GenerationConfig.from_pretrained(tmp_path / "model").eos_token_id == [2, 0]
    assert model.generation_config.eos_token_id == 0  # the model in memory is left as it was


def test_settings_without_effect_do_not_keep_a_model_from_being_exported(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in Vicuna's and Llama 2's generation config: transformers loads it, and refuses to save it."""
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "vicuna"))
    GenerationConfig(eos_token_id=2).save_pretrained(folder)
    settings = json.loads((folder / "generation_config.json").read_text())
    settings |= {"do_sample": False, "temperature": 0.9, "top_p": 0.6}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    llm = load_language_model(resolve_model(str(folder)), device="cpu")
    check_export(llm)
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning:")]
    assert line == (
        "warning: The generation config of vicuna sets temperature, top_p to no effect; the exported model leaves "
        "that out."
    )
    export_model(llm, tmp_path / "model", CARD)
    check_reload(llm, tmp_path / "model", rendered(llm))
    assert not {"temperature", "top_p"} & json.loads((tmp_path / "model" / "generation_config.json").read_text()).keys()
    assert llm.model.generation_config.temperature == 0.9  # the model in memory is left as it was


class Unsavable(PreTrainedTokenizerFast):
    """A tokenizer that is never saved."""

    def save_pretrained(self, *_args: object, **_kwargs: object) -> tuple[str, ...]:
        raise ValueError("There is no vocabulary to save.\nFix this.")


class Forgetful(PreTrainedTokenizerFast):
    """A tokenizer that comes back without its chat template."""

    def save_chat_templates(self, *_args: object, **_kwargs: object) -> tuple[dict[str, object], list[str]]:
        return {}, []


@pytest.mark.parametrize(
    ("kind", "reason"), [(Unsavable, "There is no vocabulary to save."), (Forgetful, "reads text as other tokens")]
)
def test_a_tokenizer_that_does_not_survive_the_export_is_refused_before_training(
    tiny_llm: LanguageModel, tiny_folder: Path, kind: type[PreTrainedTokenizerFast], reason: str
) -> None:
    llm = dataclasses.replace(tiny_llm, tokenizer=kind.from_pretrained(tiny_folder))
    with pytest.raises(UserError, match="'tiny' could not be exported after training: ") as caught:
        check_export(llm)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_trying_the_export_leaves_the_model_as_it_was(tiny_llm: LanguageModel) -> None:
    before = tiny_llm.model.generation_config
    check_export(tiny_llm)
    assert tiny_llm.model.generation_config is before


def test_how_a_model_was_asked_goes_with_it(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    """So that an evaluation of the folder asks in the same words."""
    chat = ChatSettings(kwargs={"enable_thinking": True, "date_string": "1 May 1999"}, date="2025-03-09")
    export_model(dataclasses.replace(tiny_llm, chat=chat), tmp_path / "model", CARD)
    found = resolve_model(str(tmp_path / "model"))
    assert ChatSettings(kwargs=found.chat_template_kwargs, date=found.chat_template_date) == chat


def test_changed_weights_are_noticed(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    export_model(tiny_llm, tmp_path / "model", CARD)
    weights = tmp_path / "model" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.norm.weight"] = torch.randn(64, generator=torch.Generator().manual_seed(0))
    save_file(tensors, weights, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"does not answer like the one in memory: given '.*' it says ") as caught:
        check_reload(tiny_llm, tmp_path / "model", rendered(tiny_llm))
    assert "\n" not in str(caught.value)


def test_a_wrong_end_token_is_noticed(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    export_model(tiny_llm, folder, CARD)
    prompt = rendered(tiny_llm)[0]
    ids = tiny_llm.encode(prompt)
    output = tiny_llm.model.generate(torch.tensor([ids]), max_new_tokens=3, do_sample=False)
    second = int(output[0, len(ids) + 1])
    GenerationConfig(eos_token_id=[second], pad_token_id=2).save_pretrained(folder)  # ends too early
    with pytest.raises(UserError, match="does not answer like the one in memory"):
        check_reload(tiny_llm, folder, [prompt])


@pytest.mark.parametrize("limit", [200_000, 100])  # the weights do not fit; nothing fits
def test_a_full_disk_leaves_no_partial_folder(tiny_llm: LanguageModel, tmp_path: Path, limit: int) -> None:
    with file_size_limit(limit), pytest.raises(UserError, match=r"^Cannot write .*model") as caught:
        export_model(tiny_llm, tmp_path / "model", CARD)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_earlier_export(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    export_model(tiny_llm, tmp_path / "model", CARD)
    with file_size_limit(200_000), pytest.raises(UserError, match="Cannot write"):
        export_model(tiny_llm, tmp_path / "model", CARD)
    check_reload(tiny_llm, tmp_path / "model", rendered(tiny_llm))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_second_export_replaces_the_first(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    export_model(tiny_llm, tmp_path / "model", CARD)
    (tmp_path / "model" / "stale.txt").write_text("old")
    export_model(tiny_llm, tmp_path / "model", CARD)
    assert not (tmp_path / "model" / "stale.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_other_things_is_left_alone(tiny_llm: LanguageModel, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="is no model folder; it was left alone"):
        export_model(tiny_llm, tmp_path, CARD)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_card_tells_what_was_forgotten_how_and_with_what_effect() -> None:
    text = CARD.render({"sha256": "f" * 64})
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["base_model"] == "org/tiny: a test"
    assert front["license"] == "unknown"
    assert "unlearning" in front["tags"]
    assert "forget **William Shakespeare** with `unlearning_atu`" in text
    assert "| forget/all | 87.0 (78.0 to 95.0, n 61) | 23.0 (13.0 to 34.0, n 61) |" in text
    assert "Forgotten: still answered 87 → 23% (26% left)." in text
    assert "| nll/forget@known | 0.70 (0.50 to 0.90, n 30) |  |" in text
    assert "| p/forget@known | 0.573 (0.500 to 0.650, n 30) |  |" in text
    assert "config hash: `abc123`" in text
    assert f"sha256 `{'f' * 64}`" in text
    assert f"torch {torch.__version__.split('+')[0]}" in text
    assert "AutoModelForCausalLM.from_pretrained(folder)" in text


def test_names_in_the_card_are_text_and_no_markup() -> None:
    name = "a\n---\nlicense: mit | <img src=x onerror=alert(1)> **b** `c`\x1b[2J"
    card = dataclasses.replace(CARD, base_model=name, target=name, method=name, remarks=(name,))
    text = card.render({"sha256": name})
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    values = yaml.safe_load(front)
    assert values["license"] == "unknown"
    assert values["base_model"] == one_line(name)
    parsed = MarkdownIt("commonmark", {"html": True}).enable("table").parse(body)
    kinds = {token.type for token in (*parsed, *(child for token in parsed for child in token.children or ()))}
    assert not [kind for kind in kinds if kind.startswith(("html", "image", "link"))]
    bold = [child.content for token in parsed for child in token.children or () if child.type == "text"]
    assert one_line(name) in "".join(bold)
    assert "\x1b" not in text


@pytest.mark.model
def test_the_embedded_model_survives_export(smollm2: LanguageModel, tmp_path: Path) -> None:
    export_model(smollm2, tmp_path / "model", CARD)
    check_reload(smollm2, tmp_path / "model", rendered(smollm2))
    shutil.rmtree(tmp_path / "model")  # 538 MB
