"""Something is wrong with a file that a run reads: one line, and a run folder that says the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer
from workplace import write_jsonl

from .conftest import SHORT, Command

CHOOSE = "Give the folder or the hub id of a sentence encoder, or choose text_encoder=all-minilm-l6-v2."


def test_a_text_encoder_that_is_missing(command: Command, tmp_path: Path) -> None:
    outcome = command(f"text_encoder.model_name={tmp_path}/nothing")
    outcome.assert_refused(f"text_encoder.model_name: there is no folder {tmp_path}/nothing. {CHOOSE}")
    outcome.assert_nothing_written()


def test_a_text_encoder_without_weights(command: Command, tmp_path: Path, tiny_encoder: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "hollow"))
    (folder / "model.safetensors").unlink()
    outcome = command(f"text_encoder.model_name={folder}")
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: text_encoder 'all-minilm-l6-v2' cannot be loaded from {folder}: ")
    assert outcome.err.endswith(f"{CHOOSE}\n")
    assert outcome.err.count("\n") == 1


def test_a_text_encoder_that_lacks_a_tensor_is_not_filled_with_random_numbers(
    command: Command, tmp_path: Path, tiny_encoder: Path
) -> None:
    folder = Path(shutil.copytree(tiny_encoder, tmp_path / "holed"))
    tensors = load_file(folder / "model.safetensors")
    del tensors["encoder.layer.0.output.dense.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    command(f"text_encoder.model_name={folder}").assert_refused(
        f"The weights of text_encoder 'all-minilm-l6-v2' in {folder} are incomplete: 1 tensor is missing, such as "
        "encoder.layer.0.output.dense.weight."
    )


@pytest.mark.parametrize("layer", ["4", "0", "-1", "1.5"])
def test_a_hook_layer_out_of_range(command: Command, layer: str) -> None:
    outcome = command(f"task.training_module.pretrained_model_hook_layer={layer}")
    outcome.assert_refused(
        f"task.training_module.pretrained_model_hook_layer={layer} is out of range: this model takes a layer from 1 "
        "to 3, or a fraction of its depth between 0 and 1, such as 0.8."
    )
    outcome.assert_nothing_written()


@pytest.mark.parametrize(("k", "side"), [(60, "every text"), (14, "every retain text")])
def test_windows_longer_than_every_text(command: Command, k: int, side: str) -> None:
    # In encoder tokens the longest forget text has 17 and the longest retain text 9.
    outcome = command(f"text_encoder.window_tokens={k}", f"text_encoder.min_window_tokens={k}")
    outcome.assert_refused(
        f"text_encoder.min_window_tokens={k} is longer than {side} of the corpus: lower it or give longer texts."
    )
    outcome.assert_nothing_written()


def test_a_corpus_file_that_is_missing(command: Command, tmp_path: Path) -> None:
    (tmp_path / "forget.jsonl").unlink()
    command().assert_refused(f"The corpus file {tmp_path}/forget.jsonl does not exist.")


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_an_empty_corpus(command: Command, tmp_path: Path, content: str) -> None:
    (tmp_path / "forget.jsonl").write_text(content)
    outcome = command()
    outcome.assert_refused(
        f'The corpus file {tmp_path}/forget.jsonl is empty: write one JSON object a line, such as {{"text": "..."}}.'
    )
    outcome.assert_nothing_written()


def test_a_corpus_of_one_text(command: Command, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "forget.jsonl", [{"text": "Zorblatt wrote a river."}, {"text": "zorblatt  wrote a river."}])
    command().assert_refused("The corpus has 1 different texts about the concept (forget); at least 2 are needed.")


def test_a_corpus_in_which_no_word_stands_for_the_concept(command: Command, tmp_path: Path) -> None:
    shutil.copy(tmp_path / "retain.jsonl", tmp_path / "forget.jsonl")
    outcome = command("task=unlearning_distill", "task.stages=[{type: unlearning, steps: 1}]")
    outcome.assert_refused(
        "No word is frequent in the texts about 'Zorblatt' and rare in the others, so there is nothing to hide: give "
        "more texts, above all texts that name the concept and texts that do not."
    )
    outcome.assert_failed()


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ('{"text": "cut', "not valid JSON (Unterminated string starting at character 10)."),
        ('["text"]', "expected a JSON object {...}, found a list."),
        ('{"text": " "}', 'each line must be an object with a non-empty string "text".'),
        ('{"text": "a", "titel": "b"}', "unknown field 'titel'; known are text, subject, prompt."),
    ],
)
def test_a_broken_row_of_the_corpus(command: Command, tmp_path: Path, row: str, fault: str) -> None:
    path = tmp_path / "retain.jsonl"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:2], "", row, *rows[2:]]))
    command().assert_refused(f"{path}, line 4: {fault}")


def test_a_broken_probe_is_found_before_anything_is_computed(command: Command, tmp_path: Path) -> None:
    with (tmp_path / "probes.jsonl").open("a") as file:
        file.write('{"group": "forget/qa", "prompt": "Who?", "references": ["a"], "max_new_tokens": "many"}\n')
    outcome = command()
    outcome.assert_refused(f'{tmp_path}/probes.jsonl, line 13: "max_new_tokens" must be a whole number in 1..4096.')
    outcome.assert_nothing_written()


def test_a_mended_file_lets_the_same_command_through(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "retain.jsonl"
    whole = path.read_text()
    path.write_text(whole + "{\n")
    assert command(*SHORT).code == 2
    path.write_text(whole)
    outcome = command(*SHORT)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.status["state"] == "done"


def test_a_model_without_chat_template_is_asked_in_plain_words(
    command: Command, tmp_path: Path, tiny_folder: Path
) -> None:
    # How: tests/models/test_language_model.py.
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "plain"))
    (folder / "chat_template.jinja").unlink()
    assert AutoTokenizer.from_pretrained(folder).chat_template is None
    outcome = command(*SHORT, f"pre_trained_llm={folder}")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.status["state"] == "done"
