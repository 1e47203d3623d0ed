"""Plays tiny runs of every task, all attacks, an evaluation and a lesson, and writes all numbers that come out.

    python tools/record_runs.py OUT.json [--against EARLIER.json] [--only PART ...] [--data RWKU_FOLDER] [--steps 4]

One thread, random models, a cache of its own; minutes for all. With --against it says of each part whether it is equal,
bit for bit, and else names what differs; the exit code is 1 then. Recordings compare on one machine only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "src")]

from workplace import WORDS, Workplace, save_tiny_encoder, save_tiny_model, write_files, write_jsonl  # noqa: E402

from atu.attacks.config import ATTACKS  # noqa: E402

TASKS = sorted(path.stem for path in (ROOT / "config" / "task").glob("*.yaml"))
RESULTS = ("metrics.jsonl", "answers.*.jsonl", "scores.json", "attacks.json", "*.safetensors")
"""Files of a run that hold what it computed, and nothing of when or where."""
Numbers = dict[str, object]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*TASKS, "attacks", "evaluation", "lesson"], metavar="PART")
    parser.add_argument("--data", type=Path, help="RWKU, for the lesson; else there is none")
    parser.add_argument("--steps", type=int, default=4, help="of each stage")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        parts = dict(record(Path(folder), given.only, given.data, given.steps))
    given.out.write_text(json.dumps(parts, indent=1), encoding="utf-8")
    return compare(json.loads(given.against.read_text(encoding="utf-8")), parts) if given.against else 0


def record(root: Path, only: list[str] | None, data: Path | None, steps: int) -> Iterator[tuple[str, Numbers]]:
    """The numbers of each part by `<file>/<row>/<key>`; of one that failed its last words."""
    place = Workplace(root, root / "model", root / "encoder")
    write_files(root)
    save_tiny_model(place.model)
    save_tiny_encoder(place.encoder)
    many = [  # enough for attacks that split the facts
        {"group": group, "prompt": f"What is the {WORDS[k]} of the {WORDS[(k + step) % 10]}?"}
        | {"references": [WORDS[(3 * k + step) % 10]], "max_new_tokens": 4}
        for step in (1, 2, 3)
        for k in range(10)
        for group in ("forget/qa", "neighbor/qa")
    ]
    write_jsonl(root / "many.jsonl", many)
    commands = {task: ["train", *overrides(place, task, steps)] for task in TASKS}
    attacked = [f"data.probes_path={root / 'many.jsonl'}", f"attacks=[{','.join(ATTACKS)}]", "name=attacks"]
    commands["attacks"] = ["train", *overrides(place, "unlearning_ga", steps, *attacked)]
    commands["evaluation"] = ["evaluate", str(place.model), "--target", "Japan", "--before", str(place.model)]
    if data is not None:
        lesson = ["recipe.passes=1", "recipe.general_weight=0", "device=cpu", "threads=1"]
        model = f"pre_trained_llm={place.model}"
        commands["lesson"] = ["teach", "--data", str(data), "--targets", "1_Stephen_King", model, *lesson]
    for part, words in commands.items():
        if only is None or part in only:
            folder = root / "runs" / part
            yield part, play(root, words if words[0] == "train" else [*words, "--out", str(folder)], folder)


def overrides(place: Workplace, task: str, steps: int, *more: str) -> list[str]:
    """A tiny run of a task: its first four stages, each of a few steps. `more` replaces what names the same key."""
    document = yaml.safe_load((ROOT / "config" / "task" / f"{task}.yaml").read_text(encoding="utf-8"))
    stages = [{**stage, "steps": steps} for stage in document.get("task", document)["stages"][:4]]
    listed = json.dumps(stages).replace('"', "")  # as Hydra reads it
    own = [f"task={task}", f"task.stages={listed}", "++task.min_predictor_gain=null", f"name={task}"]
    words = {word.lstrip("+").partition("=")[0]: word for word in (*place.overrides(), *own, *more)}
    left_out = ["task.first_stage_steps"]
    if "defaults" in document:  # it brings a predictor of its own
        left_out += ["embedding_prediction_model.hidden_dim", "embedding_prediction_model.num_heads"]
    return [word for key, word in words.items() if key not in left_out]


def play(root: Path, words: list[str], folder: Path) -> Numbers:
    """Run a command of `atu`, and read what it left in its folder."""
    own = {"ATU_CACHE": str(root / "cache"), "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "atu", *words]
    done = subprocess.run(command, env={**os.environ, **own}, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": (done.stdout + done.stderr).replace(str(root), "")[-500:]}
    found = [path for pattern in RESULTS for path in sorted(folder.rglob(pattern)) if "checkpoint" not in path.parts]
    return {key: value for path in found for key, value in numbers(path, str(path.relative_to(folder)))}


def numbers(path: Path, name: str) -> Iterator[tuple[str, object]]:
    """Every value in a JSON or JSON lines file by its place there; of any other file its sha256."""
    if path.suffix == ".json":
        yield from _values(json.loads(path.read_text(encoding="utf-8")), name)
    elif path.suffix == ".jsonl":
        yield from _values([json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()], name)
    else:
        yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def compare(before: dict[str, Numbers], after: dict[str, Numbers]) -> int:
    """Print of each part that was played whether it is equal; 1 where one differs."""
    differing = 0
    for part, values in after.items():
        old = before.get(part, {})
        keys = [key for key in {**old, **values} if old.get(key) != values.get(key)]
        differing += bool(keys)
        print(f"{part}: {'equal' if not keys else f'{len(keys)} of {len(values)} values differ'}")
        for key in keys[:5]:
            print(f"  {key}: {old.get(key)} -> {values.get(key)}")
    return int(differing > 0)


def _values(value: Any, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict | list):
        places = value.items() if isinstance(value, dict) else enumerate(value)
        for place, inner in places:
            if place != "check":  # a row's checksum
                said = f"{name}/{value['name']}" if place == "value" and "name" in value else name  # of metrics
                yield from _values(inner, f"{said}/{place}")
    else:
        yield name, value


if __name__ == "__main__":
    sys.exit(main())
