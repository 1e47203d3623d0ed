"""What a benchmark is: targets, and the probes that are asked about them."""

from __future__ import annotations

from typing import Protocol

from atu.records import Probe, Target


class Benchmark(Protocol):
    """A judge: says what can be forgotten, and what to ask before and after.

    `target` and `probes` raise UserError for a folder that the benchmark does not have.
    """

    @property
    def name(self) -> str:
        """Where its probe ids begin."""
        ...

    def targets(self) -> list[str]:
        """Folder names of all targets."""
        ...

    def target(self, folder: str) -> Target:
        """What to forget."""
        ...

    def probes(self, folder: str) -> list[Probe]:
        """What to ask: about the target, its neighbors and anything else."""
        ...

    def checksum(self, folder: str) -> str:
        """sha256 (hex) of the data behind the probes of a target, for a run's manifest."""
        ...
