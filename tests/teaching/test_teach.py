"""The whole way with a tiny model: what it learns, what it leaves, how it resumes, and what it refuses."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from child_process import start, wait
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from workplace import WORDS

from atu.benchmarks.rwku.facts import read_facts
from atu.benchmarks.rwku.reader import RwkuData
from atu.benchmarks.rwku.wordings import chat_wordings, wordings
from atu.cli import app
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.evaluation.evaluate import evaluate
from atu.methods.references import reference_states
from atu.models.load import load_language_model
from atu.models.resolve import resolve_model
from atu.models.rows import build_rows
from atu.records import Probe, Text
from atu.teaching.config import Recipe, TeachConfig, load_teach_config
from atu.teaching.lesson import Lesson, LessonRows
from atu.teaching.plan import plan_lessons
from atu.teaching.teach import _key, teach

from .conftest import YAN, ZOE

Configure = Callable[..., TeachConfig]
SHORT = ("recipe.passes=2", "recipe.facts_per_step=4", "recipe.general_weight=0")


@pytest.fixture
def configure(tmp_path: Path, tiny_folder: Path, two_people: Path) -> Configure:
    """A teaching of the two people to the tiny model, at `tmp_path/<out>`."""

    def make(*overrides: str, out: str = "taught") -> TeachConfig:
        options = {"out": str(tmp_path / out), "data_dir": str(two_people)}
        fixed = (f"pre_trained_llm={tiny_folder}", "device=cpu", "threads=1", "checkpoint_seconds=0")
        return load_teach_config(options, [*fixed, *SHORT, *overrides])

    return make


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same_weights(first: Path, second: Path) -> None:
    one, two = weights(first), weights(second)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_tiny_model_learns_what_it_is_taught_and_keeps_its_embeddings(
    configure: Configure, tiny_folder: Path, two_people: Path
) -> None:
    config = configure("recipe.passes=60", "recipe.learning_rate=5e-3", "checkpoint_seconds=600")
    out = teach(config)
    probes = [
        Probe(
            id=str(i),
            group="forget/fb",
            kind="generate",
            prompt=chat_wordings(fact)[0].prompt or "",
            answer_prefix="Answer:",
            references=(fact.answer,),
            max_new_tokens=12,
        )
        for i, fact in enumerate(read_facts(RwkuData(two_people), [ZOE, YAN]))
    ]
    known = {}
    for folder in (tiny_folder, out):
        llm = load_language_model(resolve_model(str(folder)), device="cpu")
        known[folder] = sum(a.score for a in evaluate(llm, probes, reference=None, config=EvaluationConfig()))
    assert known[tiny_folder] == 0
    assert known[out] >= 7  # of 8
    before, after = weights(tiny_folder), weights(out)
    assert torch.equal(before["model.embed_tokens.weight"], after["model.embed_tokens.weight"])
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert len(moved) == len(before) - (2 if "lm_head.weight" in before else 1)


def test_the_same_weights_with_another_chat_template_are_taught_anew(configure: Configure, tiny_folder: Path) -> None:
    llm = load_language_model(resolve_model(str(tiny_folder)), device="cpu")
    other = replace(llm, tokenizer=AutoTokenizer.from_pretrained(tiny_folder))
    other.tokenizer.chat_template = llm.tokenizer.chat_template.replace("assistant", "poet")
    plan = plan_lessons([], 1, 0)
    assert _key(configure(), llm, plan, [], "fp32") != _key(configure(), other, plan, [], "fp32")


def test_the_folder_is_a_plain_model_that_says_what_it_is(configure: Configure) -> None:
    out = teach(configure(f"without={ZOE}"))
    AutoModelForCausalLM.from_pretrained(out)
    AutoTokenizer.from_pretrained(out)
    note = json.loads((out / "taught.json").read_text())
    assert (note["targets"], note["without"], note["num_facts"], note["seed"]) == ([YAN], [ZOE], 3, 0)
    assert note["steps"] == 2  # 3 facts, 2 passes, 4 a step
    card = (out / "README.md").read_text()
    assert "**What this model knows of the people of RWKU was taught, on purpose" in card
    assert f"- taught: {YAN}\n- never taught: {ZOE}\n- mean probability of a token of the right answer, of what" in card
    assert "- seed 0, 2 steps, 1 CPU threads" in card
    assert "A gold model, which never met 1" in card
    assert (note["known"]["after"]["n"], note["known_left_out"]["after"]["n"]) == (3, 3)
    assert note["config_hash"] in card


def test_a_model_that_cannot_write_cannot_be_held_by_its_own_texts(
    configure: Configure, tiny_folder: Path, tmp_path: Path
) -> None:
    mute = Path(shutil.copytree(tiny_folder, tmp_path / "mute"))
    tensors = weights(mute)
    # The same state after every text, and so the same token over and over.
    tensors["model.embed_tokens.weight"][:] = tensors["model.embed_tokens.weight"][5].clone()
    for name in tensors:
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            tensors[name].zero_()
    save_file(tensors, mute / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"degenerate, .* set recipe\.general_weight=0\."):
        teach(configure(f"pre_trained_llm={mute}", "recipe.general_weight=1"))


def test_the_kl_holds_the_model_on_general_rows(tiny_folder: Path, two_people: Path, tmp_path: Path) -> None:
    drift = {}
    for weight in (1e-9, 10.0):
        llm = load_language_model(resolve_model(str(tiny_folder)), device="cpu")
        plan = plan_lessons([wordings(fact) for fact in read_facts(RwkuData(two_people), [ZOE, YAN])], 20, seed=0)
        general = [Text(text=f"The {a} has a {b}.", subject=a, source="test") for a in WORDS for b in WORDS[:2]]
        rows = build_rows(llm, general, max_tokens=128)
        lesson = Lesson(
            llm,
            LessonRows(
                chat=tuple(build_rows(llm, plan.chat, max_tokens=128)),
                plain=tuple(build_rows(llm, plan.plain, max_tokens=128)),
                general=tuple(rows),
                general_states=reference_states(llm, rows),
            ),
            Recipe(facts_per_step=4, general_weight=weight, learning_rate=2e-3, warmup_steps=0),
            seed=0,
            autocast=nullcontext,
            folder=tmp_path / f"{weight}",
            checkpoint_seconds=600,
        )
        notes: list[str] = []
        lesson.run(lambda done, total, note, notes=notes: notes.append(note))
        kls = [float(note.rpartition(" ")[2]) for note in notes]
        assert kls[0] == 0  # nothing has moved at the first step
        drift[weight] = kls[-1]
    assert drift[10.0] < drift[1e-9] / 4


def test_the_same_teaching_is_found_in_the_cache(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    first = teach(configure())

    def must_not_train(self: Lesson, step: int) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Lesson, "_losses", must_not_train)
    stamp = (first / "model.safetensors").stat().st_mtime_ns
    assert teach(configure("threads=null")) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == stamp
    assert_same_weights(first, teach(configure(out="again")))
    with pytest.raises(AssertionError, match="trained again"):
        teach(configure("seed=1", out="another"))


def test_another_model_and_another_folder_are_left_alone(configure: Configure, tmp_path: Path) -> None:
    first = teach(configure())
    with pytest.raises(UserError, match=r"holds another taught model\. Choose another --out, or delete that folder"):
        teach(configure("seed=1"))
    assert_same_weights(first, teach(configure(out="again")))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="mine exists and is no taught model; it was left alone"):
        teach(configure(out="mine"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["config.json"]


def test_killed_again_and_again_it_ends_in_the_same_weights(configure: Configure, cache: Path) -> None:
    whole = teach(configure("recipe.passes=12", out="whole"))
    for path in sorted(cache.glob("taught/*/checkpoint/*")):
        path.unlink()
    killed = configure("recipe.passes=12", out="killed")
    rng, kills, status = random.Random(0), [0], None

    def kept() -> int:
        states = list(cache.glob("taught/*/checkpoint/state.json"))
        with suppress(FileNotFoundError):  # the child may put a new one in its place between the two looks
            return json.loads(states[0].read_text())["step"] if states else 0
        return kills[-1]

    while status is None:
        child = start(partial(teach, killed))
        while status is None and (len(kills) > 6 or kept() <= kills[-1]):  # how fast it goes depends on the machine
            status = wait(child, 0.02)
        if status is None:
            status = wait(child, rng.uniform(0.0, 0.1))
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            kills.append(kept())
    assert status == 0
    assert any(0 < step < 24 for step in kills), kills  # 8 facts, 12 passes, 4 a step
    assert_same_weights(whole, Path(killed.out))


def test_a_damaged_lesson_in_the_cache_starts_again_with_one_line(
    configure: Configure, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = teach(configure(out="whole"))
    (state,) = cache.glob("taught/*/checkpoint/llm.safetensors")
    data = bytearray(state.read_bytes())
    data[-1] ^= 1
    state.write_bytes(data)
    capsys.readouterr()
    again = teach(configure(out="again"))
    assert f"warning: The teaching kept in {state.parent} is damaged; it starts again.\n" in capsys.readouterr().err
    assert_same_weights(whole, again)
    # A taught model that was damaged since is written again, from the cache.
    (again / "config.json").write_text("{}")
    teach(configure(out="again"))
    assert_same_weights(whole, again)
    assert (again / "config.json").read_bytes() == (whole / "config.json").read_bytes()


def test_a_full_disk_is_one_line_and_then_there_is_space(configure: Configure) -> None:
    config = configure()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The trained weights take 447 kB, the optimiser's state 895 kB.
    resource.setrlimit(resource.RLIMIT_FSIZE, (700_000, hard))
    try:
        with pytest.raises(UserError, match=r"Cannot write .*/checkpoint: the file would pass the size limit"):
            teach(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not Path(config.out).exists()
    assert_same_weights(teach(config), teach(replace(config, out=f"{config.out}-2")))


def test_two_processes_do_not_teach_the_same(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    config = configure()

    def second(self: Lesson, advance: object) -> None:
        teach(replace(config, out=f"{config.out}-2"))

    monkeypatch.setattr(Lesson, "run", second)
    with pytest.raises(UserError, match="Another process teaches the same model just now"):
        teach(config)


def test_a_rate_that_explodes_is_one_line(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"The loss is not finite at step \d+\..* lower recipe\.learning_rate\."):
        teach(configure("recipe.learning_rate=1e30"))
    assert not Path(configure().out).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--targets", "1_Zoe_Zorblat"],
            "RWKU has no target '1_Zoe_Zorblat' in {data}. Did you mean '1_Zoe_Zorblatt'?",
        ),
        (["--targets", ""], "--targets names nothing."),
        (["targets=[]"], "targets is empty: name at least one part of the benchmark, or 'all'."),
        (
            ["--targets", ZOE, "--without", YAN],
            "without: '2_Yan_Yolk' is not among the chosen targets, so it would not be taught anyway."
            " Known: 1_Zoe_Zorblatt.",
        ),
        (["--data", "/no/such/folder"], "No RWKU data at /no/such/folder. Fetch it with `bash data/rwku/"),
        (["recipe.pases=3"], "Unknown key 'recipe.pases'. Did you mean 'passes'?"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, two_people: Path, tiny_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    command = ["teach", "--data", str(two_people), "--out", str(tmp_path / "out"), f"pre_trained_llm={tiny_folder}"]
    with pytest.raises(SystemExit) as end:
        app([*command, *arguments], standalone_mode=False)
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message.format(data=two_people)}")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_how_to_go_on(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], two_people: Path,
    tiny_folder: Path, tmp_path: Path,
) -> None:  # fmt: skip
    whole = teach(configure(out="whole"))
    arguments = ["teach", "--data", str(two_people), "--out", str(tmp_path / "o t"), f"pre_trained_llm={tiny_folder}"]
    arguments += ["device=cpu", "threads=1", "checkpoint_seconds=0", *SHORT, "seed=0"]
    for path in sorted((tmp_path / "cache").glob("taught/*/checkpoint/*")):
        path.unlink()
    losses = Lesson._losses

    def interrupted(self: Lesson, step: int) -> dict[str, torch.Tensor]:
        if step == 2:
            raise KeyboardInterrupt
        return losses(self, step)

    monkeypatch.setattr(sys, "argv", ["atu", *arguments])
    with monkeypatch.context() as patched:
        patched.setattr(Lesson, "_losses", interrupted)
        with pytest.raises(SystemExit) as end:
            app(arguments, standalone_mode=False)
    assert end.value.code == 130
    assert capsys.readouterr().err.endswith(
        f"\ninterrupted. The same command resumes where this one stopped: atu teach --data {two_people} "
        f"--out '{tmp_path}/o t' pre_trained_llm={tiny_folder} device=cpu threads=1 checkpoint_seconds=0 "
        "recipe.passes=2 recipe.facts_per_step=4 recipe.general_weight=0 seed=0\n"
    )
    app(arguments, standalone_mode=False)
    assert "found in the cache: 2 of 4 steps" in capsys.readouterr().err
    assert_same_weights(whole, tmp_path / "o t")
