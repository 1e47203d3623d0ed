"""Direction ablation: is what unlearning did to the hidden states one direction, which can be taken away again?

Source: Arditi et al. 2024 (arXiv 2406.11717), directional ablation; Łucki et al. 2024 (arXiv 2409.18025), on
unlearned models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from atu.attacks.states import last_states, prompt_ids, spread_layers
from atu.attacks.subject import Reporter, Subject, Unit, labelled
from atu.models.hook import edited_layer
from atu.records import AttackRow


def units(subject: Subject, seeds: Sequence[int]) -> list[Unit]:
    """For each seed and number of directions one unit over all layers.

    Raises:
        UserError: the target has too few questions to split.
    """
    subject.check_halves(seeds)
    return [_unit(subject, rank, seed) for seed in seeds for rank in subject.budget.num_directions]


def difference_directions(
    original: Float[Tensor, "rows d_llm"], unlearned: Float[Tensor, "rows d_llm"], count: int
) -> Float[Tensor, "count d_llm"]:
    """Orthonormal directions of the change: the mean difference, then the strongest of what is left of each row's.

    Fewer than `count` where the rows span fewer.
    """
    differences = unlearned - original
    mean = normalize(differences.mean(dim=0), dim=0)
    rest = differences - (differences @ mean)[:, None] * mean
    _, strengths, others = torch.linalg.svd(rest, full_matrices=False)
    is_real = strengths > 1e-6 * differences.norm()
    return torch.cat([mean[None], others[is_real]])[:count]


def without_directions(
    directions: Float[Tensor, "k d_llm"], means: Float[Tensor, " k"]
) -> Callable[[Float[Tensor, "batch pos d_llm"]], Float[Tensor, "batch pos d_llm"]]:
    """An edit that sets each direction's component to `means`, what it is in the original model on average.

    To zero would take away what the original has along it, too.
    """

    def edit(hidden: Float[Tensor, "batch pos d_llm"]) -> Float[Tensor, "batch pos d_llm"]:
        axes = directions.to(hidden)
        return hidden - (hidden @ axes.T - means.to(hidden)) @ axes

    return edit


def _unit(subject: Subject, rank: int, seed: int) -> Unit:
    setting = labelled(f"{rank} direction{'s' if rank > 1 else ''}", "unlearned", seed)

    def run() -> list[AttackRow]:
        report = Reporter(subject, "ablate", setting, "unlearned", seed)
        halves, llm = subject.halves(seed), subject.unlearned
        layers = spread_layers(llm, subject.budget.num_layers)
        prompts = [prompt_ids(llm, probe) for probe in halves.seen]
        size = subject.evaluation.batch_size
        original = last_states(subject.original, prompts, layers, batch_size=size)
        unlearned = last_states(llm, prompts, layers, batch_size=size)
        edits = []
        for before, after in zip(original, unlearned, strict=True):
            directions = difference_directions(before, after, rank)
            edits.append(without_directions(directions, (before @ directions.T).mean(dim=0)))
        rows = []
        for layer, edit in zip(layers, edits, strict=True):
            with edited_layer(llm.model, layer, edit):
                rows += report.answered(subject.ask(llm, halves.tested), layer)
        everywhere = Reporter(subject, "ablate", f"{setting}, all layers at once", "unlearned", seed)
        with ExitStack() as stack:
            for layer, edit in zip(layers, edits, strict=True):
                stack.enter_context(edited_layer(llm.model, layer, edit))
            rows += everywhere.answered(subject.ask(llm, halves.tested), None)
        return rows

    return Unit("ablate", setting, seed, run)
