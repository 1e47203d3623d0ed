"""Attacks from config to files: resumable, refused where they would mislead, a stage of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner
from workplace import Workplace

from atu.attacks.config import QUICK, AttackName
from atu.attacks.rows import read_attack_rows
from atu.attacks.subject import Subject, Unit
from atu.audit import AuditConfig, _memory_errors, audit
from atu.benchmarks.config import CorpusConfig
from atu.benchmarks.own.benchmark import OwnConfig
from atu.cli import app
from atu.errors import UserError
from atu.evaluation.config import EvaluationConfig
from atu.models.config import ModelConfig
from atu.records import AttackRow
from atu.run import run
from atu.runs.progress import RunProgress

Run = Callable[[AuditConfig], list[AttackRow]]


@pytest.fixture
def config(workplace: Workplace, tmp_path: Path) -> AuditConfig:
    """Attacks on a tiny model that differs from its original in one matrix."""
    changed = tmp_path / "changed"
    model = AutoModelForCausalLM.from_pretrained(workplace.model)
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.mul_(1.5)
    model.save_pretrained(changed)
    AutoTokenizer.from_pretrained(workplace.model).save_pretrained(changed)
    root = workplace.root
    return AuditConfig(
        models={
            "unlearned": ModelConfig(name="changed", model_name=str(changed)),
            "original": ModelConfig(name="tiny", model_name=str(workplace.model)),
        },
        data=OwnConfig(
            probes_path=str(root / "probes.jsonl"),
            corpus=CorpusConfig(
                source="jsonl", forget_path=str(root / "forget.jsonl"), retain_path=str(root / "retain.jsonl")
            ),
        ),
        target="Zorblatt",
        out=tmp_path / "out",
        attacks=("logit-lens", "phrasing"),
        seeds=(0,),
        budget=replace(QUICK, num_phrasings=1, num_layers=2),
        encoders=(),
        evaluation=EvaluationConfig(bootstrap_samples=20),
        device="cpu",
        precision="fp32",
    )


def attack(config: AuditConfig) -> list[AttackRow]:
    with RunProgress(Console(stderr=True)) as progress:
        return audit(config, progress)


def test_rows_and_verdict_are_written(config: AuditConfig) -> None:
    rows = attack(config)
    written = json.loads((config.out / "attacks.json").read_text(encoding="utf-8"))
    assert len(written) == len(rows) > 0
    assert set(written[0]) == {
        "attack", "setting", "model", "seed", "step", "group", "score", "degenerate", "recovered", "recovered_low",
        "recovered_high", "check",
    }  # fmt: skip
    assert set(written[0]["score"]) == {"value", "n", "low", "high"}
    # In the order of the table of attacks, whatever the order in which they were named.
    assert list(dict.fromkeys(row["attack"] for row in written)) == ["phrasing", "logit-lens"]
    assert "| phrasing |" in (config.out / "attacks.md").read_text(encoding="utf-8")


def test_a_finished_piece_is_not_done_again(config: AuditConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    def units(subject: Subject, attacks: tuple[AttackName, ...], seeds: tuple[int, ...]) -> list[Unit]:
        def unit(name: str, *, dies: bool) -> Unit:
            def work() -> list[AttackRow]:
                done.append(name)
                if dies and done.count(name) == 1:
                    raise KeyboardInterrupt
                return []

            return Unit("phrasing", name, None, work)

        return [unit("a", dies=False), unit("b", dies=True), unit("c", dies=False)]

    monkeypatch.setattr("atu.audit.build_units", units)
    with pytest.raises(KeyboardInterrupt):
        attack(config)
    assert not (config.out / "attacks.json").exists()
    attack(config)
    assert done == ["a", "b", "b", "c"]
    assert (config.out / "attacks.json").exists()


def test_a_damaged_piece_is_done_again(config: AuditConfig, capsys: pytest.CaptureFixture[str]) -> None:
    rows = attack(config)
    piece = sorted((config.out / "attacks").glob("*/*.json"))[0]
    whole = piece.read_text()
    piece.write_text(whole.replace('"n": ', '"n": 1', 1))
    capsys.readouterr()
    assert attack(config) == rows
    assert piece.read_text() == whole
    said = capsys.readouterr().err
    fault = "its check does not fit what it holds. This piece is done again."
    assert f"warning: {piece}, row 1 is not an attack row: {fault}\n" in said
    written = config.out / "attacks.json"
    written.write_text(written.read_text().replace('"n": ', '"n": 1', 1))
    with pytest.raises(UserError, match="row 1 is not an attack row: its check does not fit"):
        read_attack_rows(written)  # as a report does
    settings = config.out / "attacks" / "config.json"
    settings.write_text(settings.read_text().replace("0", "1", 1))
    with pytest.raises(UserError, match=rf"{settings} is damaged: .*Delete {settings.parent} to start anew"):
        attack(config)


def test_attacks_may_be_added_but_nothing_else_may_change(config: AuditConfig) -> None:
    first = attack(replace(config, attacks=("logit-lens",)))
    both = attack(replace(config, attacks=("phrasing",)))
    assert {row.attack for row in both} == {"phrasing", "logit-lens"}
    assert [row for row in both if row.attack == "logit-lens"] == first
    before = (config.out / "attacks.json").read_bytes()
    for changed, key in (
        (replace(config, seeds=(1,)), "seeds"),
        (replace(config, budget=QUICK), "budget"),
        (replace(config, models={**config.models, "unlearned": config.models["original"]}), "unlearned model"),
    ):
        with pytest.raises(UserError, match=rf"another config \({key}\)"):
            attack(changed)
    assert (config.out / "attacks.json").read_bytes() == before


def test_a_model_of_another_shape_is_refused(config: AuditConfig, tmp_path: Path, workplace: Workplace) -> None:
    model = AutoModelForCausalLM.from_pretrained(workplace.model)
    model.model.layers = model.model.layers[:2]
    model.config.num_hidden_layers = 2
    model.save_pretrained(tmp_path / "short")
    AutoTokenizer.from_pretrained(workplace.model).save_pretrained(tmp_path / "short")
    short = ModelConfig(name="short", model_name=str(tmp_path / "short"))
    with pytest.raises(UserError, match=r"unlearned model 'short'.*not of the architecture of the original 'tiny'"):
        attack(replace(config, models={**config.models, "unlearned": short}))
    assert not config.out.exists()


def test_another_chat_template_is_refused(config: AuditConfig, tmp_path: Path, workplace: Workplace) -> None:
    AutoModelForCausalLM.from_pretrained(workplace.model).save_pretrained(tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(workplace.model)
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path / "other")
    other = ModelConfig(name="other", model_name=str(tmp_path / "other"))
    with pytest.raises(UserError, match="gold model 'other' reads text as other tokens"):
        attack(replace(config, models={**config.models, "gold": other}))


def test_a_target_with_too_few_probes_is_refused_before_anything_is_written(config: AuditConfig) -> None:
    with pytest.raises(UserError, match=r"questions to .* when its facts are split in halves"):
        attack(replace(config, attacks=("relearn",)))
    assert not config.out.exists()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        MemoryError(),
    ],
)
def test_memory_that_runs_out_says_what_to_do(error: Exception) -> None:
    unit = Unit("relearn", "full", 0, lambda: [])
    with pytest.raises(UserError, match=r"Out of memory in the attack relearn \(full\)"), _memory_errors(unit):
        raise error


def test_other_faults_are_not_taken_for_it() -> None:
    with pytest.raises(RuntimeError, match="shape"), _memory_errors(Unit("relearn", "full", 0, lambda: [])):
        raise RuntimeError("shape mismatch")


def test_attacks_are_the_last_stage_of_a_run_and_may_be_added_to_a_finished_one(workplace: Workplace) -> None:
    short = "task.stages=[{type: training, steps: 1}, {type: unlearning, steps: 2}]"
    folder = run(workplace.config(short))
    assert folder.lock is not None
    folder.lock.release()
    stamp = (folder.model_dir / "model.safetensors").stat().st_mtime_ns
    folder = run(workplace.config(short, "attacks=[logit-lens]"))
    rows = json.loads((folder.root / "attacks.json").read_text(encoding="utf-8"))
    assert {row["attack"] for row in rows} == {"logit-lens"}
    assert (folder.model_dir / "model.safetensors").stat().st_mtime_ns == stamp


def test_an_unknown_attack_in_the_config_has_its_nearest_name(workplace: Workplace) -> None:
    with pytest.raises(UserError, match=r"attacks\[0\].*Did you mean 'relearn'"):
        workplace.config("attacks=[relern]")


def test_one_s_own_questions_and_texts_serve_for_attacks_on_any_model(workplace: Workplace, tmp_path: Path) -> None:
    root, model = workplace.root, str(workplace.model)
    texts = ("--forget", str(root / "forget.jsonl"), "--retain", str(root / "retain.jsonl"))
    done = CliRunner().invoke(
        app,
        ["attack", model, "--before", model, "--benchmark", "own", "--probes", str(root / "probes.jsonl"),
         "--target", "Zorblatt", *texts, "--attacks", "collateral", "--quick", "--out", str(tmp_path / "out")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = {row.group: row for row in read_attack_rows(tmp_path / "out" / "attacks.json")}
    assert rows["loss/target"].score.n == 30  # all texts of forget.jsonl
    assert rows["asked/same field"].score.n == 3


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--attacks", "relern"], "There is no attack 'relern'. Did you mean 'relearn'?"),
        (["--seeds", "x"], "--seeds: 'x' is no whole number from 0 to 4294967295. Write such as 0,1,2."),
        (["--target", "Japn"], "The built-in benchmark has no target 'Japn'. Did you mean 'Japan'?"),
        ([], "MODEL has no model card that says what was forgotten: name it by --target."),
        (
            ["--target", "Japan", "--forget", "texts.jsonl"],
            "--forget and --retain belong together: give both files, or neither.",
        ),
        (
            ["--target", "Japan", "--forget", "none.jsonl", "--retain", "none.jsonl"],
            "The corpus file none.jsonl does not exist.",
        ),
        (["--target", "Japan", "--probes", "p.jsonl"], "--probes is for --benchmark own, not for builtin."),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line(
    workplace: Workplace, more: list[str], message: str, tmp_path: Path
) -> None:
    model = str(workplace.model)
    result = subprocess.run(
        [sys.executable, "-m", "atu", "attack", model, "--before", model, "--out", str(tmp_path / "out"), *more],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (2, f"error: {message.replace('MODEL', model)}\n")
    assert not (tmp_path / "out").exists()
