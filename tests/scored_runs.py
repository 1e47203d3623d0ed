"""Runs with scores chosen by hand, as records and as the folders that a real run writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atu.records import Judgement, RunRecord, Score, StageResult
from atu.runs.opening import open_run
from atu.runs.run_folder import RunFolder, RunState

Curve = Sequence[Mapping[str, float]]
"""Scores before, and after each unlearn stage."""


def points(*values: tuple[float, float], utility: float = 80.0) -> Curve:
    """A curve by its `(forget, neighbor)` pairs."""
    return [{"forget/all": f, "neighbor/all": n, "utility/gen": utility} for f, n in values]


def stages(curve: Curve) -> tuple[StageResult, ...]:
    """Stage 0 is before; each score has an interval of 5 to both sides and 20 questions."""
    return tuple(
        StageResult(
            index=index,
            kind="unlearn" if index else "before",
            label=f"{index:02d}-unlearn" if index else "00-before",
            scores={name: Score(value=v, n=20, low=v - 5, high=v + 5) for name, v in scores.items()},
            seconds=1.0,
        )
        for index, scores in enumerate(curve)
    )


def config(
    method: str = "unlearning_atu",
    target: str = "Japan",
    seed: int = 0,
    *,
    layer: float = 0.8,
    benchmark: str = "rwku",
    **task: Any,
) -> dict[str, Any]:
    """The keys of a run's config that results read."""
    return {
        "seed": seed,
        "unlearning_target": target,
        "data": {"benchmark": benchmark},
        "task": {
            "name": method,
            "stages": [{"type": "training"}] * ("atu" in method) + [{"type": "unlearning"}],
            "training_module": {"pretrained_model_hook_layer": layer},
            **task,
        },
        "pre_trained_llm": {"name": "tiny"},
    }


def record(
    curve: Curve,
    method: str = "unlearning_atu",
    target: str = "Japan",
    seed: int = 0,
    *,
    name: str | None = None,
    state: str = "done",
    model: str = "tiny",
    **more: Any,
) -> RunRecord:
    """A run as a report sees it."""
    return RunRecord(
        name=name or f"{method}-{target}-seed{seed}",
        source=f"runs/{name or f'{method}-{target}-seed{seed}'}",
        method=method,
        target=target,
        model=model,
        seed=seed,
        state=state,
        config=config(method, target, seed, **more),
        stages={"corrected": stages(curve)},
    )


def save_run(
    root: Path,
    curve: Curve,
    method: str = "unlearning_atu",
    target: str = "Japan",
    seed: int = 0,
    *,
    state: RunState = "done",
    released: Curve | None = None,
    **more: Any,
) -> Path:
    """The folder of such a run, written as a run writes it."""
    layer = f"-layer{more['layer']}" if "layer" in more else ""
    folder = root / f"{method}-{target}-seed{seed}{layer}"
    run = open_run(folder, config(method, target, seed, **more), "0")
    run.write_manifest({"model": "tiny"})
    of_released = stages(released) if released is not None else ()
    for index, stage in enumerate(stages(curve)):
        others: dict[Any, Judgement] = {}
        if released is not None:
            others["released"] = Judgement(scores=of_released[index].scores, answers=[])
        run.write_stage(stage, [], others)
    run.set_status(state, "", "")
    release(run)
    return folder


def save_comparison(root: Path) -> Path:
    """Three methods on two targets, two seeds each; ours has two hook layers on one target more."""
    for target, shift in (("Japan", 0.0), ("William_Shakespeare", 6.0)):
        for seed in (0, 1):
            d = shift + seed
            save_run(root, points((70 + shift, 74), (40 + d, 66), (20 + d, 62)), target=target, seed=seed)
            save_run(root, points((70 + shift, 74), (50 + d, 60), (30 + d, 50)), "unlearning_npo", target, seed)
            save_run(root, points((70 + shift, 74), (30 + d, 40), (10 + d, 20)), "unlearning_ga", target, seed)
    return root


def release(run: RunFolder) -> None:
    """Let go of a run as the end of its process does."""
    assert run.lock is not None
    run.lock.release()
