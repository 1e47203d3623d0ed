"""Every method on a testbed, same path, same judge, same stop rule: the tables of docs/lab/experiments.md.

    python experiments/comparison.py --jobs 2                    # the built-in concepts
    python experiments/comparison.py --testbed celebs --jobs 2   # people of RWKU, on the model that was taught them
    python experiments/comparison.py --testbed celebs-general --seeds 0   # the same, with general texts retained too
    python experiments/comparison.py --methods unlearning_ga-subspace --concepts Japan   # moved as the default
    python experiments/comparison.py --testbed tofu --concepts forget01   # TOFU, on a model taught 20 authors

Each run is an ordinary one in runs/<testbed>; a killed one goes on. The numbers (no model output) go to
docs/results/<testbed>.json, and the table to standard output. A run whose row stands there with the same config is not
done again, so that the comparison can be made in pieces; to make it anew, delete that file and those runs.

The data of RWKU are looked for in $ATU_RWKU, else in data/rwku; those of TOFU in $ATU_TOFU, else in data/tofu.
Models are taught first (`atu teach`), unless they are there: runs/taught-model; for TOFU runs/tofu-taught, and for each
split a gold model, which is asked too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol, TypeVar

import yaml

from atu.config import RunConfig, config_hash
from atu.entry.compose import compose_run
from atu.report.styles import method_style
from atu.storage.config_dir import config_dir
from atu.storage.files import write_json_atomic
from atu.typed import from_mapping

ROOT = Path(__file__).resolve().parents[1]
SEEDS = (0, 1, 2)
TAUGHT_MODEL = "runs/taught-model"


COLUMNS = (
    ("forget/all", "forget"),
    ("neighbor/all", "neighbor"),
    ("utility/gen", "general"),
    ("degenerate/forget", "degenerate"),
    ("nll/forget@known", "forget NLL"),
    ("nll/neighbor@known", "neighbor NLL"),
    ("p/forget@known", "forget p"),
    ("p/neighbor@known", "neighbor p"),
    ("p/utility@known", "general p"),
)


@dataclass(frozen=True, eq=False)
class Testbed:
    """What is forgotten, and from which model."""

    name: str
    concepts: tuple[str, ...]
    methods: Mapping[str, tuple[str, ...]]
    """What each method is given beside its yaml. A name may end in `SUBSPACE_SUFFIX`."""
    overrides: tuple[str, ...] = ()
    """What all are given. `{concept}` stands for what is forgotten."""
    columns: tuple[tuple[str, str], ...] = COLUMNS
    """Scores and headings of its table."""
    axes: tuple[str, str] = ("forget/all", "neighbor/all")
    """Scores of its figure."""

    @property
    def results(self) -> Path:
        """The rows of its runs."""
        return ROOT / "docs" / "results" / f"{self.name}.json"


def _swept_targets(experiment: str) -> tuple[str, ...]:
    """The targets of one of the paper's sweeps, from config/experiment."""
    sweep = yaml.safe_load((config_dir() / "experiment" / f"{experiment}.yaml").read_text())
    return tuple(name.strip() for name in sweep["hydra"]["sweeper"]["params"]["unlearning_target"].split(","))


CELEBS_1, CELEBS_2 = _swept_targets("celebs-1"), _swept_targets("celebs-2")
_RELEASED = ("experiment=embedded-released",)
_OTHERS = tuple(f"unlearning_{name}" for name in ("simnpo", "dpo", "refusal", "undial", "masked", "enpo", "rmu"))
_FASTER = "task.training_module.unlearning_lr=3e-4"
_LOWER_HALF = ("task.training_module.first_trained_layer=0", "task.training_module.last_trained_layer=0.5")
_STEPS = "{type: unlearning, steps: 8}, {type: unlearning, steps: 8}"
_LONGER = f"task.stages=[{_STEPS}, {_STEPS}]"
_LONGER_WITH_ALIGN = f"task.stages=[{{type: training, steps: 150}}, {_STEPS}, {{type: training, steps: 40}}, {_STEPS}]"
SUBSPACE_SUFFIX = "-subspace"
_IN_SUBSPACE = (
    "task.training_module.moves=subspace",
    "task.training_module.subspace={lr: 3e-2}",
    "task.training_module.retain_batch_size=16",
    "task.scale={concept_left: 0.5, retain_kl: 2e-3, largest: 1.5}",
    "task.stages=[{type: unlearning, steps: 12}]",
)
"""What ours has besides its terms: where it moves, how much of the change is kept, batch and steps.
Of the rates 8e-3 and 2e-2 the latter forgets more with gradient ascent on William_Shakespeare and Japan."""
# The yaml's values were chosen on William_Shakespeare, seed 0 (docs/lab/experiments.md has the grid).
BUILTIN = Testbed(
    "builtin",
    ("William_Shakespeare", "Japan", "Ancient_Egypt", "Human_Heart", "World_War_II", "Diabetes"),
    methods={
        "unlearning_atu": (),
        "unlearning_ga": (),
        "unlearning_npo": (),
        "unlearning_atu_released": _RELEASED,
        "unlearning_distill": (),
        **dict.fromkeys(_OTHERS, ()),
        **{f"unlearning_{name}{SUBSPACE_SUFFIX}": _IN_SUBSPACE for name in ("ga", "npo", "simnpo", "dpo", "rmu")},
    },
)


def _retaining(texts: int, questions: int, texts_a_step: int, *, settles: bool) -> tuple[str, ...]:
    """So many general texts and questions beside those about people, and how a run ends that the stop rule ends."""
    return (
        f"data.corpus.num_general_texts={texts}",
        f"data.corpus.num_general_question_rows={questions}",
        f"task.training_module.retain_batch_size={texts_a_step}",
        f"task.stop.settle={str(settles).lower()}",
    )


# What was taught needs larger and more steps, in the lower half of the blocks; chosen on celebs-1. Retained are texts
# about people alone.
CELEBS = Testbed(
    "celebs",
    (*CELEBS_1, *CELEBS_2),
    methods={
        "unlearning_atu": ("experiment=taught", *_retaining(0, 0, 12, settles=False)),
        "unlearning_ga": (*_LOWER_HALF, _LONGER),
        "unlearning_npo": (_FASTER, *_LOWER_HALF, _LONGER),
        "unlearning_atu_released": _RELEASED,
        **dict.fromkeys(("unlearning_refusal", "unlearning_masked"), (_FASTER, *_LOWER_HALF, _LONGER)),
        # Nothing was chosen here for these: their retain weight is that of the first run on William_Shakespeare.
        **dict.fromkeys(
            ("unlearning_simnpo", "unlearning_dpo", "unlearning_undial"),
            (_FASTER, *_LOWER_HALF, _LONGER, "task.objective.retain_kl.weight=16"),
        ),
        "unlearning_enpo": (_FASTER, *_LOWER_HALF, _LONGER_WITH_ALIGN, "task.objective.retain_kl.weight=4"),
        # Its hook layer must lie in what is trained.
        "unlearning_rmu": (
            _FASTER,
            *_LOWER_HALF,
            _LONGER,
            "task.training_module.pretrained_model_hook_layer=0.4",
        ),
    },
    overrides=(
        "data=rwku-questions",
        "data.data_dir=null",  # $ATU_RWKU, else data/rwku
        "data.corpus.rwku_file=positive_phi",  # the texts that every target has
        f"pre_trained_llm=./{TAUGHT_MODEL}",
    ),
)
_TAUGHT_TODAY = _retaining(70, 140, 28, settles=True)
# The same with what experiment=taught retains today, for every method.
CELEBS_GENERAL = Testbed(
    "celebs-general",
    CELEBS.concepts,
    methods={name: given if given == _RELEASED else (*given, *_TAUGHT_TODAY) for name, given in CELEBS.methods.items()}
    | {"unlearning_atu": ("experiment=taught",)},
    overrides=CELEBS.overrides,
)
# The first ten authors and the last ten, among whom are those of forget01 and forget05. Nothing was chosen here: the
# settings are those of CELEBS, for what was taught.
TOFU_AUTHORS = 20
TOFU_MODEL, TOFU_GOLD = "runs/tofu-taught", "runs/tofu-without-{concept}"
TOFU = Testbed(
    "tofu",
    ("forget01", "forget05"),
    methods={**CELEBS.methods, "unlearning_atu": ("experiment=taught", *_retaining(0, 0, 12, settles=False))},
    overrides=(
        "data=tofu",
        "data.data_dir=null",
        "data.split={concept}",
        f"data.gold={TOFU_GOLD}-asked",
        "evaluation.scoring=both",
        f"pre_trained_llm=./{TOFU_MODEL}",
    ),
    columns=(
        ("tofu/forget_quality", "forget quality"),
        ("tofu/ks_distance", "KS distance"),
        ("tofu/model_utility", "model utility"),
        ("privacy/leak", "PrivLeak"),
        ("memorization/strength", "extraction strength"),
        ("forget/qa", "forget"),
        ("neighbor/qa", "retain"),
        ("degenerate/forget", "degenerate"),
    ),
    axes=("forget/qa", "neighbor/qa"),
)
TESTBEDS = {testbed.name: testbed for testbed in (BUILTIN, CELEBS, CELEBS_GENERAL, TOFU)}
METHODS = tuple(BUILTIN.methods)
MAIN_METHODS = ("unlearning_atu", "unlearning_ga", "unlearning_npo", "unlearning_atu_released")


@dataclass(frozen=True)
class Job:
    """One run of the comparison."""

    testbed: Testbed
    method: str
    concept: str
    seed: int

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.method}-{self.concept}-seed{self.seed}"

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return ROOT / "runs" / self.testbed.name / self.name

    @cached_property
    def overrides(self) -> list[str]:
        """What a user would type behind `python launch_training.py`."""
        given = self.testbed.methods[self.method]
        task = [] if given == _RELEASED else [f"task={self.method.removesuffix(SUBSPACE_SUFFIX)}"]
        return [
            *task,
            *given,
            *(given.replace("{concept}", self.concept) for given in self.testbed.overrides),
            f"unlearning_target={self.concept}",
            f"seed={self.seed}",
            f"runs_dir=runs/{self.testbed.name}",
            f"name={self.name}",
            "threads=1",
        ]

    @cached_property
    def config_hash(self) -> str:
        """Of the config that the overrides give today."""
        return config_hash(compose_run(self.overrides))

    def run(self) -> str | None:
        """Run it in a process of its own; the last line of its errors when it fails."""
        return run_once(self.folder, self.overrides)

    def summary(self) -> dict[str, Any]:
        """Its row."""
        row = {"method": self.method, "concept": self.concept, "seed": self.seed}
        return row | run_summary(self.folder)


def is_done(folder: Path) -> bool:
    """Whether the run there has ended by itself."""
    status = folder / "status.json"
    return status.exists() and json.loads(status.read_text())["state"] == "done"


def run_once(folder: Path, overrides: Sequence[str]) -> str | None:
    """Run training in a process of its own, unless that is done; the last line of its errors when it fails."""
    return None if is_done(folder) else in_own_process("launch_training.py", *overrides)


class Runnable(Protocol):
    """What `run_all` takes."""

    @property
    def name(self) -> str:
        """How its outcome is told."""

    def run(self) -> str | None:
        """Do it; the last line of its errors when it fails."""


R = TypeVar("R", bound=Runnable)


def run_all(runs: Sequence[R], jobs: int) -> Iterator[tuple[R, bool]]:
    """Run them, `jobs` at once, and tell each outcome; each with whether it succeeded, in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        for run, failure in zip(runs, pool.map(lambda run: run.run(), runs), strict=True):
            print(f"{run.name}: {failure or 'done'}", file=sys.stderr, flush=True)
            yield run, failure is None


def run_summary(folder: Path) -> dict[str, Any]:
    """Scores and minutes of training after each unlearn stage, and what it takes to know the run again."""
    manifest = json.loads((folder / "manifest.json").read_text())
    stages = [json.loads(path.read_text()) for path in sorted(folder.glob("stages/*/stage.json"))]
    scores = [json.loads(path.read_text())["corrected"] for path in sorted(folder.glob("stages/*/scores.json"))]
    minutes = accumulate(stage["seconds"] / 60 for stage in stages)
    scored = [{**_values(found), "minutes": round(at, 2)} for found, at in zip(scores, minutes, strict=True) if found]
    return {
        "config_hash": hash_of_run(folder),
        "git_commit": manifest["git_commit"],
        "device": manifest["device"],
        "precision": manifest["precision"],
        "stages": len(stages) - 1,
        "before": scored[0],
        "curve": scored[1:],
    }


def hash_of_run(folder: Path) -> str:
    """Of the config that a run had, as it reads today: a key that has come since takes its default."""
    text = (folder / "config.yaml").read_text()
    return config_hash(from_mapping(RunConfig, yaml.safe_load(text), ""))


def in_own_process(*arguments: str) -> str | None:
    """Run Python with these arguments on one thread; the last line of its errors when it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no message"])[-1]


def known_rows(testbed: Testbed) -> dict[Job, dict[str, Any]]:
    """The rows that its results hold, by job."""
    rows = json.loads(testbed.results.read_text()) if testbed.results.exists() else []
    return {Job(testbed, row["method"], row["concept"], row["seed"]): row for row in rows}


def teach(folder: str, *options: str) -> str | None:
    """Make a taught model, unless it is there; the last line of its errors when that fails."""
    if (ROOT / folder).is_dir():
        return None
    return in_own_process("-m", "atu", "teach", "--out", folder, *options, "seed=0")


def prepare(testbed: Testbed, concepts: Sequence[str]) -> str | None:
    """Make the models that a testbed needs; the last line of the errors when that fails."""
    if testbed is BUILTIN:
        return None
    if testbed is not TOFU:
        return teach(TAUGHT_MODEL)
    whose = ("--benchmark", "tofu", "--limit", str(TOFU_AUTHORS))
    failure = teach(TOFU_MODEL, *whose)
    for split in concepts:
        gold = TOFU_GOLD.replace("{concept}", split)
        failure = failure or teach(gold, *whose, "--without", split)
        if failure is None and not (ROOT / f"{gold}-asked" / "scores.json").exists():
            ask = ("evaluate", gold, "--benchmark", "tofu", "--split", split, "--out", f"{gold}-asked")
            failure = in_own_process("-m", "atu", *ask)
    return failure


def _values(scores: dict[str, dict[str, float]]) -> dict[str, float]:
    return {name: round(score["value"], 3) for name, score in scores.items()}


def table(rows: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]] = COLUMNS) -> str:
    """A markdown table: mean over seeds of before → after, smallest and largest after in brackets."""
    lines = [
        "| concept | method | seeds | " + " | ".join(label for _, label in columns) + " | training, min |",
        "| --- | --- | --- |" + " --- |" * (len(columns) + 1),
    ]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["concept"], row["method"]), []).append(row)
    for (concept, method), members in groups.items():
        cells = [_cell(members, key) for key, _ in columns]
        minutes = fmean(member["curve"][-1]["minutes"] for member in members)
        lines.append(f"| {concept} | {method} | {len(members)} | " + " | ".join(cells) + f" | {minutes:.1f} |")
    return "\n".join(lines)


def _cell(members: Sequence[dict[str, Any]], key: str) -> str:
    before = [member["before"].get(key) for member in members]
    after = [member["curve"][-1].get(key) for member in members]
    if None in before or None in after:
        return "–"
    digits = {"nll": 2, "p": 3, "tofu": 3, "memorization": 2}.get(key.partition("/")[0], 0)
    spread = f" ({min(after):.{digits}f}–{max(after):.{digits}f})" if len(after) > 1 else ""
    return f"{fmean(before):.{digits}f} → {fmean(after):.{digits}f}{spread}"


def draw(rows: Sequence[dict[str, Any]], path: Path, scores: tuple[str, str]) -> None:
    """What is left of forget against what is left of neighbors (`scores`): a line a run, from before (100, 100)."""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.rcParams["svg.hashsalt"] = "atu"  # the same numbers give the same file
    concepts = list(dict.fromkeys(str(row["concept"]) for row in rows))
    columns = min(len(concepts), 4)
    lines = math.ceil(len(concepts) / columns)
    figure, axes = plt.subplots(lines, columns, figsize=(4.2 * columns, 4.0 * lines), sharey=True, squeeze=False)
    for axis in axes.flat[len(concepts) :]:
        axis.remove()
    for axis, concept in zip(axes.flat, concepts, strict=False):
        for row in (row for row in rows if row["concept"] == concept):
            points = [row["before"], *row["curve"]]
            left = [[100 * p[key] / points[0][key] for p in points] for key in scores]
            look = method_style(str(row["method"]))
            shown = look.label.en if row["seed"] == min(SEEDS) else None
            axis.plot(*left, color=look.color, marker=look.marker, markersize=4, linewidth=1, label=shown)
            axis.plot(left[0][-1], left[1][-1], color=look.color, marker=look.marker, markersize=9)
        axis.set_title(concept.replace("_", " "), fontsize=10)
        axis.set_xlabel("forget: right answers left, % of before (← better)")
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("neighbor: right answers left, % of before (↑ better)")
    axes[0][0].legend(fontsize=8, loc="best")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    """Run what is missing, and write the results of all that is done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--testbed", choices=TESTBEDS, default=BUILTIN.name)
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=MAIN_METHODS)
    parser.add_argument("--concepts", nargs="+", metavar="CONCEPT", default=None, help="of the testbed; default: all")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    options = parser.parse_args()
    testbed = TESTBEDS[options.testbed]
    concepts = options.concepts or list(testbed.concepts)
    if strange := set(options.methods) - set(testbed.methods):
        parser.error(f"{testbed.name} has no {', '.join(sorted(strange))}")
    if unknown := set(concepts) - set(testbed.concepts):
        parser.error(f"{testbed.name} has no {', '.join(sorted(unknown))}; it has {', '.join(testbed.concepts)}")
    if failure := prepare(testbed, concepts):
        parser.exit(2, f"teaching: {failure}\n")
    jobs = [Job(testbed, m, c, s) for s in options.seeds for c in concepts for m in options.methods]
    rows = known_rows(testbed)
    missing = [job for job in jobs if rows.get(job, {}).get("config_hash") != job.config_hash]
    failed = False
    for job, succeeded in run_all(missing, options.jobs):
        if succeeded:
            rows[job] = job.summary()
            write_json_atomic(testbed.results, _in_order(testbed, rows))
        failed |= not succeeded
    shown = _in_order(testbed, rows)
    print(table(shown, testbed.columns))
    # Eleven methods in a panel are more than one can read.
    if drawn := [row for row in shown if row["method"] in MAIN_METHODS]:
        draw(drawn, testbed.results.with_suffix(".svg"), testbed.axes)
    sys.exit(failed)


def _in_order(testbed: Testbed, rows: dict[Job, dict[str, Any]]) -> list[dict[str, Any]]:
    everything = [Job(testbed, m, c, s) for c in testbed.concepts for m in METHODS for s in SEEDS]
    return [rows[job] for job in everything if job in rows]


if __name__ == "__main__":
    main()
