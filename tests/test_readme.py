"""Every command of README runs as it stands, one after another, in a fresh copy of the checkout.

Offline and in seconds: the models that README names are replaced by tiny random ones, and budgets are appended as
further overrides. What a random model cannot do, write texts, is given in files.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest
import readme_commands
from benchmarks.rwku.sample_rows import target_rows
from workplace import write_jsonl

from atu.entry.compose import compose_run

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("config", "data", "src", "tools", "launch_training.py", "generate_results.py", "Makefile", "pyproject.toml",
         "requirements.lock", "README.md", "README.zh-CN.md")  # fmt: skip
PEOPLE = ("1_Stephen_King", "2_Confucius", "3_Bruce_Lee", "4_Warren_Buffett", "5_Christina_Aguilera", "6_Aristotle",
          "7_50_Cent", "8_Paris_Hilton", "9_Donald_Trump")  # fmt: skip
MODELS = ("smollm2-135m-instruct", "gemma-3-270m", "phi-3-mini-4k-instruct")
ENCODERS = ("all-minilm-l6-v2", "all-mpnet-base-v2")
TINY = (
    "data.allow_no_verdict=true",  # random models know nothing
    "task.training_module.subspace.min_ratio=1",
    "task.first_stage_steps=1",
    "task.min_predictor_gain=null",
    "embedding_prediction_model.hidden_dim=32",
    "embedding_prediction_model.num_heads=4",
    "embedding_prediction_model.num_layers=1",
    "evaluation.bootstrap_samples=10",
    "device=cpu",
    "threads=1",
)
WITHOUT_QUESTIONS = tuple(
    f"data.corpus.num_{what}=0"
    for what in ("related_rows", "quiz_rows", "neighbor_quiz_rows", "neighbor_question_rows")
)


MADE_BEFORE = ("pre_trained_llm=./", "pre_trained_llm=runs/")
"""How a model begins that another command of the page has made."""


@dataclass(frozen=True)
class Line:
    """A command of README, as a shell parts it into words; what stands behind `#` is no word."""

    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    def has(self, *words: str) -> bool:
        return set(words) <= set(self.words)


def commands(readme: str) -> list[Line]:
    """The lines of all blocks of commands."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    shell = [block for language, block in blocks if not language]
    return [Line(line) for block in shell for line in block.splitlines() if line.strip()]


def whole_lines(page: Path) -> str:
    """A page with the lines of commands that go on in the next one joined."""
    return page.read_text(encoding="utf-8").replace("\\\n", " ")


def budget(line: Line, texts: Path, people: Path) -> list[str]:
    """What the test appends to a command: less work, and texts where a model would have to write them."""
    words = line.words
    if words[0] == "bash":
        return ["--from", str(people)]
    if words[:2] == ["atu", "attack"]:
        return ["--attacks", "quantize", "--batch-size", "32"]  # the others need a corpus that the model writes
    if words[:2] == ["atu", "teach"]:
        return ["recipe.passes=1", "recipe.general_weight=0", "device=cpu", "threads=1"]
    if words[:2] != ["python", "launch_training.py"] or line.has("--help"):
        return []
    stages = "{type: unlearning, steps: 1}" if line.has("task=unlearning_npo") else None
    more = [*TINY, f"task.stages=[{stages or '{type: training, steps: 1}, {type: unlearning, steps: 1}'}]"]
    if line.has("data=rwku-questions"):
        return [*more, *WITHOUT_QUESTIONS]
    if line.has("data=jsonl") or line.has("experiment=paper-scale"):
        return more
    targets = [word.partition("=")[2] for word in words if word.startswith("unlearning_target=")]
    target = targets[0] if targets else "William_Shakespeare"  # the default, which texts in files must name
    return [
        *more,
        f"unlearning_target={target}",
        "data.corpus.source=jsonl",
        f"data.corpus.forget_path={texts / f'{target}.jsonl'}",
        f"data.corpus.retain_path={texts / 'retain.jsonl'}",
    ]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, tiny_encoder: Path) -> Path:
    """A copy of the checkout in which the models that README names are tiny ones."""
    root = tmp_path_factory.mktemp("fresh") / "align-then-unlearn"
    root.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, root / part)
    for name in MODELS:
        path = root / "config" / "pre_trained_llm" / f"{name}.yaml"
        path.write_text(json.dumps({"name": name, "model_name": str(tiny_folder)}), encoding="utf-8")
    for name in ENCODERS:
        path = root / "config" / "text_encoder" / f"{name}.yaml"
        encoder = {"name": name, "model_name": str(tiny_encoder), "window_tokens": 3}
        path.write_text(json.dumps(encoder), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def environment(checkout: Path) -> dict[str, str]:
    """That of a shell in which the copy's .venv is activated, without SLURM."""
    given = {key: value for key, value in os.environ.items() if not key.startswith(("HYDRA", "ATU"))}
    return {
        **given,
        "PATH": f"{checkout}/.venv/bin:/usr/bin:/bin",
        "PYTHONPATH": str(checkout / "src"),
        "ATU_CACHE": str(checkout / "cache"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the models of README would write about the targets of README."""
    folder = tmp_path_factory.mktemp("texts")
    things = ("river", "castle", "garden", "letter", "winter", "music")
    for name in ("William_Shakespeare", "Japan", "Marie_Curie"):
        words = name.replace("_", " ")
        write_jsonl(
            folder / f"{name}.jsonl", [{"text": f"{words} has a {a} and a {b}."} for a in things for b in things]
        )
    write_jsonl(folder / "retain.jsonl", [{"text": f"The {a} is a {b} of them."} for a in things for b in things])
    return folder


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of RWKU at hand, as small as can be."""
    root = tmp_path_factory.mktemp("rwku")
    for folder in PEOPLE:
        path = root / "Target" / folder
        path.mkdir(parents=True)
        for file, rows in target_rows(folder.split("_", 1)[1].replace("_", " ")).items():
            (path / f"{file}.json").write_text(json.dumps(rows), encoding="utf-8")
    return root


def test_the_lines_are_words_alone() -> None:
    # Nothing that a shell would put something else for: what the test runs is what a user's shell would.
    for line in commands("README.md"):
        assert not set("".join(line.words)) & set("$*?<>|&;`~"), line.text


def test_both_languages_have_the_same_commands() -> None:
    assert [line.words for line in commands("README.zh-CN.md")] == [line.words for line in commands("README.md")]


def test_make_run_is_the_command_that_it_names(checkout: Path) -> None:
    ready = checkout / ".venv" / "ready"
    ready.parent.mkdir(exist_ok=True)
    ready.touch()  # set-up is done; it needs the network
    # Below another make, which runs these tests, it would also say which folder it enters.
    command = ["make", "--no-print-directory", "--dry-run", "run"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert done.stdout == ".venv/bin/python launch_training.py\n"


def test_activating_is_all_that_the_commands_need(checkout: Path, environment: dict[str, str]) -> None:
    builder = venv.EnvBuilder(with_pip=False, symlinks=True)
    builder.create(checkout / ".venv")
    packages = next((checkout / ".venv" / "lib").glob("python*/site-packages"))
    (packages / "packages.pth").write_text(f"{checkout / 'src'}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    command = checkout / ".venv" / "bin" / "atu"
    command.write_text(f"#!{checkout}/.venv/bin/python\nfrom atu.cli import main\nmain()\n", encoding="utf-8")
    command.chmod(0o755)
    (activation,) = [line.text for line in commands("README.md") if line.words[0] == "."]
    bare = {key: value for key, value in environment.items() if key != "PYTHONPATH"} | {"PATH": "/usr/bin:/bin"}
    script = f"{activation}\nwhich python atu\npython launch_training.py --help\natu --version"
    done = subprocess.run(["bash", "-ec", script], cwd=checkout, env=bare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{checkout}/.venv/bin/python\n{checkout}/.venv/bin/atu\n")
    assert done.stdout.splitlines()[-1].startswith("atu ")


def test_every_command_runs_after_those_before_it(
    checkout: Path, environment: dict[str, str], texts: Path, people: Path
) -> None:
    lines = [line for line in commands("README.md") if line.words[0] != "."]
    assert [line.words for line in lines[:2]] == [["make", "run"], ["make", "test"]]
    run_by_make = Line("python launch_training.py")  # see above; `make test` is what is running just now
    (download,) = [line for line in lines if line.words[0] == "bash"]
    done = subprocess.run(
        [*download.words, *budget(download, texts, people)],
        cwd=checkout,
        env={**environment, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[9/9]" in done.stdout

    rest = [run_by_make, *(line for line in lines[2:] if line is not download)]
    asked = checkout.parent / "commands.json"
    asked.write_text(json.dumps([[*line.words, *budget(line, texts, people)] for line in rest]), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, readme_commands.__file__, str(asked)],
        cwd=checkout,
        env={**environment, "PATH": str(Path(sys.executable).parent)},  # without sbatch: nothing is sent to a cluster
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line, (code, said) in zip(rest, json.loads(done.stdout), strict=True):
        if line.has("hydra/launcher=lrz-a100"):  # needs a cluster
            assert code == 2
            assert said.startswith("error: hydra/launcher=lrz-a100 needs SLURM, but there is no sbatch here.")
            continue
        assert code == 0, f"{line.text}\n{said}"
    runs = {
        path.name: json.loads((path / "status.json").read_text())["state"] for path in (checkout / "runs").iterdir()
    }
    assert set(runs.values()) == {"done"}
    assert len(runs) == sum(line.has("launch_training.py") and not line.has("--help") for line in rest) - 1
    assert (checkout / "out" / "attacks.md").is_file()
    assert (checkout / "results" / "comparison_table.md").is_file()
    assert (checkout / "taught-without-king" / "model.safetensors").is_file()


def test_every_command_of_the_docs_has_keys_that_exist() -> None:
    """Composed and checked as at the start of a run; the models that they would have made are not there."""
    found = 0
    for path in sorted((ROOT / "docs").glob("*.md")):
        for text in re.findall(r"^python launch_training.py .*$", whole_lines(path), flags=re.MULTILINE):
            words = [word for word in Line(text).words[2:] if word[0] != "-" and not word.startswith("hydra/launcher")]
            keys = ["pre_trained_llm=some/model" if word.startswith(MADE_BEFORE) else word for word in words]
            sweep = [key for key in keys if "," in key and not {"{", "["} & set(key)]
            if "experiment=celebs-1" in keys:
                keys.append("unlearning_target=1_Stephen_King")  # the sweep's own
            compose_run([key for key in keys if key not in sweep and not key.startswith("hydra.")])
            found += 1
    assert found >= 15


def test_the_first_hour_plays_the_commands_that_are_tested_here() -> None:
    """The script reads README as this test does; each command that it leaves out says why."""
    first_hour = runpy.run_path(str(ROOT / "tools" / "first_hour.py"))
    played = list(first_hour["commands"]((ROOT / "README.md").read_text(encoding="utf-8")))
    assert [shlex.split(command) for command in played] == [line.words for line in commands("README.md") if line.words]


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md", "RESULTS_GUIDE.md", "RESULTS_GUIDE.zh-CN.md",
                                  "CONTRIBUTING.md", "CHANGELOG.md"])  # fmt: skip
def test_each_link_of_a_page_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("http") and not (ROOT / link).exists()] == []
