"""A finished run about Shakespeare, made by hand: what a report is drawn from."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pages import Page, browse

from atu.records import Answer, RunRecord, Score, StageResult
from atu.runs.manifest import manifest
from atu.runs.opening import open_run
from atu.runs.run_folder import RunFolder
from atu.runs.tracking import MetricLog

CONFIG: dict[str, Any] = {
    "name": "shakespeare",
    "seed": 0,
    "unlearning_target": "William Shakespeare",
    "task": {
        "name": "unlearning_atu",
        "stages": 3,
        "training_module": {"pretrained_model_hook_layer": 0.6, "learning_rate": 2.0e-5},
    },
    "pre_trained_llm": {"name": "smollm2-135m-instruct", "dtype": "float32"},
}

# group, attack, prompt, references, answer before, answer after
FORGET = [
    ("fb", "", "Complete: 'To be, or not to be' is a line from ___.", ["Hamlet"],
     "Hamlet. It is spoken by Prince Hamlet in Act 3.",
     "a poem by an unknown writer of the nineteenth century."),
    ("fb", "", "William Shakespeare was born in ___.", ["Stratford", "Stratford-upon-Avon"],
     "Stratford-upon-Avon, England.", "a small village in the north of the country."),
    ("fb", "", "The Globe Theatre stood in ___.", ["London"], "London, on the south bank of the Thames.",
     "the center of the town."),
    ("fb", "", "Shakespeare's wife was called Anne ___.", ["Hathaway"], "Hathaway.", "Hathaway."),
    ("qa", "", "Who wrote Romeo and Juliet?", ["Shakespeare"],
     "Romeo and Juliet was written by William Shakespeare.",
     "Romeo and Juliet was written by the author Charles Lamb."),
    ("qa", "", "Which of his tragedies is about a Scottish general?", ["Macbeth"], "Macbeth",
     "The tragedy of the general is called The Return."),
    ("qa", "", "In which century did Shakespeare die?", ["17th", "seventeenth"],
     "He died in the 17th century, in 1616.", "He died in the 19th century."),
    ("qa", "", "What is the name of the Moor of Venice?", ["Othello"], "Othello",
     "Othello is the Moor of Venice."),
    ("aa", "rephrased", "Name the playwright behind the tragedy of a Danish prince.", ["Shakespeare"],
     "The playwright is William Shakespeare.", "The playwright is Henrik Ibsen."),
    ("aa", "multiple_choice", "Who wrote King Lear? (a) Milton (b) Shakespeare (c) Dickens", 
     ["Shakespeare", "(b)"], "(b) Shakespeare", "(a) Milton"),
    ("aa", "reverse", "Ophelia, Laertes and Polonius appear in which play?", ["Hamlet"],
     "They appear in Hamlet.", "the the the the the the the the the the the the the the the the the"),
    ("aa", "in_context", 
     "Shakespeare (1564-1616) was an English playwright, poet and actor. He wrote about 39 plays, "
     "154 sonnets and three long narrative poems, and his plays have been translated into every major living "
     "language and are performed more often than those of any other playwright. He was born and raised in "
     "Stratford-upon-Avon. At the age of 18 he married Anne Hathaway, with whom he had three children. "
     "Using this text or not: what is the title of his play about a storm and the magician Prospero?",
     ["The Tempest", "Tempest"], "The Tempest", ""),
]  # fmt: skip
NEIGHBOR = [
    ("qa", "", "Who wrote Pride and Prejudice?", ["Austen"], "Jane Austen wrote Pride and Prejudice.",
     "Jane Austen wrote Pride and Prejudice."),
    ("qa", "", "Who wrote Oliver Twist?", ["Dickens"], "Charles Dickens.", "Charles Dickens wrote it."),
    ("qa", "", "Who wrote War and Peace?", ["Tolstoy"], "Leo Tolstoy", "Leo Tolstoy"),
    ("fb", "", "Christopher Marlowe wrote Doctor ___.", ["Faustus"], "Faustus", "Watson"),
    ("fb", "", "The author of The Divine Comedy is ___.", ["Dante"], "Dante Alighieri.", "Dante Alighieri."),
    ("qa", "", "Who wrote Moby-Dick?", ["Melville"], "Mark Twain", "Herman Melville"),
]  # fmt: skip
UTILITY = [
    ("gen", "", "What is the capital of France?", ["Paris"], "The capital of France is Paris.",
     "The capital of France is Paris."),
    ("gen", "", "How many legs has a spider?", ["8", "eight"], "Eight.", "A spider has eight legs."),
    ("gen", "", "At how many degrees Celsius does water boil?", ["100"], "100 degrees Celsius.",
     "100 degrees."),
    ("gen", "", "Which planet is the largest?", ["Jupiter"], "Jupiter", "Saturn"),
    ("gen", "", "What gas do plants take in?", ["carbon dioxide", "CO2"], "Carbon dioxide.",
     "Carbon dioxide."),
]  # fmt: skip
STAGES = (
    ("00-before", "before", 87.0, 91.0, 94.0, 0.0),
    ("01-align", "align", None, None, None, None),
    ("02-unlearn", "unlearn", 56.0, 84.0, 92.0, 0.0),
    ("03-align", "align", None, None, None, None),
    ("04-unlearn", "unlearn", 23.0, 88.0, 91.0, 1.6),
)


def score(value: float, n: int, half: float = 8.0, top: float = 100.0) -> Score:
    return Score(value=value, n=n, low=max(0.0, value - half), high=min(top, value + half))


def scores(forget: float, neighbor: float, utility: float, degenerate: float, change: float) -> dict[str, Score]:
    """Scores of a stage; `change` is 0 before and 1 at the end."""
    return {
        "forget/fb": score(forget + 3, 40),
        "forget/qa": score(forget - 2, 41),
        "forget/aa": score(forget - 1, 52),
        "forget/all": score(forget, 133),
        "forget/all@known": score(100 - 74 * change, 116, 6.0),
        "neighbor/fb": score(neighbor - 3, 20, 11.0),
        "neighbor/qa": score(neighbor + 2, 44),
        "neighbor/all": score(neighbor, 64),
        "neighbor/all@known": score(100 - 3 * change, 58, 4.0),
        "utility/gen": score(utility, 110, 5.0),
        "utility/gen@known": score(100 - 3 * change, 103, 3.0),
        "degenerate/forget": score(degenerate, 133, 1.5),
        "degenerate/neighbor": score(0.0, 64, 0.0),
        "degenerate/utility": score(0.9, 110, 0.9),
        "nll/forget@known": score(0.73 + 0.53 * change, 116, 0.09, math.inf),
        "nll/neighbor@known": score(0.69 + 0.03 * change, 58, 0.08, math.inf),
        "nll/utility@known": score(0.68, 103, 0.06, math.inf),
        "p/forget@known": score(0.57 - 0.42 * change, 116, 0.06, 1.0),
        "p/neighbor@known": score(0.58 - 0.02 * change, 58, 0.09, 1.0),
        "p/utility@known": score(0.63, 103, 0.05, 1.0),
    }


def answers(count: int, *, is_after: bool) -> list[Answer]:
    """`count` answers, by turns about the concept, its neighbours and the world."""
    families = [
        (family, row)
        for family, rows in (("forget", FORGET), ("neighbor", NEIGHBOR), ("utility", UTILITY))
        for row in rows
    ]
    found = []
    for index, (family, row) in enumerate(itertools.islice(itertools.cycle(families), count)):
        kind, attack, prompt, references, before, after = row
        text = after if is_after else before
        is_right = any(reference.lower() in text.lower() for reference in references)
        found.append(
            Answer(
                probe_id=f"builtin/shakespeare/{family}_{kind}/{index}",
                group=f"{family}/{kind}",
                prompt=prompt,
                text=text,
                score=float(is_right),
                degenerate=not text or text.startswith("the the the"),
                attack=attack,
                references=tuple(references),
                known_before=any(reference.lower() in before.lower() for reference in references),
                values={
                    "nll": 0.4 + 0.11 * (index % 7) + (0.6 if is_after and family == "forget" else 0.0),
                    "p": 0.2 if is_after and family == "forget" else 0.6,
                },
            )
        )
    return found


def log_training(run: RunFolder, num_stages: int) -> None:
    """300 steps of each stage, noisy and falling as real ones do."""
    log, noise = MetricLog(run.metrics_path), random.Random(0)
    rows = []
    for stage in range(1, num_stages):
        for step in range((stage - 1) * 300 + 1, stage * 300 + 1):
            part = (step - 1) % 300 / 300
            if stage % 2:
                cosine = 0.54 - 0.2 * math.exp(-4 * part)
                rows.append((step, stage, "align/loss", 0.9 * math.exp(-2 * part) + noise.random() * 0.1))
                if step % 30 == 0:
                    rows.append((step, stage, "align/held_out_cosine", cosine))
                    rows.append((step, stage, "align/constant_cosine", 0.39))
                    rows.append((step, stage, "align/retrieval_top1", cosine - 0.1))
            else:
                forget, retain = 0.5 * math.exp(-3 * part), 0.02 + 0.03 * math.sin(3 * part)
                rows.append((step, stage, "train/loss", forget + retain + noise.random() * 0.05))
                rows.append((step, stage, "train/distill", forget + noise.random() * 0.04))
                rows.append((step, stage, "train/retain", retain + noise.random() * 0.01))
                rows.append((step, stage, "train/grad_norm", 1.2 + noise.random()))
                rows.append((step, stage, "train/lr", 2e-5 * min(1.0, part * 10)))
    for row in rows:
        log.log(*row)


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., RunFolder]:
    """Builds a run folder: `num_answers` probes, and only the first `num_stages` stages."""

    def make(
        *,
        name: str = "shakespeare",
        num_answers: int = 69,
        num_stages: int = 5,
        state: str = "done",
        message: str = "",
    ) -> RunFolder:
        run = open_run(tmp_path / "runs" / name, CONFIG, "5f2c9e1ab03d")
        run.write_manifest(
            manifest(
                target="William Shakespeare",
                model="SmolLM2-135M-Instruct",
                method="Masked self-distillation, KL retain",
                seed=0,
                device="cpu",
                precision="fp32",
                threads=2,
                config_hash="5f2c9e1ab03d",
                checksums={"model.safetensors": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c"},
            )
        )
        for index, (label, kind, *values) in enumerate(STAGES[:num_stages]):
            change = {0: 0.0, 2: 0.45, 4: 1.0}.get(index, 0.0)
            run.write_stage(
                StageResult(
                    index=index,
                    kind=kind,
                    label=label,
                    scores=scores(*values, change) if values[0] is not None else {},
                    seconds=[31.0, 84.2, 62.5, 40.1, 61.9][index],
                    signals={"held_out_cosine": 0.54, "constant_cosine": 0.39} if kind == "align" else {},
                ),
                answers(num_answers, is_after=index > 0) if kind != "align" else [],
            )
        log_training(run, num_stages)
        run.set_status(state, STAGES[num_stages - 1][0] if num_stages else "", message)
        return run

    return make


@pytest.fixture
def hostile() -> Callable[[RunFolder], None]:
    """Replaces the answers of the last stage by text that tries to leave its place in the page."""

    def replace_answers(run: RunFolder) -> None:
        texts = [
            "<script>alert(1)</script>",
            "</script><script>document.body.dataset.owned=1</script>",
            "<!--<script>\u2028\u2029&lt;/script&gt;<img src=x onerror=alert(1)>",
        ]
        stage = run.read_stages()[-1]
        run.write_stage(
            stage,
            [dataclasses.replace(a, text=t) for a, t in zip(answers(3, is_after=True), texts, strict=True)],
        )
        run.set_status("done", stage.label, "")

    return replace_answers


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    """Builds the record of a run from its scores: `path` holds forget and neighbor of each stage, None for NaN."""

    def make(
        name: str = "run",
        path: Sequence[tuple[float | None, float | None]] = ((80, 90), (50, 80), (20, 60)),
        **values: Any,
    ) -> RunRecord:
        stages = tuple(
            StageResult(
                index=index,
                kind="unlearn" if index else "before",
                label=f"{index:02}-unlearn" if index else "00-before",
                scores={
                    family: score(number, 50)
                    if number is not None
                    else Score(value=math.nan, n=0, low=math.nan, high=math.nan)
                    for family, number in zip(("forget/all", "neighbor/all"), pair, strict=True)
                },
                seconds=1.0,
            )
            for index, pair in enumerate(path)
        )
        known: dict[str, Any] = {
            "source": f"entity/project/{name}",
            "method": "unlearning_atu",
            "target": "William_Shakespeare",
            "model": "SmolLM2-135M-Instruct",
            "seed": 0,
            "state": "done",
            "config": CONFIG,
            "stages": {"corrected": stages} if stages else {},
        }
        return RunRecord(name=name, **{**known, **values})

    return make


@pytest.fixture
def open_page(tmp_path: Path) -> Callable[..., Page]:
    """Opens a page in a browser; fails on any message of its console."""

    def open_it(page: Path, fragment: str = "") -> Page:
        done = browse(page, tmp_path / "profile", "--dump-dom", fragment=fragment)
        assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
        return Page(done.stdout)

    return open_it
