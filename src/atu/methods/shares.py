"""How several processes share the batch of one step, so that together they take the step of one.

A loss is a mean over tokens or texts of the whole batch. Each process takes the mean over its own ones and weighs it
by how many they are; the mean over the processes is then the loss of the batch, and so are its gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from atu.methods.materials import RowSet
from atu.methods.objective import ObjectiveConfig

Measure = Callable[[RowSet, int], int]
"""How much of a mean a text, named by its index, is."""


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
            amounts: tokens or texts in each row of the whole batch, in its order.
        """
        return self.processes * sum(self.of(amounts)) / max(1, sum(amounts))


ALONE = Share()
"""All of each batch."""


def num_tokens(rows: RowSet, index: int) -> int:
    """All tokens, those that fill the text up too."""
    return len(rows.rows[index].ids)


def num_windows(rows: RowSet, index: int) -> int:
    """Positions that have a window."""
    assert rows.windows is not None
    return rows.windows.count(index)


def num_scored(rows: RowSet, index: int) -> int:
    """Tokens that are predicted."""
    row = rows.rows[index]
    return len(row.ids) - row.first_scored


def num_steered(rows: RowSet, index: int) -> int:
    """Tokens that are predicted from another than the first one (`Unlearning`'s representation term)."""
    row = rows.rows[index]
    return len(row.ids) - max(2, row.first_scored)


def one_text(rows: RowSet, index: int) -> int:
    """Each text counts alike."""
    return 1


def forget_measures(objective: ObjectiveConfig) -> dict[str, Measure]:
    """For each forget term what its mean runs over."""
    over_texts = objective.token in ("npo", "simnpo", "dpo")
    return {
        "train/embedding": num_windows if objective.embedding_positions == "windows" else num_tokens,
        "train/representation": num_steered,
        "train/token": one_text if over_texts else num_scored,
        "train/npo": one_text,
    }
