"""What the comparison and the ablations start, and what they make of finished runs."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from atu.benchmarks.rwku.reader import target_order
from atu.config import config_hash, to_mapping
from atu.entry.compose import compose_run


@pytest.fixture
def comparison(scripts: None, workplace_with_taught_model: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Its runs and results lie in an empty folder."""
    module = importlib.import_module("comparison")
    monkeypatch.setattr(module, "ROOT", workplace_with_taught_model)
    return module


def finished_run(folder: Path, *overrides: str) -> None:
    """A run that took forget from 80 to 20 in an align stage of 30 s and an unlearn stage of 90 s."""
    for number, (stage, forget, seconds) in enumerate(
        (("before", 80.0, 0), ("align", None, 30), ("unlearn", 20.0, 90))
    ):
        place = folder / "stages" / f"{number:02d}-{stage}"
        place.mkdir(parents=True)
        scores = {} if forget is None else {"forget/all": {"value": forget}, "neighbor/all": {"value": 70.0}}
        (place / "scores.json").write_text(json.dumps({"corrected": scores}))
        (place / "stage.json").write_text(json.dumps({"seconds": seconds}))
    manifest = {"git_commit": "abc", "device": "cpu", "precision": "fp32"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "status.json").write_text(json.dumps({"state": "done"}))
    (folder / "config.yaml").write_text(yaml.safe_dump(to_mapping(compose_run([*overrides]))))


def test_every_job_is_a_run_that_can_be_started(comparison: ModuleType) -> None:
    names = set()
    for testbed in comparison.TESTBEDS.values():
        for method in testbed.methods:
            for concept in testbed.concepts:
                job = comparison.Job(testbed, method, concept, 1)
                config = compose_run(job.overrides)
                task = method.removesuffix(comparison.SUBSPACE_SUFFIX)
                assert (config.task.name, config.unlearning_target, config.seed) == (task, concept, 1)
                if task != method:
                    assert config.task.training_module.moves == "subspace"
                assert Path(config.runs_dir, config.name) == job.folder.relative_to(comparison.ROOT)
                names.add(job.folder)
    assert len(names) == 17 * 6 + 11 * 2 * 13 + 11 * 2


def test_all_methods_retain_what_ours_retains(comparison: ModuleType) -> None:
    for testbed in (comparison.CELEBS, comparison.CELEBS_GENERAL):
        of_methods = []
        for method in ("unlearning_atu", "unlearning_ga", "unlearning_npo"):
            config = compose_run(comparison.Job(testbed, method, testbed.concepts[0], 0).overrides)
            of_methods.append((config.data.corpus, config.task.training_module.retain_batch_size, config.task.stop))
        assert of_methods[1:] == of_methods[:1] * 2


def test_a_finished_run_is_not_done_again_and_gives_its_row(
    comparison: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job = comparison.Job(comparison.BUILTIN, "unlearning_ga", "Japan", 0)
    finished_run(job.folder, *job.overrides)
    monkeypatch.setattr(comparison, "in_own_process", lambda *arguments: "must not be started")
    monkeypatch.setattr("sys.argv", ["x", "--methods", "unlearning_ga", "--concepts", "Japan", "--seeds", "0"])
    with pytest.raises(SystemExit) as end:
        comparison.main()
    assert end.value.code == 0
    (row,) = json.loads(comparison.BUILTIN.results.read_text())
    assert row["config_hash"] == job.config_hash == config_hash(compose_run(job.overrides))
    assert (row["before"]["forget/all"], row["device"]) == (80.0, "cpu")
    assert row["curve"] == [{"forget/all": 20.0, "neighbor/all": 70.0, "minutes": 2.0}]
    assert capsys.readouterr().out.splitlines()[2].startswith("| Japan | unlearning_ga | 1 | 80 → 20 | 70 → 70 | – |")


def test_a_failed_run_is_told_and_has_no_row(
    comparison: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparison, "in_own_process", lambda *arguments: "error: no such thing")
    monkeypatch.setattr("sys.argv", ["x", "--methods", "unlearning_ga", "--concepts", "Japan", "--seeds", "0"])
    with pytest.raises(SystemExit) as end:
        comparison.main()
    assert end.value.code == 1
    assert "unlearning_ga-Japan-seed0: error: no such thing" in capsys.readouterr().err
    assert not comparison.BUILTIN.results.exists()


def test_a_failure_does_not_end_the_runs_behind_it(
    comparison: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        comparison, "in_own_process", lambda *arguments: "out of disk" if "seed=0" in arguments else None
    )
    jobs = [comparison.Job(comparison.BUILTIN, "unlearning_ga", "Japan", seed) for seed in (0, 1)]
    assert list(comparison.run_all(jobs, 1)) == [(jobs[0], False), (jobs[1], True)]
    assert capsys.readouterr().err.splitlines() == [
        "unlearning_ga-Japan-seed0: out of disk",
        "unlearning_ga-Japan-seed1: done",
    ]


def test_the_gold_model_lacks_whoever_is_attacked(comparison: ModuleType) -> None:
    attacks = importlib.import_module("attack_comparison")
    people = {setting.concept for setting in attacks.SETTINGS if setting.testbed is comparison.CELEBS}
    assert people == {"1_Stephen_King", "46_Raquel_Welch", "58_Rihanna"}
    assert people <= set(attacks.WITHOUT.split(","))
    assert attacks.WITHOUT.split(",") == sorted(comparison.CELEBS.concepts, key=target_order)[::2]


def test_a_concept_of_another_testbed_is_refused(comparison: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["x", "--testbed", "celebs", "--concepts", "Japan"])
    with pytest.raises(SystemExit) as end:
        comparison.main()
    assert end.value.code == 2


def test_each_ablation_changes_the_default_and_takes_its_steps(comparison: ModuleType) -> None:
    ablation = importlib.import_module("ablation")
    configs = {name: compose_run(list(changes)) for name, changes in ablation.CHANGES.items()}
    assert len({config_hash(config) for config in configs.values()}) == len(configs)
    for config in configs.values():
        assert config.task.unlearning_steps == configs["default"].task.unlearning_steps
    assert configs["weights, no subspace"].task.training_module.moves == "weights"
    assert list(configs["redirection, not push"].task.terms) == ["redirect", "refusal", "retain_kl"]


def test_the_ablations_table_has_a_line_for_each_change(comparison: ModuleType) -> None:
    ablation = importlib.import_module("ablation")
    scores = dict.fromkeys((*ablation.SCORES, *ablation.NLLS, "degenerate/forget"), 50.0)
    p = dict.fromkeys(ablation.PROBABILITIES, 0.5)
    rows = [  # the reference of an older run has no p
        {"concept": "Japan", "change": name, "before": scores, "curve": [{**scores, **p, "forget/all": after}]}
        for name, after in (("default", 20.0), ("no retain term", 10.0))
    ]
    assert ablation.table(rows).splitlines()[2:] == [
        "| Japan | before | 50 / 50 / 50 | 50 | 50.00 / 50.00 / 50.00 | – / – / – |",
        "| Japan | default | 20 / 50 / 50 | 50 | 50.00 / 50.00 / 50.00 | 0.500 / 0.500 / 0.500 |",
        "| Japan | no retain term | 10 / 50 / 50 | 50 | 50.00 / 50.00 / 50.00 | 0.500 / 0.500 / 0.500 |",
    ]


def test_tofu_has_a_gold_model_for_each_split_and_each_is_made_once(
    comparison: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    def start(*arguments: str) -> None:
        started.append(arguments)
        folder = Path(comparison.ROOT, arguments[arguments.index("--out") + 1])
        folder.mkdir(parents=True)
        if arguments[2] == "evaluate":
            (folder / "scores.json").write_text("{}")

    monkeypatch.setattr(comparison, "in_own_process", start)
    assert comparison.prepare(comparison.TOFU, ["forget01", "forget05"]) is None
    assert [arguments[2] for arguments in started] == ["teach", "evaluate", "teach", "evaluate"]  # one was taught
    for split, gold in (("forget01", started[0]), ("forget05", started[2])):
        assert gold[gold.index("--without") + 1] == split
        config = compose_run(comparison.Job(comparison.TOFU, "unlearning_ga", split, 0).overrides)
        assert (config.data.split, config.data.gold) == (split, f"runs/tofu-without-{split}-asked")
    assert comparison.prepare(comparison.TOFU, ["forget01"]) is None
    assert len(started) == 4
