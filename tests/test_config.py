"""The config composes, is checked, and keeps what it promises to a user's old commands."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from atu.config import NOT_DEFINING, RunConfig, config_hash, dotted_keys, field_keys, load, to_mapping
from atu.entry.overrides import complete
from atu.errors import UserError
from atu.methods.terms import TERMS
from atu.methods.terms.npo import Npo
from atu.methods.terms.push import Push
from atu.methods.terms.refusal import Refusal
from atu.methods.terms.retain_kl import RetainKl
from atu.models.config import LoraConfig
from atu.storage.config_dir import config_dir

CELEBS_1 = ["1_Stephen_King", "2_Confucius", "3_Bruce_Lee", "4_Warren_Buffett", "5_Christina_Aguilera"]
CELEBS_2 = [
    "8_Paris_Hilton",
    "15_Mark_Cuban",
    "30_Henry_Winkler",
    "36_Henry_Kissinger",
    "37_Chuck_Norris",
    "46_Raquel_Welch",
    "52_Chris_Brown",
    "58_Rihanna",
]
CELEBS_3 = [
    "64_Michelle_Pfeiffer",
    "65_Selena_Gomez",
    "68_Tom_Clancy",
    "69_John_Candy",
    "77_Val_Kilmer",
    "80_Tony_Blair",
    "81_Vincent_van_Gogh",
]
CELEBS_4 = [
    "11_Miley_Cyrus",
    "12_Genghis_Khan",
    "31_Leonardo_da_Vinci",
    "42_Michael_Strahan",
    "43_Paul_Simon",
    "55_Jackie_Chan",
    "66_Kris_Jenner",
    "74_Socrates",
    "87_Robert_Downey_Jr.",
]
# Targets and swept values of the original experiments. Its 87_Robert_Downey_Jr lacked the full stop that the
# data folder has, and its celebs-4 repeated 3_Bruce_Lee.
EXPERIMENTS: dict[str, dict[str, list[str]]] = {
    "celebs-1": {"unlearning_target": CELEBS_1},
    "celebs-2": {"unlearning_target": CELEBS_2},
    "celebs-3": {"unlearning_target": CELEBS_3},
    "celebs-4": {"unlearning_target": CELEBS_4},
    "hook-layer": {
        "unlearning_target": CELEBS_1,
        "task.training_module.pretrained_model_hook_layer": ["10", "20", "30"],
    },
    "training-amount": {
        "unlearning_target": CELEBS_1,
        "task.first_stage_steps": ["5000", "15000", "30000"],
    },
    "l1-l2-ablation": {
        "unlearning_target": CELEBS_1,
        "task.objective.retain_kl.weight": ["0", "0.05", "0.1", "0.5"],
    },
}

KING = "unlearning_target=1_Stephen_King"
WEIGHTS = "task.training_module.moves=weights"
SUBSPACE = "task.training_module.moves=subspace"


# What the code of the paper (ExplainableML/align-then-unlearn at 670be43) runs with, read off its config and modules.
RELEASED: dict[str, object] = {
    "text_encoder.model_name": "sentence-transformers/all-mpnet-base-v2",
    "text_encoder.window_tokens": 8,
    "text_encoder.min_window_tokens": None,  # positions behind which fewer tokens follow have no window
    "text_encoder.token_form": "bare",  # windows without special tokens, the name with them
    "text_encoder.center": False,
    "embedding_prediction_model.causal": False,  # a decoder whose memory is its own input
    "embedding_prediction_model.num_layers": 6,
    "embedding_prediction_model.hidden_dim": 768,
    "embedding_prediction_model.num_heads": 8,
    "embedding_prediction_model.dropout": 0.1,
    "training.precision": "fp32",
    "task.first_stage_steps": 15000,
    "task.min_predictor_gain": None,
    "task.contrastive_weight": 0.0,
    "task.training_module.pretrained_model_hook_layer": 29,
    "task.training_module.first_trained_layer": 0,
    "task.training_module.last_trained_layer": None,
    "task.training_module.train_embeddings": True,
    "task.training_module.training_lr": 1e-4,
    "task.training_module.training_weight_decay": 0.0,
    "task.training_module.training_warmup_steps": 0,  # its 2000 are never read
    "task.training_module.training_batch_size": 16,
    "task.training_module.unlearning_optimizer": "sgd",
    "task.training_module.unlearning_lr": 3e-4,
    "task.training_module.unlearning_weight_decay": 0.0,
    "task.training_module.unlearning_warmup_steps": 0,
    "task.training_module.unlearning_schedule": "constant",
    "task.training_module.forget_batch_size": 16,
    "task.training_module.clip_grad_norm": 1.0,
    "task.objective": {"push": Push(positions="all")},  # alone; .mean() over batch and 256 positions
    "task.objective.push.weight": 1.0,
    "task.objective.push.target": "name",
    "task.stop.concept_nll_rise": None,
    "task.stop.retain_kl": None,
    "data.corpus.max_input_length": 256,
}
RELEASED_TAUS = [0.9, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4, 0.3, 0.2]
RELEASED_AT_PAPER_SCALE: dict[str, object] = RELEASED | {
    "pre_trained_llm.model_name": "microsoft/Phi-3-mini-4k-instruct",
    "pre_trained_llm.revision": "d269012bea6fbe38ce7752c8940fea010eea3383",
    "pre_trained_llm.dtype": "float32",
    "data.corpus.source": "rwku",
    "data.corpus.num_forget_texts": 582,
    "data.corpus.num_neighbors": 3,
    "data.corpus.num_texts_per_neighbor": 582,
    "data.corpus.num_general_texts": 0,
    "data.corpus.num_question_rows": 0,
    "data.corpus.num_neighbor_question_rows": 0,
    "data.corpus.num_quiz_rows": 0,
    "data.corpus.num_neighbor_quiz_rows": 0,
    "data.corpus.num_general_question_rows": 0,
    "data.corpus.num_related_rows": 0,
}


@pytest.fixture(autouse=True, scope="module")
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield


def composed(*overrides: str) -> RunConfig:
    return load(compose("train", complete(overrides)))


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (config_dir() / group).glob("*.yaml"))


def test_the_default_run_forgets_shakespeare_with_the_embedded_models() -> None:
    config = composed()
    assert config.unlearning_target == "William_Shakespeare"
    assert config.task.name == "unlearning_atu"
    assert config.pre_trained_llm.name == "smollm2-135m-instruct"
    assert config.text_encoder.name == "all-minilm-l6-v2"
    assert config.data.benchmark == "builtin"
    assert config.data.corpus.source == "generated"
    assert config.seed == 0
    assert config.runs_dir == "runs"


def test_the_first_align_stage_follows_first_stage_steps() -> None:
    stages = composed("task.first_stage_steps=123").task.stages
    assert (stages[0].type, stages[0].steps) == ("training", 123)


@pytest.mark.parametrize(
    ("group", "option"),
    [
        (group, option)
        for group in ("task", "pre_trained_llm", "text_encoder", "embedding_prediction_model", "data")
        for option in options(group)
    ],
)
def test_every_option_of_every_group_composes(group: str, option: str) -> None:
    own = (
        ["data.corpus.forget_path=a.jsonl", "data.corpus.retain_path=b.jsonl"] if option in ("jsonl", "lm-eval") else []
    )
    config = composed(f"{group}={option}", "unlearning_target=Japan", *own)
    if group != "data":
        assert getattr(config, group).name == option


def test_the_groups_and_keys_of_the_original_are_there() -> None:
    keys = set(field_keys())
    assert keys >= {
        "name",
        "exp",
        "seed",
        "skip_initial_eval",
        "unlearning_target",
        "task.first_stage_steps",
        "task.stages",
        "task.training_module.pretrained_model_hook_layer",
        "wandb.mode",
        "wandb.entity",
        "wandb.project",
    }


def test_no_yaml_has_a_key_that_the_dataclasses_do_not_know() -> None:
    keys = {key for key in dotted_keys(compose("train")) if not key.startswith("task.objective.")}
    assert keys <= set(field_keys())


@pytest.mark.parametrize("choice", [*(f"task={name}" for name in options("task")), "experiment=taught"])
def test_a_yaml_lists_every_option_of_its_terms_so_that_each_can_be_set(choice: str) -> None:
    objective = compose("train", [choice, KING]).task.objective
    for name, given in objective.items():
        assert set(given) == {option.name for option in dataclasses.fields(TERMS[name])}


def test_terms_are_set_added_and_deleted() -> None:
    distill = ("task=unlearning_distill", "~task.objective.distill")
    config = composed(*distill, "task.objective.retain_kl.weight=16", "+task.objective.npo.weight=0.5")
    assert config.task.objective == {
        "refusal": Refusal(weight=0.3),
        "retain_kl": RetainKl(weight=16.0),
        "npo": Npo(weight=0.5),
    }
    without_options = composed("task=unlearning_ga", "+task.objective.npo={}", "~task.objective.ga")
    assert list(without_options.task.terms) == ["npo", "retain_kl"]


def test_what_was_taught_is_forgotten_without_what_the_default_has() -> None:
    task = composed("experiment=taught", KING).task
    assert list(task.terms) == ["distill", "npo", "retain_kl"]
    assert (task.training_module.moves, task.scale.concept_left, task.aligns) == ("weights", None, False)


def test_every_experiment_is_known_here() -> None:
    assert set(options("experiment")) == {*EXPERIMENTS, "paper-scale", "embedded-released", "taught"}


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_an_experiment_composes_for_each_of_its_jobs_under_a_name_of_its_own(experiment: str) -> None:
    sweep = compose("train", [f"experiment={experiment}"], return_hydra_config=True).hydra.sweeper.params
    swept = {key: [value.strip() for value in str(values).split(",")] for key, values in sweep.items()}
    assert swept == EXPERIMENTS[experiment]

    if len(swept) > 1:  # celebs-1 goes through the same targets; two are enough to tell names apart
        swept["unlearning_target"] = swept["unlearning_target"][:2]
    jobs = [
        composed(f"experiment={experiment}", *(f"{key}={value}" for key, value in zip(swept, values, strict=True)))
        for values in itertools.product(*swept.values())
    ]
    assert len({job.name for job in jobs}) == len(jobs)
    for job in jobs:
        assert job.exp == experiment
        assert job.name.startswith(f"{experiment}-")
        assert job.pre_trained_llm.name == "phi-3-mini-4k-instruct"
        assert len(job.pre_trained_llm.revision or "") == 40  # a pinned commit
        assert job.text_encoder.name == "all-mpnet-base-v2"
        assert job.data.benchmark == "rwku"
    assert {job.unlearning_target for job in jobs} == set(swept["unlearning_target"])


def values_of(config: RunConfig, keys: Iterable[str]) -> dict[str, object]:
    """What a config has at dotted keys."""

    def value(node: Any, key: str) -> Any:
        return node[key] if isinstance(node, Mapping) else getattr(node, key)

    return {key: functools.reduce(value, key.split("."), config) for key in keys}


def test_the_released_task_is_the_released_code_in_all_its_settings() -> None:
    config = composed("task=unlearning_atu_released")
    assert values_of(config, RELEASED) == RELEASED
    schedule = [(stage.type, stage.steps, stage.threshold) for stage in config.task.stages]
    align, ladder = schedule[::2], schedule[1::2]
    assert align == [("training", 15000, None)] + [("training", 1000, None)] * 9
    assert ladder == [("unlearning", 1000, tau) for tau in RELEASED_TAUS]


@pytest.mark.parametrize("experiment", ["paper-scale", "celebs-1", "celebs-2", "celebs-3", "celebs-4"])
def test_at_paper_scale_the_released_task_has_the_papers_model_and_texts_too(experiment: str) -> None:
    for overrides in itertools.permutations((f"experiment={experiment}", "task=unlearning_atu_released")):
        config = composed(*overrides, "unlearning_target=1_Stephen_King")
        assert values_of(config, RELEASED_AT_PAPER_SCALE) == RELEASED_AT_PAPER_SCALE


def test_the_embedded_form_of_the_released_task_is_it_but_for_sizes_rates_and_steps() -> None:
    config = composed("experiment=embedded-released")
    changed = {key for key, value in values_of(config, RELEASED).items() if value != RELEASED[key]}
    assert changed == {
        "text_encoder.model_name",
        "embedding_prediction_model.num_layers",
        "embedding_prediction_model.hidden_dim",
        "embedding_prediction_model.num_heads",
        "training.precision",
        "task.first_stage_steps",
        "task.training_module.pretrained_model_hook_layer",
        "task.training_module.training_lr",
        "task.training_module.training_batch_size",
        "task.training_module.unlearning_lr",
        "task.training_module.forget_batch_size",
        "task.stop.concept_nll_rise",
        "task.stop.retain_kl",
    }
    assert config.text_encoder.name == "all-minilm-l6-v2"


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("text_encoder=all-minilm-l6-v2", "text_encoder.name", "all-minilm-l6-v2"),
        ("text_encoder.center=true", "text_encoder.center", True),
        ("text_encoder.token_form=sentence", "text_encoder.token_form", "sentence"),
        ("embedding_prediction_model=transformer", "embedding_prediction_model.causal", True),
        ("embedding_prediction_model.num_layers=2", "embedding_prediction_model.num_layers", 2),
        ("training.precision=bf16", "training.precision", "bf16"),
        ("task.objective.push.positions=windows", "task.objective.push.positions", "windows"),
        ("data.corpus.max_input_length=64", "data.corpus.max_input_length", 64),
    ],
)
@pytest.mark.parametrize("choice", [["task=unlearning_atu_released"], ["experiment=embedded-released"]])
def test_the_command_line_wins_over_what_a_task_brings(
    choice: list[str], override: str, key: str, value: object
) -> None:
    for overrides in ([*choice, override], [override, *choice]):
        assert values_of(composed(*overrides), [key]) == {key: value}


def test_what_the_released_task_brings_stays_with_it() -> None:
    default = composed()
    for task in (option for option in options("task") if option != "unlearning_atu_released"):
        config = composed(f"task={task}")
        assert config.text_encoder == default.text_encoder
        assert config.embedding_prediction_model == default.embedding_prediction_model
        assert config.training == default.training


def test_the_command_line_wins_over_an_experiment() -> None:
    model = "pre_trained_llm=smollm2-135m-instruct"
    config = composed("experiment=celebs-1", KING, model, "task=unlearning_npo")
    assert config.pre_trained_llm.name == "smollm2-135m-instruct"
    assert config.task.name == "unlearning_npo"


@pytest.mark.parametrize("launcher", options("hydra/launcher"))
def test_a_launcher_preset_composes_and_keeps_its_logs_apart_from_the_runs(launcher: str) -> None:
    cfg = compose("train", [f"hydra/launcher={launcher}"], return_hydra_config=True)
    assert str(cfg.hydra.launcher.submitit_folder).startswith("runs/.multirun/")
    if launcher != "slurm-local":
        assert cfg.hydra.launcher.max_num_timeout > 0  # runs resume, so a job that timed out is queued again
        assert cfg.hydra.launcher.gres == "gpu:1"


def test_lrz_presets_name_their_partitions() -> None:
    def queue(launcher: str) -> tuple[str, str]:
        preset = compose("train", [f"hydra/launcher={launcher}"], return_hydra_config=True).hydra.launcher
        return preset.partition, preset.qos

    assert queue("lrz-a100") == ("lrz-dgx-a100-80x8", "gpu")
    assert queue("lrz-a100-mcml") == ("mcml-hgx-a100-80x4", "mcml")
    assert queue("lrz-a100-mcml-40") == ("mcml-dgx-a100-40x8", "mcml")
    assert queue("lrz-h100") == ("lrz-hgx-h100-94x4", "gpu")
    assert queue("lrz-h100-mcml") == ("mcml-hgx-h100-94x4", "mcml")


def test_a_target_with_a_comma_is_quoted_twice() -> None:
    # In a shell: unlearning_target="'10_Prince_Harry,_Duke_of_Sussex'"
    config = composed("unlearning_target='10_Prince_Harry,_Duke_of_Sussex'")
    assert config.unlearning_target == "10_Prince_Harry,_Duke_of_Sussex"


@pytest.mark.parametrize("target", ["24_Beyoncé", "鲁迅", "夏目 漱石", "สุนทรภู่", "세종대왕", "李白：诗人"])
def test_a_target_in_any_script_needs_no_quotes(target: str) -> None:
    config = composed(
        "data=own", f"unlearning_target={target}", "data.probes_path=p.jsonl", f"data.description=一位诗人，{target}"
    )
    assert config.unlearning_target == target
    assert config.data.description == f"一位诗人，{target}"


def test_several_targets_in_any_script_are_still_several() -> None:
    assert complete(["unlearning_target=24_Beyoncé,鲁迅,Japan"]) == ["unlearning_target='24_Beyoncé','鲁迅',Japan"]
    assert complete(["unlearning_target='鲁迅'"]) == ["unlearning_target='鲁迅'"]


def test_names_of_jobs_that_differ_in_target_task_model_data_or_seed_differ() -> None:
    own_texts = ["data.corpus.forget_path=a.jsonl", "data.corpus.retain_path=b.jsonl"]
    names = {
        composed(*overrides).name
        for overrides in (
            [],
            ["seed=1"],
            ["unlearning_target=Japan"],
            ["task=unlearning_npo"],
            ["pre_trained_llm=qwen2.5-coder-1.5b-instruct"],
            ["data=own", "unlearning_target=Japan"],
            ["data=jsonl", "unlearning_target=Japan", *own_texts],
            ["data=rwku-positive", KING],
            ["data=rwku-positive-sm", KING],
            ["data=rwku-questions", KING],
        )
    }
    assert len(names) == 10


def test_a_key_that_no_yaml_lists_can_be_set() -> None:
    assert "text_encoder.revision" not in dotted_keys(compose("train"))
    assert composed("text_encoder.revision=abc").text_encoder.revision == "abc"


def test_a_run_on_rwku_asks_the_cheap_tasks_unless_told_otherwise() -> None:
    assert composed("data=rwku-positive", KING).data.tasks == ("forget", "neighbor")
    more = composed("data=rwku-positive", KING, "data.tasks=[forget,mmlu]", "evaluation.scoring=both")
    assert more.data.tasks == ("forget", "mmlu")
    assert composed("experiment=paper-scale", KING).evaluation.scoring == "both"


def test_the_model_may_be_a_folder_with_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's \\'a \\ model\\"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").touch()
    model = composed(f"pre_trained_llm={folder}", "name=x").pre_trained_llm
    assert model.model_name == str(folder)
    assert model.packages == ()  # nothing of the default model is left
    assert model.gguf_file is None


def test_the_model_may_be_a_hub_id_also_under_an_experiment() -> None:
    config = composed("experiment=celebs-1", KING, "pre_trained_llm=some/model", "pre_trained_llm.revision=abc")
    assert config.pre_trained_llm.model_name == "some/model"
    assert config.pre_trained_llm.revision == "abc"


def test_16_bit_and_quantised_weights_are_for_adapters_or_for_those_who_ask() -> None:
    adapted = composed(
        "pre_trained_llm.adapter=lora", "pre_trained_llm.lora={rank: 8, targets: [q_proj, v_proj], layers: [1, 2]}",
        "pre_trained_llm.dtype=bfloat16", "pre_trained_llm.quantization=nf4", "task.training_module.moves=weights",
    ).pre_trained_llm  # fmt: skip
    assert adapted.lora == LoraConfig(rank=8, alpha=32, targets=("q_proj", "v_proj"), layers=(1, 2))
    asked = composed(
        "pre_trained_llm.dtype=bfloat16", "training.allow_16bit_weights=true", "task.training_module.moves=weights"
    )
    assert asked.pre_trained_llm.dtype == "bfloat16"


def test_a_key_of_the_model_counts_before_and_after_the_models_name() -> None:
    for overrides in itertools.permutations(("pre_trained_llm=some/model", "pre_trained_llm.adapter=lora")):
        model = composed(*overrides, "task.training_module.moves=weights").pre_trained_llm
        assert (model.model_name, model.adapter, model.lora) == ("some/model", "lora", LoraConfig())


def test_variables_of_the_chat_template_are_the_users_to_name(tmp_path: Path) -> None:
    key = "pre_trained_llm.chat_template_kwargs"
    assert composed().pre_trained_llm.chat_template_kwargs == {}
    given = composed(f"{key}.enable_thinking=true", f"{key}.date_string='1 May'", f"{key}.effort=2", f"{key}.none=null")
    wanted = {"enable_thinking": True, "date_string": "1 May", "effort": 2, "none": None}
    assert given.pre_trained_llm.chat_template_kwargs == wanted
    # As an export carries them with it.
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").touch()
    note = {"chat_template_kwargs": wanted, "chat_template_date": "2025-03-09"}
    (tmp_path / "chat_template_variables.json").write_text(json.dumps(note))
    found = composed(f"pre_trained_llm={tmp_path}", f"{key}.effort=3", "name=x").pre_trained_llm
    assert found.chat_template_kwargs == {**wanted, "effort": 3}
    assert found.chat_template_date == "2025-03-09"


def test_the_date_that_templates_write_is_kept_with_the_run_and_defines_it() -> None:
    """A constant, not today: the same command next month goes on with the same prompts and finds the same caches."""
    assert to_mapping(composed())["pre_trained_llm"]["chat_template_date"] == "2024-07-26"
    other = composed("pre_trained_llm.chat_template_date=2025-03-09")
    assert other.pre_trained_llm.chat_template_date == "2025-03-09"
    assert config_hash(other) != config_hash(composed())


def test_flags_may_stand_between_overrides() -> None:
    assert complete(["seed=1", "--resolve", "exp=a", "--cfg", "job"]) == [
        "--resolve",
        "--cfg",
        "job",
        "seed=1",
        "exp=a",
    ]


@pytest.mark.parametrize(
    ("overrides", "part"),
    [
        (["task.first_stage_steps=-1"], "steps must not be negative, found -1"),
        (["task.first_stage_steps=abc"], "task.first_stage_steps: expected a whole number"),
        (["task.stages.0.type=trainning"], "task.stages[0].type: 'trainning' is not one of"),
        (["task.stages=[{type: unlearning, steps: 1, threshold: 1.5}]"], "[-1, 1]"),
        (["task.stages=[{type: unlearning, steps: -1}]"], "task.stages"),
        (["seed=-1"], "seed must lie in 0..4294967295"),
        (["seed=true"], "seed: expected a whole number"),
        (["devices=0"], "devices must be auto or at least 1, not 0"),
        (
            ["training.sharding=fsdp2", "pre_trained_llm.dtype=bfloat16", "training.allow_16bit_weights=true"],
            "training.sharding=fsdp2 needs pre_trained_llm.dtype=float32, not bfloat16",
        ),
        (
            [
                "training.sharding=fsdp2",
                "task.training_module.train_embeddings=true",
                WEIGHTS,
                "task.training_module.first_trained_layer=0",
            ],
            "needs task.training_module.train_embeddings=false",
        ),
        (
            ["training.sharding=fsdp2", "task.training_module.unlearning_optimizer=adamw8bit"],
            "cannot divide the state of task.training_module.unlearning_optimizer=adamw8bit",
        ),
        (["device=tpu"], "device: 'tpu' is not one of auto, cpu, cuda"),
        (["threads=0"], "threads must be at least 1"),
        (["training.precision=fp16"], "training.precision: 'fp16' is not one of"),
        (["wandb.mode=on"], "wandb.mode: 'on' is not one of online, offline, disabled"),
        (["name=a/b"], "name 'a/b' cannot be a folder name"),
        (["name=.hidden"], "no dot in front"),
        (["unlearning_target=''"], "unlearning_target is empty"),
        (["name=${nothing}"], "Interpolation key 'nothing' not found"),
        (["+task.bla=1"], "Unknown key 'task.bla'"),
        (["data=jsonl"], "unlearning_target is missing: only the built-in benchmark has a default."),
        (["data=own"], "unlearning_target is missing"),
        (["experiment=celebs-1"], "unlearning_target is missing"),
        (["unlearning_target=null"], "unlearning_target is missing"),
        (["data=jsonl", "unlearning_target=Japan"], "forget_path is missing"),
        (["data.corpus.forget_path=a.jsonl"], "belong to source 'jsonl'"),
        (["data.corpus.source=rwku"], "needs benchmark 'rwku'"),
        (["data.corpus.num_forget_texts=0"], "num_forget_texts must be at least 1"),
        (["data.corpus.num_neighbors=-1"], "num_neighbors must not be negative"),
        (["data=own", KING, "data.neighbors=[a,b]", "data.corpus.num_neighbors=1"], "names 2 concepts"),
        (["data.corpus.held_out_share=1"], "held_out_share must lie in 0..1, and be less than 1"),
        (["data.corpus.temperature=0"], "temperature must lie in 0.01..100"),
        *(
            ([f"{key}={value}"], f"{key}: expected a finite number, got ")
            for key in (
                "task.stop.concept_nll_rise",
                "task.stop.retain_kl",
                "task.min_predictor_gain",
                "task.training_module.pretrained_model_hook_layer",
                "training.checkpoint_seconds",
            )
            for value in ("inf", "-inf", "nan", "1e999")
        ),
        (["task.training_module.unlearning_lr=1" + "0" * 400], "unlearning_lr: expected a finite number"),
        (["seed=1" + "0" * 400], "seed: a whole number must lie in -4294967295..4294967295"),
        (["task.training_module.forget_batch_size=1" + "0" * 12], "forget_batch_size: a whole number must lie in"),
        (["task.training_module.forget_batch_size=1000001"], "forget_batch_size must be at most 1,000,000"),
        (["evaluation.batch_size=4000000000"], "batch_size must be at most 1,000,000, not 4,000,000,000"),
        (["task.first_stage_steps=1" + "0" * 9], "steps must be at most 100,000,000"),
        (["embedding_prediction_model.num_layers=1001"], "num_layers must be at most 1,000"),
        (["threads=100000"], "threads must be at most 1,024"),
        (["data.corpus.num_forget_texts=2000000"], "num_forget_texts must be at most 1,000,000"),
        (["pre_trained_llm.adapter=lora", "pre_trained_llm.lora.rank=1" + "0" * 9], "rank must be at most 65,536"),
        (["name=foo.partial"], "what ends in .partial is taken for unfinished, and no report shows it"),
        (["name=foo.replaced"], "what ends in .replaced is taken for unfinished"),
        (["name=" + "x" * 201], "at most 200 bytes"),
        (["name='" + "é" * 101 + "'"], "at most 200 bytes"),
        (["name='a '"], "no space at an end"),
        (["name=a."], "no dot at the end"),
        (["name=.."], "no dot in front"),
        (["name=NUL"], "some systems keep this word for a device"),
        (["name='a\tb'"], "no control characters"),
        (["name='a\x1b[31m'"], "no control characters"),
        (["name='a\udcff'"], "holds bytes that are no UTF-8"),
        (["data.tasks=[forget]"], "data.tasks belongs to benchmark 'rwku'"),
        (["data=rwku-positive", KING, "data.tasks=[mmmlu]"], "'mmmlu' is not one of forget, neighbor, mmlu"),
        (["evaluation.scoring=both"], "'builtin' has corrected scores alone"),
        (["data=rwku-positive", KING, "evaluation.scoring=released"], "Set it to corrected or both"),
        (["pre_trained_llm.dtype=bfloat16", WEIGHTS], "training.allow_16bit_weights=true"),
        (["pre_trained_llm.dtype=float16", WEIGHTS], "lost when they are added to 16-bit weights"),
        (["pre_trained_llm.quantization=nf4", WEIGHTS], "quantised weights cannot be trained"),
        (["pre_trained_llm.quantization=int4"], "'int4' is not one of none, int8, nf4"),
        (["pre_trained_llm.lora.rank=8"], "set adapter=lora too"),
        (["pre_trained_llm.adapter=lora", "pre_trained_llm.lora.rank=0"], "rank must be at least 1"),
        (["pre_trained_llm.adapter=lora", "pre_trained_llm.lora.targets=[]"], "targets is empty"),
        (
            ["pre_trained_llm.adapter=lora", "task=unlearning_atu_released"],
            "trains the adapters alone",
        ),
        (["task.training_module.train_embeddings=true", WEIGHTS], "set first_trained_layer=0 with it"),
        ([SUBSPACE, "pre_trained_llm.adapter=lora"], "trains adapters of its own, and pre_trained_llm.adapter=lora"),
        ([SUBSPACE, "task=unlearning_atu_released"], "train_embeddings moves weights, but moves=subspace leaves them"),
        ([SUBSPACE, "task.training_module.subspace.max_rank=17"], "max_rank must be at most 16"),
        ([SUBSPACE, "task.training_module.subspace.min_ratio=0"], "min_ratio must be positive"),
        ([SUBSPACE, "task.training_module.subspace.ridge=-1"], "ridge must be positive"),
        ([SUBSPACE, "task.training_module.subspace.targets=[]"], "targets is empty"),
        ([SUBSPACE, "training.sharding=fsdp2", "pre_trained_llm.dtype=bfloat16"], "fsdp2 needs pre_trained_llm.dtype"),
    ],
)
def test_a_wrong_value_is_refused_by_one_line(overrides: list[str], part: str) -> None:
    with pytest.raises(UserError) as caught:
        composed(*overrides)
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_folder_without_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no weights"):
        composed(f"pre_trained_llm={tmp_path}")


@pytest.mark.parametrize("base", ["pre_trained_llm.dtype=bfloat16", "pre_trained_llm.quantization=nf4"])
def test_weights_that_stand_still_under_a_subspace_may_be_rounded(base: str) -> None:
    assert composed(SUBSPACE, base).task.training_module.moves == "subspace"


def test_a_missing_value_is_named() -> None:
    cfg = compose("train", ["seed=???"])
    with pytest.raises(UserError, match=r"^seed: "):
        load(cfg)


def test_the_mapping_of_a_config_gives_the_same_config_again() -> None:
    config = composed()
    assert load(DictConfig(to_mapping(config))) == config


def test_keys_that_another_benchmark_has_may_stand_at_their_defaults() -> None:
    """So do the configs of runs that were made when all benchmarks shared one list of keys."""
    mapping = to_mapping(composed())
    mapping["data"] |= {"description": None, "neighbors": [], "probes_path": None, "tasks": []}
    mapping["data"]["corpus"]["rwku_file"] = "own"
    assert load(DictConfig(mapping)) == composed()
    mapping["data"]["corpus"]["rwku_file"] = "positive"
    with pytest.raises(UserError, match=r"^data\.corpus\.rwku_file belongs to benchmark 'rwku' \(data=rwku-positive\)"):
        load(DictConfig(mapping))


def test_the_hash_follows_what_defines_the_results_and_nothing_else() -> None:
    # Runs of the same hash may resume each other and share a row of a table.
    hash_ = config_hash(composed())
    assert len(hash_) == 64
    for same in (
        "name=other",
        "data.allow_no_verdict=true",
        "runs_dir=/elsewhere",
        "device=cpu",
        "threads=1",
        "evaluation.batch_size=1",
        "training.activation_checkpointing=true",
    ):
        assert config_hash(composed(same)) == hash_
    for other in ("seed=1", "unlearning_target=Japan", "training.precision=fp32", "task.first_stage_steps=1"):
        assert config_hash(composed(other)) != hash_
    assert set(NOT_DEFINING) <= set(field_keys())


def test_a_config_is_frozen() -> None:
    config = composed()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]
