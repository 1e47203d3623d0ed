"""What `atu teach` can be told, and what it refuses."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from atu.benchmarks.catalog import BENCHMARKS
from atu.errors import UserError
from atu.storage.config_dir import config_dir
from atu.teaching.config import Recipe, config_hash, load_teach_config, split_targets


def test_the_yaml_holds_every_key_but_out_with_its_default() -> None:
    written = yaml.safe_load((config_dir() / "teach.yaml").read_text(encoding="utf-8"))
    config = load_teach_config({"out": "x"}, [])
    assert written["recipe"] == asdict(Recipe())
    assert written.pop("without") == list(config.without) == []
    assert written | {"pre_trained_llm": None, "out": "x", "without": ()} == asdict(config) | {"pre_trained_llm": None}
    assert config.pre_trained_llm.name == written["pre_trained_llm"]


def test_options_and_overrides(tiny_folder: Path) -> None:
    config = load_teach_config(
        {"out": "x", "targets": ["1_A", "2_B"]},
        ["seed=3", "recipe.learning_rate=1e-4", "without=2_B", f"pre_trained_llm={tiny_folder}", "threads=null"],
    )
    assert (config.seed, config.recipe.learning_rate, config.without, config.threads) == (3, 1e-4, ("2_B",), None)
    assert config.targets == ("1_A", "2_B")
    assert config.pre_trained_llm.model_name == str(tiny_folder)
    assert load_teach_config({"out": "x"}, ["targets=1_A,2_B"]).targets == ("1_A", "2_B")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("all", "all"),
        ("1_Stephen_King, 2_Confucius", ["1_Stephen_King", "2_Confucius"]),
        (
            "10_Prince_Harry,_Duke_of_Sussex,24_Beyoncé,87_Robert_Downey_Jr.",
            ["10_Prince_Harry,_Duke_of_Sussex", "24_Beyoncé", "87_Robert_Downey_Jr."],
        ),
        ("", []),
        (" , ", []),
    ],
)
def test_names_between_commas(text: str, names: str | list[str]) -> None:
    assert split_targets(text) == names


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=1", "Unknown key 'sed'. Did you mean 'seed'?"),
        ("recipe.pases=1", "Unknown key 'recipe.pases'. Did you mean 'passes'?"),
        ("seed.x=1", "There is no key 'seed.x': seed holds a value, not keys."),
        ("seed", "Cannot read 'seed': write key=value, such as seed=1."),
        ("seed=one", "seed: expected a whole number, got 'one'."),
        ("seed=-1", "seed must lie in 0..4294967295, not -1."),
        ("targets=", "targets: expected all or a list, got None."),
        ("targets=[]", "targets is empty: name at least one part of the benchmark, or 'all'."),
        ("recipe.passes=0", "recipe: passes must be at least 1, not 0."),
        ("recipe.learning_rate=0", "recipe: learning_rate must be positive, not 0.0."),
        ("recipe.general_weight=-1", "recipe: general_weight must not be negative, found -1.0."),
        ("limit=0", "limit must be at least 1, or null, not 0."),
        ("benchmark=rwk", f"benchmark: 'rwk' is not one of {', '.join(BENCHMARKS)}. Did you mean 'rwku'?"),
        ("threads=0", "threads must be at least 1, or null, not 0."),
        ("checkpoint_seconds=-1", "checkpoint_seconds must not be negative."),
        ("precision=fp8", "precision: 'fp8' is not one of auto, bf16, fp32."),
        (
            "pre_trained_llm.dtype=bfloat16",
            "pre_trained_llm.dtype must be float32: bfloat16 weights lose updates of this size.",
        ),
        (
            "pre_trained_llm=smollm2-135m",
            "Unknown model 'smollm2-135m': no folder, GGUF file or hub id. Did you mean 'smollm2-135m-instruct'?",
        ),
    ],
)
def test_a_mistake_names_the_key(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_teach_config({"out": "x"}, [override])
    assert str(caught.value) == message


def test_the_hash_knows_what_defines_the_weights() -> None:
    config = load_teach_config({"out": "x"}, [])
    assert config_hash(config) == config_hash(replace(config, out="y", threads=2, device="cpu", data_dir="z"))
    assert config_hash(config) != config_hash(replace(config, without=("1_Stephen_King",)))
    assert config_hash(config) != config_hash(replace(config, recipe=Recipe(passes=9)))
