"""Run folders: made, resumed, refused, locked; stages whole or not at all."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from atu.errors import UserError
from atu.records import Answer, Judgement, Score, StageResult
from atu.runs.manifest import manifest
from atu.runs.opening import open_run
from atu.runs.rows import read_answers
from atu.runs.run_folder import write_evaluation

CONFIG: dict[str, Any] = {
    "name": "a",
    "seed": 0,
    "task": {"stages": (1, 2), "lr": 2e-05, "text": "two\nlines: ü"},
    "output": Path("runs"),
    "nothing": None,
}
STAGE = StageResult(
    index=2,
    kind="unlearn",
    label="02-unlearn",
    scores={"forget/all": Score(value=23.0, n=61, low=14.0, high=33.0)},
    seconds=61.5,
    signals={"loss": 0.25},
)
ANSWER = Answer(
    probe_id="builtin/x/qa/0",
    group="forget/qa",
    prompt="Who wrote Hamlet?",
    text="I don't know <b>",
    score=0.0,
    degenerate=False,
    attack="reverse",
    references=("Shakespeare",),
    known_before=True,
    values={"nll": 1.25},
)


def test_same_config_resumes(tmp_path: Path) -> None:
    root = tmp_path / "runs" / "a"
    first = open_run(root, CONFIG, "abc")
    first.write_stage(STAGE, [ANSWER])
    first.close()
    again = open_run(root, CONFIG, "abc")
    assert again.read_stages() == [STAGE]
    assert (root / "config.yaml").read_text().startswith("# config hash: abc\nname: a\nseed: 0\n")
    assert again.read_config()["task"] == {"stages": [1, 2], "lr": 2e-05, "text": "two\nlines: ü"}


def test_a_run_that_failed_before_it_kept_anything_takes_another_config(tmp_path: Path) -> None:
    open_run(tmp_path / "a", CONFIG, "abc").close()
    again = open_run(tmp_path / "a", {**CONFIG, "seed": 1}, "def")
    assert again.read_config()["seed"] == 1
    assert (tmp_path / "a" / "config.yaml").read_text().startswith("# config hash: def\n")


def test_other_config_is_refused_with_the_keys_that_differ(tmp_path: Path) -> None:
    first = open_run(tmp_path / "a", CONFIG, "abc")
    first.write_stage(STAGE, [])
    first.close()
    before = {path: path.read_bytes() for path in (tmp_path / "a").iterdir() if path.is_file()}
    other = {**CONFIG, "seed": 1, "task": {"stages": [1, 2], "lr": 1e-05}, "new": {"key": True}}
    with pytest.raises(UserError) as caught:
        open_run(tmp_path / "a", other, "def")
    assert str(caught.value) == (
        f"{tmp_path}/a holds a run of another config (seed: 0 → 1; task.lr: 2e-05 → 1e-05; "
        'task.text: "two\\nlines: ü" → (not set); new.key: (not set) → true). '
        "Choose another `name=`, or delete the folder to start anew."
    )
    assert {path: path.read_bytes() for path in (tmp_path / "a").iterdir() if path.is_file()} == before
    # The refusal leaves no lock behind.
    open_run(tmp_path / "a", CONFIG, "abc").close()


def test_at_most_five_differences_are_shown(tmp_path: Path) -> None:
    open_run(tmp_path / "a", {"name": "a"}, "").close()
    (tmp_path / "a" / "checkpoint").mkdir()
    with pytest.raises(UserError, match=r"k4: \(not set\) → 4; and 2 more\)"):
        open_run(tmp_path / "a", {"name": "a", **{f"k{i}": i for i in range(7)}}, "")


def test_folder_of_something_else_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"is not a run folder, but it holds thesis\.tex\. Choose another"):
        open_run(tmp_path, CONFIG, "abc")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_broken_config_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("a: [1\nb: {")
    with pytest.raises(UserError, match="not valid YAML") as caught:
        open_run(tmp_path, CONFIG, "abc")
    assert "\n" not in str(caught.value)


def test_read_only_place_is_one_clear_line() -> None:
    if not Path("/sys").is_dir():
        pytest.skip("needs a file system that nobody can write to (/sys)")
    with pytest.raises(UserError, match=r"Cannot write /sys/atu-run: .*choose a folder"):
        open_run(Path("/sys/atu-run"), CONFIG, "abc")


HOLDER = """
import sys, time
from pathlib import Path
from atu.runs.opening import open_run
run = open_run(Path(sys.argv[1]), {"a": 1}, "abc")
print("ready", flush=True)
time.sleep(60)
"""


def test_two_processes_never_write_the_same_run(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / "a"], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(UserError, match=rf"Another process \({holder.pid} on .*\) is writing the run"):
            open_run(tmp_path / "a", {"a": 1}, "abc")
        holder.send_signal(signal.SIGKILL)
    open_run(tmp_path / "a", {"a": 1}, "abc").close()


def test_stage_and_answers_read_back(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a", CONFIG, "abc")
    align = StageResult(index=10, kind="align", label="10-align", scores={}, seconds=1.0)
    run.write_stage(align, [])
    run.write_stage(STAGE, [ANSWER])
    assert run.read_stages() == [STAGE, align]
    assert run.read_answers("02-unlearn") == [ANSWER]
    assert run.read_answers("10-align") == []
    stage = json.loads((run.stage_dir("02-unlearn") / "stage.json").read_text())
    assert stage == {
        "index": 2, "kind": "unlearn", "label": "02-unlearn", "seconds": 61.5, "signals": {"loss": 0.25}
    }  # fmt: skip
    scores = json.loads((run.stage_dir("02-unlearn") / "scores.json").read_text())
    assert scores == {"corrected": {"forget/all": {"value": 23.0, "n": 61, "low": 14.0, "high": 33.0}}}


def test_nan_is_null_in_the_file_and_nan_again(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a", CONFIG, "abc")
    answer = Answer(
        probe_id="a",
        group="b",
        prompt="c",
        text="",
        score=math.nan,
        degenerate=True,
        values={"nll": math.inf},
    )
    run.write_stage(STAGE, [answer])
    text = (run.stage_dir(STAGE.label) / "answers.corrected.jsonl").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    (read,) = run.read_answers(STAGE.label)
    assert math.isnan(read.score)
    assert math.isnan(read.values["nll"])


def test_stage_replaces_an_earlier_one(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a", CONFIG, "abc")
    run.write_stage(STAGE, [ANSWER, ANSWER])
    run.write_stage(STAGE, [ANSWER])
    assert run.read_answers(STAGE.label) == [ANSWER]
    assert [path.name for path in (run.root / "stages").iterdir()] == ["02-unlearn"]


def test_leftovers_of_a_killed_process_do_not_count(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a", CONFIG, "abc")
    run.write_stage(STAGE, [ANSWER])
    leftover = run.root / "stages" / "03-align.partial"
    leftover.mkdir()
    (leftover / "stage.json").write_text("{")
    (run.root / ".status.json.1234.partial").write_text("{")
    assert run.read_stages() == [STAGE]
    run.close()
    open_run(tmp_path / "a", CONFIG, "abc")
    assert not leftover.exists()
    assert not (run.root / ".status.json.1234.partial").exists()


def test_unknown_stage_and_broken_rows_are_named(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a", CONFIG, "abc")
    run.write_stage(STAGE, [ANSWER])
    with pytest.raises(UserError, match="has no finished stage '07-x'"):
        run.read_answers("07-x")
    (run.stage_dir(STAGE.label) / "digests.json").unlink()  # else any change of a byte is what is named
    (run.stage_dir(STAGE.label) / "answers.corrected.jsonl").write_text('{"probe_id": "a"}\n')
    with pytest.raises(UserError, match=r"answers\.corrected\.jsonl, line 1 is not an answer"):
        run.read_answers(STAGE.label)
    (run.stage_dir(STAGE.label) / "scores.json").write_text("[]")
    with pytest.raises(UserError, match="is not a stage of a run"):
        run.read_stages()


def test_status_says_where_the_run_stands(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a", CONFIG, "abc")
    run.set_status("failed", "02-unlearn", "The loss is NaN.")
    status = json.loads(run.status_path.read_text())
    assert (status["state"], status["stage"], status["message"]) == (
        "failed",
        "02-unlearn",
        "The loss is NaN.",
    )


def test_manifest_keeps_versions_and_machine() -> None:
    value = manifest(
        target="x",
        model="m",
        method="d",
        seed=3,
        device="cpu",
        precision="fp32",
        threads=2,
        config_hash="abc",
        checksums={"f": "00"},
    )
    assert value["versions"]["python"] == sys.version.split()[0]
    assert {"torch", "transformers"} <= set(value["versions"])
    assert (value["seed"], value["device"], value["threads"]) == (3, "cpu", 2)
    assert value["checksums"] == {"f": "00"}
    json.dumps(value, allow_nan=False)


def test_reading_results_never_loads_torch() -> None:
    code = (
        "import sys, atu.report.page, atu.runs.opening, atu.report.terminal, atu.runs.tracking;"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_block_and_a_file_for_each_scoring(tmp_path: Path) -> None:
    score = Score(value=math.nan, n=1, low=math.nan, high=math.nan)
    released = Judgement(scores={"utility/tru_mc2": score}, answers=[ANSWER])
    corrected = Judgement(scores=STAGE.scores, answers=[ANSWER, ANSWER])
    write_evaluation(tmp_path, {"released": released, "corrected": corrected})
    blocks = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert blocks["released"]["utility/tru_mc2"] == {"value": None, "n": 1, "low": None, "high": None}
    assert blocks["corrected"]["forget/all"] == {"value": 23.0, "n": 61, "low": 14.0, "high": 33.0}
    assert read_answers(tmp_path / "answers.released.jsonl") == [ANSWER]
    assert read_answers(tmp_path / "answers.corrected.jsonl") == [ANSWER, ANSWER]
    # A later evaluation under one scoring leaves no answers that are not its own.
    write_evaluation(tmp_path, {"corrected": corrected})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.corrected.jsonl", "scores.json"]


def test_a_stage_may_have_released_scores_beside_the_corrected(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a", CONFIG, "abc")
    run.write_stage(STAGE, [ANSWER], {"released": Judgement(scores={}, answers=[ANSWER, ANSWER])})
    assert run.read_stages() == [STAGE]
    assert run.read_answers(STAGE.label) == [ANSWER]
    assert len(read_answers(run.stage_dir(STAGE.label) / "answers.released.jsonl")) == 2
