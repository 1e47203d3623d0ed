"""A damaged file of a run or of the cache: the same command ends in the right weights and numbers, or in one line."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from workplace import Workplace

from atu.config import RunConfig
from atu.errors import UserError
from atu.report.collect import record_of
from atu.run import run
from atu.runs.run_folder import RunFolder
from atu.runs.tracking import MetricLog
from atu.storage.user_files import file_sha256
from atu.training.stages import run_stage
from atu.training.state import TrainingState

from .conftest import Command

STAGES = "task.stages=[{type: training, steps: 2}, {type: unlearning, steps: 2}, {type: unlearning, steps: 2}]"
UNREAD = {".lock", "log.txt", "report.html"}
"""No run and no report is built on these."""


def flip(path: Path, chance: random.Random) -> None:
    """One bit, anywhere."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)


def numbers(folder: RunFolder) -> Any:
    """All that a report shows of a run, and its weights."""
    record = record_of(folder.root, "tiny")
    stages = {
        scoring: [(stage.label, stage.scores, stage.signals) for stage in found]
        for scoring, found in record.stages.items()
    }
    answers = {label: folder.read_answers(label) for label in folder.stage_labels()}
    return (
        record.method,
        record.target,
        record.model,
        record.seed,
        stages,
        answers,
        MetricLog(folder.metrics_path).rows(),
    )


def chosen(root: Path, state: str, chance: random.Random) -> list[str]:
    """Files of a run; of one that was killed, where each takes its time, one of each stage."""
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    files = [file for file in files if file not in UNREAD]
    if state == "done":
        return files
    stages = sorted({file.rpartition("/")[0] for file in files if file.startswith("stages/")})
    of_stages = [chance.choice([file for file in files if file.startswith(stage)]) for stage in stages]
    return [*(file for file in files if not file.startswith("stages/")), *of_stages]


@pytest.mark.parametrize("state", ["done", "killed"])
def test_one_flipped_bit_in_each_file_of_a_run(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    config = workplace.config(STAGES)

    def command() -> RunFolder:
        folder = run(config)
        folder.close()
        return folder

    whole = command()
    expected, model = numbers(whole), file_sha256(whole.model_dir / "model.safetensors")
    if state == "killed":
        shutil.rmtree(whole.root)
        kill_at_stage(2, monkeypatch, command)
    kept = Path(shutil.copytree(whole.root, workplace.root / "kept"))
    chance, silent, refusals = random.Random(0), [], dict[str, str]()
    for file in chosen(kept, state, chance):
        shutil.rmtree(whole.root)
        shutil.copytree(kept, whole.root)
        flip(whole.root / file, chance)
        try:
            found = numbers(whole)  # as a report shows the folder before anybody runs it again
            if state == "done" and found != expected:
                silent.append(f"report of {file}")
        except UserError as error:
            refusals[f"report of {file}"] = str(error)
        try:
            found = numbers(command())
            if found != expected or file_sha256(whole.model_dir / "model.safetensors") != model:
                silent.append(file)
        except UserError as error:
            refusals[file] = str(error)
    assert silent == []
    assert not [refusal for refusal in refusals.values() if "\n" in refusal]
    assert all(Path(name.split()[-1]).name in refusal for name, refusal in refusals.items()), refusals
    # These are made again, or not needed: the run goes on.
    mended = {"config.yaml", "status.json", "stages/00-before"} | ({"model"} if state == "done" else set())
    assert not [file for file in refusals if any(file.startswith(name) for name in mended)], refusals


def kill_at_stage(stage: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """The process ends before this stage begins."""

    def killed(state: TrainingState, *arguments: Any) -> None:
        if state.progress.stage == stage:
            raise KeyboardInterrupt
        run_stage(state, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr("atu.run.run_stage", killed)
        with pytest.raises(KeyboardInterrupt):
            work()


def weights_of(run_folder: RunFolder) -> str:
    return file_sha256(run_folder.model_dir / "model.safetensors")


SHORT = "task.stages=[{type: training, steps: 2}, {type: unlearning, steps: 2}]"


def test_one_flipped_bit_in_each_room_of_the_cache(workplace: Workplace, capsys: pytest.CaptureFixture[str]) -> None:
    config = workplace.config(SHORT)
    whole = run(config)
    whole.close()
    expected, model = numbers(whole), weights_of(whole)
    chance, cache = random.Random(0), workplace.root / "cache"
    files = {path.parent.name: path for path in sorted(cache.rglob("*")) if path.is_file() and path.suffix != ".lock"}
    assert {"answers", "references", "windows"} <= set(files)
    for path in files.values():
        shutil.rmtree(whole.root)
        flip(path, chance)
        capsys.readouterr()
        run(config).close()
        assert capsys.readouterr().err == f"warning: {path} in the cache is damaged; it is made again.\n"
        assert (numbers(whole), weights_of(whole)) == (expected, model)


def test_a_finished_run_without_its_model_exports_it_again(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    config = workplace.config(SHORT)
    whole = run(config)
    whole.close()
    model = weights_of(whole)
    shutil.rmtree(whole.model_dir)
    capsys.readouterr()
    run(config).close()
    assert weights_of(whole) == model
    assert capsys.readouterr().err == (
        f"warning: {whole.root} was done, but {whole.model_dir} is missing: it is made again from the checkpoint.\n"
    )
    # To save space people delete the checkpoint of a finished run.
    shutil.rmtree(whole.checkpoint_dir)
    run(config).close()
    assert capsys.readouterr().err == ""
    assert not whole.checkpoint_dir.exists()
    assert whole.read_status()["state"] == "done"


def test_a_finished_run_knows_its_stages_and_its_model(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    config = workplace.config(STAGES)
    whole = run(config)
    whole.close()
    expected, model = numbers(whole), weights_of(whole)
    last, earlier = whole.stage_dir("03-unlearn"), whole.stage_dir("02-unlearn")

    # As another run of the same stages would have left it.
    other_run = RunFolder(root=workplace.root / "other")
    better = replace(whole.read_stage(last.name), scores=whole.read_stage("00-before").scores)
    other_run.write_stage(better, whole.read_answers("00-before"))
    other = other_run.stage_dir(last.name)

    def replaced(old: Path, new: Path) -> None:
        shutil.rmtree(old)
        shutil.copytree(new, old)

    changes: list[tuple[Callable[[], object], str]] = [
        # A report would take the stage before it for the outcome.
        (lambda: shutil.rmtree(last), f"{last} is missing"),
        (lambda: replaced(last, earlier), f"{last}/digests.json is not what was written"),
        (lambda: replaced(last, other), f"{last}/digests.json is not what was written"),
        (lambda: shutil.copytree(last, last.with_name("04-unlearn")), f"{last.parent}/04-unlearn is not of this run"),
        # The reference model instead of the one that was made.
        (lambda: replaced(whole.model_dir, workplace.model), f"{whole.model_dir}/digests.json is not what was written"),
    ]
    for change, fault in changes:
        change()
        if "/stages/" in fault:
            with pytest.raises(UserError) as caught:
                record_of(whole.root, "tiny")
            assert str(caught.value).startswith(f"{fault}. Put it back, or run the command of this run again")
        capsys.readouterr()
        run(config).close()
        assert capsys.readouterr().err.startswith(
            f"warning: {whole.root} was done, but {fault}: it is made again from the checkpoint.\n"
        )
        assert (numbers(whole), weights_of(whole)) == (expected, model)
    # A copy that somebody made by hand is no stage.
    shutil.copytree(last, last.with_name("03-unlearn copy"))
    assert numbers(whole) == expected
    shutil.rmtree(earlier)
    with pytest.raises(UserError, match=rf"^{earlier} is missing, and the model has gone on since"):
        run(config)


@pytest.fixture
def killed(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> tuple[RunFolder, RunConfig, str]:
    """A run that was killed before its third stage, its config, and the weights that it has to come to."""
    config = workplace.config(STAGES)
    folder = run(config)
    folder.close()
    model = weights_of(folder)
    shutil.rmtree(folder.root)
    kill_at_stage(2, monkeypatch, lambda: run(config))
    return folder, config, model


def test_who_follows_the_advice_ends_in_the_right_weights(killed: tuple[RunFolder, RunConfig, str]) -> None:
    folder, config, model = killed
    checkpoint, previous = folder.checkpoint_dir, folder.root / "checkpoint.previous"
    shutil.copytree(checkpoint, previous)
    (previous / "optimizer-unlearn.safetensors").unlink()  # a process that was killed as it deleted it
    flip(checkpoint / "llm.safetensors", random.Random(0))
    with pytest.raises(UserError, match=rf"{checkpoint} is damaged .*{previous} .*Delete both folders") as caught:
        run(config)
    assert "\n" not in str(caught.value)
    shutil.rmtree(checkpoint)
    with pytest.raises(UserError, match=rf"{previous} .*Delete both folders"):
        run(config)
    shutil.rmtree(previous)
    run(config).close()
    assert weights_of(folder) == model
    assert folder.stage_labels() == ["00-before", "01-align", "02-unlearn", "03-unlearn"]


def test_the_record_of_a_stage_is_never_measured_on_the_model_of_a_later_one(
    killed: tuple[RunFolder, RunConfig, str],
) -> None:
    folder, config, model = killed
    stage = folder.stage_dir("01-align")
    kept = Path(shutil.copytree(stage, folder.root.parent / "kept"))
    shutil.rmtree(stage)
    with pytest.raises(UserError) as caught:
        run(config)
    assert str(caught.value) == (
        f"{stage} is missing, and the model has gone on since, so that this stage cannot be measured again. Put it "
        f"back, or delete {folder.root} to start anew."
    )
    shutil.copytree(kept, stage)
    run(config).close()
    assert weights_of(folder) == model


def test_a_damaged_status_does_not_stop_the_command(command: Command, workplace: Workplace) -> None:
    assert command(SHORT, "skip_initial_eval=true").code == 0
    status = workplace.root / "runs" / "tiny" / "status.json"
    status.write_text(status.read_text().replace("done", "dnne"))
    outcome = command(SHORT, "skip_initial_eval=true")
    assert outcome.code == 0
    assert outcome.err.startswith(f"warning: {status} is damaged: its check does not fit what it holds.")
    assert outcome.status["state"] == "done"
