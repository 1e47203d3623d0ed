"""`atu chat`: from a run's folder to its two models. Torch comes with them alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console

from atu.entry.early_checks import check_device, check_model
from atu.models.config import ModelConfig
from atu.models.resolve import chat_settings, resolve_model
from atu.runs.run_folder import RunFolder
from atu.typed import from_mapping


@dataclass(frozen=True, kw_only=True)
class ChatRequest:
    """What the user gave."""

    run: Path
    max_new_tokens: int
    device: Literal["auto", "cpu", "cuda"]


def chat_with_run(request: ChatRequest, console: Console) -> None:
    """Ask the models before and after a run what the user types, or what standard input has, a prompt a line.

    Raises:
        UserError: it is no run, or has no model yet.
    """
    models = models_of_run(request.run)
    check_sides(models, request.device)
    from atu.chat import load_sides, talk  # brings torch

    talk(load_sides(models, device=request.device), _prompts(console), console, max_new_tokens=request.max_new_tokens)


def models_of_run(run: Path) -> list[tuple[str, ModelConfig]]:
    """The models before and after a run, each with its title.

    Raises:
        UserError: it is no run, or has no model yet.
    """
    folder = RunFolder(root=run)
    after = resolve_model(str(folder.finished_model()))
    before = from_mapping(ModelConfig, folder.read_config().get("pre_trained_llm", {}), "pre_trained_llm")
    # Both are asked in the same words.
    return [("before", before), ("after", replace(after, **chat_settings(before)))]


def check_sides(models: Sequence[tuple[str, ModelConfig]], device: Literal["auto", "cpu", "cuda"]) -> None:
    """Raise UserError where a device or model is missing, before torch is imported."""
    check_device(device)
    for _, model in models:
        check_model(model)


def _prompts(console: Console) -> Iterator[str]:
    """What is typed until Ctrl-D or an empty line, or each line of a file or pipe."""
    if not sys.stdin.isatty():
        for line in sys.stdin:
            if line.strip():
                console.print(f"> {line.strip()}", markup=False, highlight=False)
                yield line.strip()
        return
    console.print("Ask both models something; an empty line ends.", style="dim")
    while True:
        try:
            line = console.input("> ").strip()
        except EOFError:
            return
        if not line:
            return
        yield line
