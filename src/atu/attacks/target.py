"""The target that a model says it forgot. No torch here."""

from __future__ import annotations

import re
from pathlib import Path

from atu.benchmarks.base import Benchmark
from atu.benchmarks.several import join_names
from atu.errors import UserError
from atu.storage.user_files import read_bytes
from atu.text.escaping import markdown

_SAID = re.compile(r"was made to forget \*\*(.+?)\*\*")


def target_of_card(model: str, benchmark: Benchmark) -> str:
    """Folder name of the target in the model card of a model folder made by `atu train`.

    Raises:
        UserError: there is no such card, or the benchmark has no such target.
    """
    card = Path(model).expanduser() / "README.md"
    said = _SAID.search(read_bytes(card).decode("utf-8", "replace")) if card.is_file() else None
    if said is None:
        raise UserError(f"{model} has no model card that says what was forgotten: name it by --target.")
    named = {folder: markdown(benchmark.target(folder).name) for folder in benchmark.targets()}
    # The names of several that were forgotten together stand behind each other.
    found = sorted((folder for folder in named if named[folder] in said[1]), key=lambda one: said[1].index(named[one]))
    for folders in (found, *([one] for one in found)):
        if ", ".join(named[one] for one in folders) == said[1]:
            return join_names(folders)
    raise UserError(f"{model} forgot '{said[1]}', which is no target of {benchmark.name}: name one by --target.")
