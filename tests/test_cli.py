"""The commands as a user types them: quick help, one clear line for a mistake, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import DictConfig
from scored_runs import points, save_run

from atu.benchmarks.catalog import BENCHMARKS, released_benchmarks
from atu.config import dotted_keys, field_keys, load, to_mapping
from atu.entry.compose import compose_run

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "launch_training.py"
# The tests may run without the project being installed.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
ENVIRONMENT.pop("HYDRA_FULL_ERROR", None)
ASKED_BY_TASKS = " or ".join(
    name for name, one in BENCHMARKS.items() if any(option.flag == "--tasks" for option in one.options)
)
HAVE_RELEASED = " or ".join(one.name for one in released_benchmarks())


def call(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def launch(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return call(str(SCRIPT), *arguments, cwd=cwd, **environment)


def assert_one_line(result: subprocess.CompletedProcess[str], message: str) -> None:
    assert result.stderr == f"error: {message}\n"
    assert result.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [str(SCRIPT), "--help"],
        [str(SCRIPT), "--cfg", "job"],
        [str(SCRIPT), "task.first_step_steps=1"],
        [str(SCRIPT), "seed=-1"],
        [str(SCRIPT), "-m", "exp=a,b", "name=same"],
        ["-m", "atu", "--help"],
        ["-m", "atu", "train", "--help"],
        ["-m", "atu", "evaluate", "no-such-model", "--target", "x", "--out", "out"],
        ["-m", "atu", "report", "."],
        ["-m", "atu", "report", "export"],
        ["-m", "atu", "report", "sync", "."],
        ["-m", "atu", "attack", "no-such-model", "--before", "x", "--out", "out"],
        ["-m", "atu", "teach", "--help"],
        ["-m", "atu", "teach", "--out", "out", "sed=1"],
        ["-m", "atu", "data", "rwku", "1_Stephen_King", "--from", "nowhere", "--out", "/nonexistent/out"],
    ],
    ids=[
        "help",
        "cfg",
        "wrong key",
        "wrong value",
        "sweep",
        "atu help",
        "atu train help",
        "evaluate",
        "report",
        "report export",
        "report sync",
        "attack",
        "teach help",
        "teach",
        "data",
    ],
)
def test_what_needs_no_torch_does_not_import_it(arguments: list[str], tmp_path: Path) -> None:
    result = call("-X", "importtime", *arguments, cwd=tmp_path)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if "|" in line}
    assert "atu.errors" in imported  # the list is there
    assert not imported & {"torch", "transformers", "accelerate", "safetensors"}
    assert not any(tmp_path.iterdir())


def test_help_shows_the_groups_and_their_options(tmp_path: Path) -> None:
    result = launch("--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "unlearning_atu, unlearning_atu_released" in result.stdout
    assert "celebs-1, celebs-2, celebs-3, celebs-4, embedded-released, hook-layer, l1-l2-ablation" in result.stdout
    assert "unlearning_target: William_Shakespeare" in result.stdout
    assert "npo: weight=1.0, beta=0.1, skip_end=false. The forget texts become less likely" in result.stdout


@pytest.mark.parametrize("choice", [(), ("task=unlearning_npo", "data=own", "unlearning_target=Ann")], ids=["", "npo"])
def test_help_shows_every_key_with_the_value_that_a_run_would_have(choice: tuple[str, ...], tmp_path: Path) -> None:
    result = launch(*choice, "--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shown = DictConfig(yaml.safe_load(result.stdout.partition("all of them ==")[2].partition("The same command")[0]))
    # Of `data` the keys of the chosen benchmark, of anything else all that there are.
    assert set(dotted_keys(shown)) == set(dotted_keys(DictConfig(to_mapping(load(shown)))))
    assert {key for key in field_keys() if not key.startswith("data.")} <= set(dotted_keys(shown))
    assert {"type", "steps", "threshold"} == set(shown.task.stages[0])
    assert load(shown) == compose_run(choice)


def test_atu_train_has_the_same_help(tmp_path: Path) -> None:
    shown = call("-m", "atu", "train", "--help", cwd=tmp_path).stdout
    assert "threshold_percentile: 50" in shown
    assert shown == launch("-h", cwd=tmp_path).stdout


def test_help_of_a_wrong_key(tmp_path: Path) -> None:
    assert_one_line(
        launch("taks=unlearning_npo", "--help", cwd=tmp_path), "There is no key 'taks'. Did you mean 'task'?"
    )


def test_help_takes_options_from_a_folder_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "mine" / "task").mkdir(parents=True)
    (tmp_path / "mine" / "task" / "gentle.yaml").write_text("defaults: [unlearning_npo]\nfirst_stage_steps: 7\n")
    result = launch("--config-dir", "mine", "task=gentle", "--help", cwd=tmp_path)
    assert "task: gentle, unlearning_a" in result.stdout
    assert "first_stage_steps: 7" in result.stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "task.first_step_steps=1",
            "There is no key 'task.first_step_steps'. Did you mean 'task.first_stage_steps'?",
        ),
        (
            "hook_layer=3",
            "There is no key 'hook_layer'. Did you mean 'task.training_module.pretrained_model_hook_layer'?",
        ),
        (
            "text_encoder.batch_siz=3",
            "There is no key 'text_encoder.batch_siz'. Did you mean 'text_encoder.batch_size'?",
        ),
        ("qqqq=1", "There is no key 'qqqq'. See --help for all keys."),
        ("taks=unlearning_npo", "There is no key 'taks'. Did you mean 'task'?"),
        ("task=unlearning_atuu", "There is no task 'unlearning_atuu'. Did you mean 'unlearning_atu'?"),
        ("experiment=celeb-1", "There is no experiment 'celeb-1'. Did you mean 'celebs-1'?"),
        ("hydra/launcher=slrm", "There is no hydra/launcher 'slrm'. Did you mean 'slurm'?"),
        ("hydra/lancher=slurm", "There is no key 'hydra/lancher'. Did you mean 'hydra/launcher'?"),
        (
            "unlearning_target=10_Prince_Harry,_Duke_of_Sussex",
            "'unlearning_target=10_Prince_Harry,_Duke_of_Sussex' has a comma: add -m to run once for each "
            "value, or quote it twice, unlearning_target=\"'10_Prince_Harry,_Duke_of_Sussex'\", when the "
            "comma belongs to the value.",
        ),
        ("seed", "Cannot read 'seed': write key=value, such as seed=1 or unlearning_target=Japan."),
        ("pre_trained_llm=./no/folder", "There is no model folder no/folder."),
        ("devices=0", "devices must be auto or at least 1, not 0."),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(argument: str, message: str, tmp_path: Path) -> None:
    assert_one_line(launch(argument, cwd=tmp_path), message)
    assert not any(tmp_path.iterdir())


def test_a_wrong_key_of_a_launcher_gets_its_nearest_too(tmp_path: Path) -> None:
    result = launch("-m", "hydra/launcher=slurm", "hydra.launcher.partiton=x", "seed=0,1", cwd=tmp_path)
    assert_one_line(result, "There is no key 'hydra.launcher.partiton'. Did you mean 'hydra.launcher.partition'?")


def test_a_dry_run_shows_the_runs_and_writes_nothing(tmp_path: Path) -> None:
    one = launch("--dry-run", "--target", "Japan", cwd=tmp_path)
    assert one.returncode == 0
    assert "Japan-seed0" in one.stdout
    many = launch("-m", "hydra/launcher=slurm", "seed=0,1", "exp=a", "name=${exp}${seed}", "--dry-run", cwd=tmp_path)
    assert many.returncode == 0
    assert "gres=gpu:1" in many.stdout
    assert "2 of 2 runs would start." in many.stdout
    wrong = launch("--dry-run", "--target", "Jpan", cwd=tmp_path)
    assert (wrong.returncode, "Did you mean 'Japan'?" in wrong.stderr) == (2, True)
    assert not any(tmp_path.iterdir())


def test_the_target_may_be_given_as_a_key_where_it_is_an_option(tmp_path: Path) -> None:
    wrong = call(
        "-m", "atu", "evaluate", "smollm2-135m-instruct", "unlearning_target=Jpan", "--out", "out", cwd=tmp_path
    )
    assert (wrong.returncode, "Did you mean 'Japan'?" in wrong.stderr) == (2, True)


def test_atu_train_takes_the_same_overrides_and_flags(tmp_path: Path) -> None:
    script = launch("seed=3", "--cfg", "job", cwd=tmp_path)
    command = call("-m", "atu", "train", "seed=3", "--cfg", "job", cwd=tmp_path)
    assert script.returncode == command.returncode == 0
    assert "seed: 3" in script.stdout
    assert command.stdout == script.stdout


def test_the_wrong_jobs_of_a_sweep_are_named_and_nothing_is_launched(tmp_path: Path) -> None:
    result = launch("-m", "seed=-1,-2", "exp=a", "name=${exp}${seed}", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        "failed: a-1: seed must lie in 0..4294967295, not -1. (runs/a-1)\n"
        "failed: a-2: seed must lie in 0..4294967295, not -2. (runs/a-2)\n"
    )
    assert result.stdout == "0 of 2 runs are done\n"
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["a-1", "a-2"]
    status = json.loads((tmp_path / "runs" / "a-1" / "status.json").read_text())
    assert (status["state"], status["message"]) == ("failed", "seed must lie in 0..4294967295, not -1.")


def test_jobs_that_share_a_run_folder_are_refused(tmp_path: Path) -> None:
    assert_one_line(
        launch("-m", "exp=a,b", "name=same", cwd=tmp_path),
        "The jobs 'exp=a name=same' and 'exp=b name=same' would write the same run 'same': put what differs between "
        "them into the name, as in name='same-${seed}'.",
    )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("launcher", ["lrz-a100", "slurm", "submitit_slurm"])
def test_a_cluster_s_launcher_without_slurm(launcher: str, tmp_path: Path) -> None:
    result = launch("-m", f"hydra/launcher={launcher}", "seed=0,1", cwd=tmp_path, PATH="/nonexistent")
    assert_one_line(
        result,
        f"hydra/launcher={launcher} needs SLURM, but there is no sbatch here. Start it on a login node of the cluster "
        "(elsewhere: install slurm-client and the cluster's slurm.conf), or run the jobs on this machine with "
        "hydra/launcher=slurm-local.",
    )
    assert not any(tmp_path.iterdir())


def test_the_traceback_can_be_had(tmp_path: Path) -> None:
    result = launch("seed=-1", cwd=tmp_path, HYDRA_FULL_ERROR="1")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("atu.errors.UserError: seed must lie in 0..4294967295, not -1.\n")


def test_ctrl_c_ends_at_once_and_says_how_to_go_on(tmp_path: Path) -> None:
    # The child interrupts itself where a run would begin.
    code = (
        "import sys, types, signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job ignores it
        "room = types.ModuleType('atu.run')\n"
        "room.run = lambda config, **_: signal.raise_signal(signal.SIGINT)\n"
        "sys.modules['atu.run'] = room\n"
        "from atu.launch import launch\n"
        "launch('python launch_training.py', ['seed=3', 'exp=\\'a b\\''])\n"
    )
    result = call("-c", code, cwd=tmp_path)
    assert result.returncode == 130
    assert result.stderr == (
        "\ninterrupted. The same command resumes where this one stopped: "
        "python launch_training.py seed=3 'exp='\"'\"'a b'\"'\"''\n"
    )


def test_the_version_is_the_package_s(tmp_path: Path) -> None:
    import atu

    assert call("-m", "atu", "--version", cwd=tmp_path).stdout == f"atu {atu.__version__}\n"


def test_report_of_a_folder_that_is_no_run(tmp_path: Path) -> None:
    result = call("-m", "atu", "report", str(tmp_path), cwd=tmp_path)
    assert_one_line(result, f"{tmp_path} is not a run folder: it has no config.yaml.")
    assert not any(tmp_path.iterdir())


def test_report_writes_the_page_with_and_without_its_name(tmp_path: Path) -> None:
    folder = save_run(tmp_path, points((80, 90), (20, 60)))
    for arguments in (["report", str(folder)], ["report", "page", str(folder)]):
        result = call("-m", "atu", *arguments, cwd=tmp_path)
        assert result.stdout == f"{folder / 'report.html'}\n"
        (folder / "report.html").unlink()
    assert "export" in call("-m", "atu", "report", "--help", cwd=tmp_path).stdout


def test_report_export_names_what_it_leaves_out(tmp_path: Path) -> None:
    save_run(tmp_path / "runs", points((80, 90), (20, 60)))
    (save_run(tmp_path / "runs", points((80, 90), (20, 60)), seed=1) / "config.yaml").write_text("[")
    result = call("-m", "atu", "report", "export", "--out", "r.json", cwd=tmp_path)
    assert result.stdout == "1 runs: r.json\n"
    assert result.stderr.startswith(
        "note: unlearning_atu-Japan-seed1 is left out: runs/unlearning_atu-Japan-seed1/config.yaml: not valid YAML ("
    )
    assert set(json.loads((tmp_path / "r.json").read_text())) == {"unlearning_atu-Japan-seed0"}


def test_report_export_of_nothing(tmp_path: Path) -> None:
    assert_one_line(call("-m", "atu", "report", "export", cwd=tmp_path), "There is no folder runs.")
    assert not any(tmp_path.iterdir())


def test_evaluate_of_an_unknown_model(tmp_path: Path) -> None:
    result = call("-m", "atu", "evaluate", "smollm2-135m-instuct", "--target", "x", "--out", "out", cwd=tmp_path)
    assert_one_line(
        result,
        "Unknown model 'smollm2-135m-instuct': no folder, GGUF file or hub id. Did you mean 'smollm2-135m-instruct'?",
    )
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--benchmark", "rwku", "--tasks", "forget,mmmlu"],
            "tasks[1]: 'mmmlu' is not one of forget, neighbor, mmlu, bbh, truthful, triviaqa, mia, fluency. "
            "Did you mean 'mmlu'?",
        ),
        (["--tasks", "forget"], f"--tasks is for --benchmark {ASKED_BY_TASKS}, not for builtin."),
        (["--benchmark", "own", "--tasks", "forget"], f"--tasks is for --benchmark {ASKED_BY_TASKS}, not for own."),
        (["--benchmark", "rwku", "--probes", "p.jsonl"], "--probes is for --benchmark own, not for rwku."),
        (["--benchmark", "rwkuu"], f"--benchmark: 'rwkuu' is not one of {', '.join(BENCHMARKS)}. Did you mean 'rwku'?"),
        (
            ["--scoring", "both"],
            f"--scoring both is for --benchmark {HAVE_RELEASED}: builtin has corrected scores alone.",
        ),
    ],
)
def test_evaluate_refuses_what_has_no_effect(options: list[str], message: str, tmp_path: Path) -> None:
    common = ["evaluate", "smollm2-135m-instruct", "--target", "x", "--out", "out"]
    assert_one_line(call("-m", "atu", *common, *options, cwd=tmp_path), message)
    assert not any(tmp_path.iterdir())


def test_data_rwku_fetches_from_a_copy_and_verifies(shared_dir: Path, tmp_path: Path) -> None:
    command = ["-m", "atu", "data", "rwku", "--out", "out"]
    result = call(*command, "1_Stephen_King", "--from", str(shared_dir / "rwku"), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("[1/1] 1_Stephen_King: 19 files")
    assert result.stdout.endswith("checksums: out/manifest.json\n")
    assert call(*command, "--verify", cwd=tmp_path).stdout == "19 files equal the manifest.\n"
    again = call(*command, "1_Stephen_King", "--from", str(shared_dir / "rwku"), cwd=tmp_path)
    assert again.stdout.startswith("[1/1] 1_Stephen_King: already there")
    typo = call(*command, "1_Steven_King", "--from", str(shared_dir / "rwku"), cwd=tmp_path)
    assert_one_line(typo, "RWKU has no target '1_Steven_King' there. Did you mean '1_Stephen_King'?")


def test_a_model_that_is_missing_is_said_before_its_card_is_asked_for_the_target(tmp_path: Path) -> None:
    result = call("-m", "atu", "evaluate", "runs/none/model", "--before", "runs/none", "--out", "out", cwd=tmp_path)
    assert_one_line(result, "There is no model folder runs/none/model.")
    assert not any(tmp_path.iterdir())
