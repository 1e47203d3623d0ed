"""RWKU as a benchmark: targets, what to forget, and what to ask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from atu.benchmarks.rwku.corpora import expand_batch
from atu.benchmarks.rwku.files import INTRO
from atu.benchmarks.rwku.prompts import build_probes
from atu.benchmarks.rwku.reader import RwkuData, target_name
from atu.records import Probe, Target


class RwkuBenchmark:
    """The targets of one data folder, or batches of them: `1-10` forgets the first ten at once."""

    def __init__(self, data_dir: Path | str | None = None, tasks: Sequence[str] = ("forget", "neighbor")) -> None:
        """`data_dir` as for RwkuData; `tasks`: which of `prompts.TASKS` the probes come from."""
        self.data = RwkuData(data_dir)
        self._tasks = tuple(tasks)

    @property
    def name(self) -> str:
        """Where its probe ids begin."""
        return "rwku"

    def checksum(self, folder: str) -> str:
        """sha256 over names and bytes of the target's files, or of those of all targets of a batch."""
        digest = hashlib.sha256()
        for member in expand_batch(self.data, folder):
            for path in sorted(self.data.path(member).glob("*.json")):
                digest.update(f"{member}/{path.name}\n".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def targets(self) -> list[str]:
        """Folder names of the targets at hand, by number."""
        return self.data.targets()

    def target(self, folder: str) -> Target:
        """Name and description from `intro.json`; neighbors are the other targets at hand.

        The neighbors that the benchmark asks about stay unknown: they are for judging.
        Raises UserError for an unknown target.
        """
        members = expand_batch(self.data, folder)
        names = [target_name(member) for member in members]
        return Target(
            name=", ".join(names),
            folder=folder,
            description=" ".join(self._describe(member) for member in members),
            neighbors=tuple(target_name(other) for other in self.targets() if other not in members),
            aliases=tuple(names) if len(names) > 1 else (),
        )

    def probes(self, folder: str) -> list[Probe]:
        """All probes of the benchmark's tasks about a target, or about each target of a batch."""
        return [
            probe
            for member in expand_batch(self.data, folder)
            for probe in build_probes(self.data, member, self._tasks)
        ]

    def _describe(self, folder: str) -> str:
        row = self.data.read(folder, INTRO)[0]
        return row.intro.removeprefix(f"Please forget {row.target}").lstrip(". ")
