"""Which layers a task reads and moves, and what is refused before a model is loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny_training import task

from atu.errors import UserError
from atu.methods.layers import check_layers, resolve_hook_layer, resolve_layers, resolve_trained_layers
from atu.models.config import ModelConfig
from atu.models.depth import known_depth
from atu.models.resolve import resolve_model


@pytest.mark.parametrize(
    ("value", "layer"),
    [
        (1, 1),
        (30, 30),
        (0.8, 24),  # 0.8 * 30
        (0.5, 15),
        (0.01, 1),  # 0.3 rounds to 0, which would be the embedding
        (0.99, 30),  # 29.7
        (0.05, 2),  # 1.5 rounds up
    ],
)
def test_hook_layer_is_an_index_or_a_fraction_of_the_depth(value: float, layer: int) -> None:
    assert resolve_hook_layer(value, 30) == layer


@pytest.mark.parametrize("value", [0, 31, -1, 0.0, 1.0, 1.5, 24.0, float("nan"), True])
def test_hook_layer_out_of_range_names_key_and_range(value: float) -> None:
    with pytest.raises(UserError, match=r"pretrained_model_hook_layer=.* a layer from 1 to 30, or a fraction"):
        resolve_hook_layer(value, 30)


def test_first_trained_layer_is_a_number_or_a_share_of_the_depth() -> None:
    found = [resolve_trained_layers(value, None, 30) for value in (0, 7, 29, 0.5, 0.01, 0.999)]
    assert found == [range(start, 30) for start in (0, 7, 29, 15, 0, 29)]
    for wrong in (-1, 30, 1.0, -0.5):
        with pytest.raises(UserError, match=r"^task\.training_module\.first_trained_layer=.* is out of range"):
            resolve_trained_layers(wrong, None, 30)


def test_last_trained_layer_is_the_number_of_the_highest_that_moves() -> None:
    found = [resolve_trained_layers(0, value, 30) for value in (1, 30, 0.5, 0.1)]
    assert found == [range(stop) for stop in (1, 30, 15, 3)]
    for wrong in (0, 31, 1.0, 0.01):
        with pytest.raises(UserError, match=r"^task\.training_module\.last_trained_layer=.* is out of range"):
            resolve_trained_layers(0, wrong, 30)
    with pytest.raises(
        UserError, match=r"first_trained_layer=0\.5 and .*last_trained_layer=15 leave no layer to train"
    ):
        resolve_trained_layers(0.5, 15, 30)


def test_a_hook_layer_among_blocks_that_stay_is_refused_for_terms_that_read_it_alone() -> None:
    module = {"pretrained_model_hook_layer": 10, "first_trained_layer": 0.5}
    for depth in (20, 32):  # the hook layer is the last block that stays, or far below
        with pytest.raises(
            UserError, match=f"leaves the first {depth // 2} blocks as they are, .* is block 10: nothing"
        ):
            resolve_layers(task(module, push={}), depth)
        assert resolve_layers(task(module, ga={}), depth).hook == 10
    found = resolve_layers(task(module, push={}), 18)
    assert (found.hook, found.trained) == (10, range(9, 18))


@pytest.fixture
def of_32_blocks(tmp_path: Path) -> Path:
    """What is looked at of a model before it is loaded; its weights are none."""
    folder = tmp_path / "model-of-32"
    folder.mkdir()
    (folder / "config.json").write_text('{"num_hidden_layers": 32}')
    (folder / "model.safetensors").touch()
    return folder


def test_the_depth_of_a_model_folder_is_known_before_it_is_loaded(of_32_blocks: Path) -> None:
    assert known_depth(resolve_model(str(of_32_blocks))) == 32


@pytest.mark.parametrize(
    ("content", "depth"),
    [
        ({"text_config": {"num_hidden_layers": 26}, "vision_config": {"num_hidden_layers": 3}}, 26),
        ({"n_layer": 12}, 12),
        ({"num_hidden_layers": "many"}, None),
        ({"num_hidden_layers": 0}, None),
        ({"num_hidden_layers": True}, None),
        ({"text_config": None}, None),
        ([], None),
        ("{", None),
    ],
)
def test_a_config_of_another_form_says_the_depth_or_nothing(
    of_32_blocks: Path, content: Any, depth: int | None
) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (of_32_blocks / "config.json").write_text(text)
    assert known_depth(ModelConfig(name="m", model_name=str(of_32_blocks))) == depth


def test_the_depth_of_a_converted_model_is_read_in_the_cache(tmp_path: Path, cache: Path) -> None:
    model = ModelConfig(name="m", model_name=str(tmp_path), gguf_file="some.gguf", sha256="0123456789abcdef")
    assert known_depth(model) is None
    converted = cache / "models" / "some-0123456789ab-float32"
    converted.mkdir(parents=True)
    (converted / "config.json").write_text('{"num_hidden_layers": 30}')
    assert known_depth(model) == 30


def test_of_a_hub_model_that_is_not_here_nothing_is_known() -> None:
    model = ModelConfig(name="m", model_name="nobody/has-this-model", revision="0" * 40)
    assert known_depth(model) is None
    check_layers(task({"pretrained_model_hook_layer": 999}, push={}), model)


def test_layers_that_cannot_be_are_refused_without_torch(of_32_blocks: Path) -> None:
    script = (
        "import sys; from atu.launch import launch\n"
        "try: launch('x', sys.argv[1:])\n"
        "finally: print('torch' in sys.modules)"
    )
    overrides = [
        f"pre_trained_llm={of_32_blocks}",
        "task.training_module.pretrained_model_hook_layer=10",
        "name=x",
        f"runs_dir={of_32_blocks.parent / 'runs'}",
    ]
    done = subprocess.run([sys.executable, "-c", script, *overrides], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert done.stderr.startswith("error: task.training_module.first_trained_layer leaves the first 16 blocks as they")
    assert done.stderr.count("\n") == 1
    assert not (of_32_blocks.parent / "runs").exists()
