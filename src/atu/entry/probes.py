"""`atu probes`: questions about a concept, proposed by the model that is to forget it, for the user to review."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atu.benchmarks.catalog import build_benchmark
from atu.benchmarks.config import DataConfig
from atu.benchmarks.prior import uncertainty
from atu.benchmarks.several import find_target
from atu.entry.early_checks import check_device, check_model
from atu.errors import UserError
from atu.models.resolve import resolve_model
from atu.typed import from_mapping


@dataclass(frozen=True, kw_only=True)
class ProbesRequest:
    """What the user gave."""

    target: str
    out: Path
    model: str
    description: str | None
    neighbors: str | None
    seed: int
    device: Literal["auto", "cpu", "cuda"]


def propose_to_user(request: ProbesRequest) -> list[str]:
    """Write the proposed probes to `out`, and say in lines what they are and what comes next.

    Raises:
        UserError: the file is there already, or the model knows nothing of the concept.
    """
    if request.out.exists():
        raise UserError(f"{request.out} is there already: it may hold your changes. Give another --out.")
    neighbors = [name.strip() for name in (request.neighbors or "").split(",") if name.strip()]
    data = from_mapping(
        DataConfig, {"benchmark": "own", "description": request.description, "neighbors": neighbors}, "data"
    )
    benchmark = build_benchmark(data)
    target = find_target(benchmark, request.target.replace(" ", "_"))
    model = resolve_model(request.model)
    check_device(request.device)
    check_model(model)
    # These bring torch.
    from rich.console import Console

    from atu.models.load import load_language_model
    from atu.runs.progress import RunProgress
    from atu.training.device import choose_compute

    with RunProgress(Console(stderr=True)) as progress:
        llm = load_language_model(model, device=str(choose_compute(request.device, "fp32").device))
        with progress.steps() as report:
            count = benchmark.propose_probes(request.out, llm, target, seed=request.seed, progress=report)
    rows = [json.loads(line) for line in request.out.read_text(encoding="utf-8").splitlines()]
    about = [row for row in rows if row["group"].startswith("forget/")]
    told = "the share that is left of them will be known to within"
    return [
        *(f"{row['prompt']}  ->  {' or '.join(row['references'])}" for row in about),
        f"{count}; {told} {uncertainty(len(about)):.0f} points (with 100 questions: {uncertainty(100):.0f})",
        f"Look through {request.out}: strike out nonsense, mend answers, add questions of your own. Then:",
        f"python launch_training.py data=own unlearning_target={target.folder} data.probes_path={request.out}",
    ]
