"""How several processes share the batch of one step, so that together they take the step of one.

A loss is a mean over tokens or texts of the whole batch. Each process takes the mean over its own ones and weighs it
by how many they are; the mean over the processes is then the loss of the batch, and so are its gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Share:
    """What one process takes of each batch."""

    rank: int = 0
    processes: int = 1

    def of(self, indices: Sequence[int]) -> list[int]:
        """This process's rows of a batch: a run of them, so that ranks in order give the batch's order."""
        return self.parts(indices)[self.rank]

    def parts(self, indices: Sequence[int]) -> list[list[int]]:
        """The rows of each process."""
        ends = [len(indices) * i // self.processes for i in range(self.processes + 1)]
        return [list(indices[start:end]) for start, end in pairwise(ends)]

    def weight(self, amounts: Sequence[int]) -> float:
        """What a mean over this process's part counts, 1 in the mean over processes.

        Args:
            amounts: what each row of the whole batch counts in the mean (`Term.amount`), in its order.
        """
        return self.processes * sum(self.of(amounts)) / max(1, sum(amounts))


ALONE = Share()
"""All of each batch."""
