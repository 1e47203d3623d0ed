"""The forget subspace: in each linear layer the input directions that the concept's texts use and retain texts do not.

A layer y = W x is trained as W + B A, where A holds a few such directions and stays, and B begins at 0. Whatever is
learnt acts where an input lies in these directions, and retain texts hardly do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from scipy.linalg import eigh
from torch import Tensor
from transformers import PreTrainedModel

from atu.errors import UserError
from atu.methods.config import MAX_DIRECTIONS, SubspaceConfig
from atu.methods.materials import Materials
from atu.methods.moments import Moments, second_moments
from atu.models.adapters import layer_sizes, linear_layers
from atu.models.language_model import LanguageModel
from atu.models.packing import num_shared
from atu.storage.cache import find_file, new_file
from atu.storage.digests import check_folder, write_digests
from atu.storage.files import PARTIAL_SUFFIX, content_key, disk_errors, publish_folder

_MOST_BYTES = 4 * 2**30
"""Of second moments that are held at a time. Blocks for which there is no room wait for another reading of the rows."""
_SUFFIX = ".safetensors"
_MOST_RATE = 4.0
"""Times the learning rate that a direction has at most."""

Advance = Callable[[int, int], None]
"""Called with (done, all)."""


@dataclass(frozen=True)
class Directions:
    """Of one layer, the strongest first; float32 on the CPU."""

    rows: Float[Tensor, "k d_in"]
    """Each of mean square 1 over the inputs of forget texts: E[(a . x)^2] = 1."""
    ratios: Float[Tensor, " k"]
    """How many times more the forget texts use each than the retain texts do."""
    scale: float
    """Root mean square of the layer's outputs on forget texts."""


def forget_directions(
    forget: Float[Tensor, "d d"], retain: Float[Tensor, "d d"], *, ridge: float, count: int
) -> tuple[Float[Tensor, "k d"], Float[Tensor, " k"]]:
    """The directions a with the largest ratios a C_f a / a (C_r + ridge m I) a, m the mean of C_r's diagonal.

    They are the top generalised eigenvectors of the two matrices of second moments, and the ratios their eigenvalues.
    Each is scaled to a C_f a = 1. As in linear discriminant analysis (Fisher 1936), of moments about 0.

    Args:
        forget: C_f = E[x x^T] over forget tokens. The lower triangle alone is read.
        retain: C_r, the same over retain tokens.

    Returns:
        `count` directions or fewer, the largest ratio first; none of those along which C_f is zero but for rounding.

    Raises:
        UserError: `ridge` is lost in the rounding of C_r.
    """
    c_f, c_r = (moment.double().cpu().numpy() for moment in (forget, retain))
    # A layer to which retain texts give nothing but zeros has infinite ratios.
    mean = max(float(c_r.diagonal().mean()), torch.finfo(torch.float32).tiny)
    width = len(c_r)
    top = (max(0, width - count), width - 1)
    try:
        found = eigh(c_f, c_r + ridge * mean * np.eye(width), subset_by_index=top)
    except np.linalg.LinAlgError:
        raise UserError(
            f"task.training_module.subspace.ridge={ridge:g} is lost in rounding: the retain texts' second moments "
            "cannot be inverted. Set a larger one, such as 0.01."
        ) from None
    ratios, vectors = (torch.from_numpy(values).flip(-1) for values in found)
    is_used = ratios > ratios[0].clamp(min=0) * width * torch.finfo(torch.float32).eps
    ratios, rows = ratios[is_used], vectors.mT[is_used]
    # They come with a (C_r + ridge m I) a = 1.
    rows = rows / ratios.sqrt().unsqueeze(1)
    # An eigenvector's sign is anybody's; fixed, so that a file is the same wherever it is made.
    signs = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)).sign()
    return (rows * signs).float(), ratios.float()


def rates(ratios: Float[Tensor, " k"], full_ratio: float | None) -> Float[Tensor, " k"]:
    """Share of the learning rate that directions of these ratios have: (ratio / full_ratio)^2, at most `_MOST_RATE`.

    A change b along a direction moves the outputs on forget texts by b and those on retain texts by b / sqrt(ratio),
    both root mean squares. So for a given sum of changes the retain outputs move least where b grows with the ratio.
    That it grows with its square, and up to which, was found by trials (docs/lab/subspace.md).
    """
    return torch.ones_like(ratios) if full_ratio is None else (ratios / full_ratio).square().clamp(max=_MOST_RATE)


def chosen_directions(
    found: Mapping[str, Directions], *, min_ratio: float, max_rank: int, full_ratio: float | None = None
) -> dict[str, Float[Tensor, "rank d_in"]]:
    """A of each layer that has a direction of at least `min_ratio`: rows s q a, s the size of the layer's outputs and
    q the direction's share of the rate (`rates`).

    So q B says by what share of its usual output a layer changes where an input lies in a direction as far as those
    of forget texts do on average, and one learning rate suits all layers: an adaptive optimiser's step in B is as
    large whatever the gradient.

    Raises:
        UserError: no layer has such a direction.
    """
    ranks = {name: min(max_rank, int((layer.ratios >= min_ratio).sum())) for name, layer in found.items()}
    if full_ratio is not None:
        full_ratio = min(full_ratio, _highest(found))

    def scaled(layer: Directions, rank: int) -> Float[Tensor, "rank d_in"]:
        return layer.scale * rates(layer.ratios[:rank], full_ratio).unsqueeze(1) * layer.rows[:rank]

    chosen = {name: scaled(found[name], rank) for name, rank in ranks.items() if rank}
    if not chosen:
        raise UserError(
            f"task.training_module.subspace.min_ratio={min_ratio:g}: no layer has an input direction that the texts "
            "about the concept use so many times more than the others; the highest ratio is "
            f"{_highest(found):.1f}. Lower it, or give more texts about the concept and more about other things."
        )
    return chosen


def _highest(found: Mapping[str, Directions]) -> float:
    return max((float(layer.ratios[0]) for layer in found.values() if len(layer.ratios)), default=0.0)


def describe_choice(found: Mapping[str, Directions], chosen: Mapping[str, Tensor]) -> str:
    """What was chosen, for the log."""
    ratios = torch.cat([found[name].ratios[: len(rows)] for name, rows in chosen.items()])
    return (
        f"forget subspace: {len(ratios)} directions in {len(chosen)} of {len(found)} layers, of ratios "
        f"{float(ratios.min()):.1f} to {float(ratios.max()):.1f}"
    )


def find_directions(
    llm: LanguageModel, materials: Materials, config: SubspaceConfig, *, progress: Callable[[str], Advance | None]
) -> dict[str, Directions]:
    """The directions of each linear layer of the blocks that move, from a reading of the forget and retain rows.

    Where the moments of all blocks would take too much memory, the rows are read once for each group of blocks. Found
    again in the cache for the same weights, rows and settings. Under autocast the inputs are those of autocast.
    A layer that does not read tokens one by one, such as an expert that is given some of them, is left out.

    Args:
        llm: the reference, without adapters.

    Raises:
        UserError: `config.targets` names a layer that is not there, or no layer can be read.
    """
    names = _names(llm.model, materials.trained_layers, config.targets)
    device = llm.device.type
    parts = {
        "model": dict(llm.provenance),
        "dtype": str(llm.model.dtype),
        "autocast": str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None,
        "packed": materials.can_pack,
        "forget": [list(row.ids) for row in materials.forget.rows],
        "retain": [list(row.ids) for row in materials.retain.rows],
        "layers": names,
        "ridge": config.ridge,
    }
    key = content_key(parts)
    path = find_file("subspaces", key, _SUFFIX) if llm.provenance.get("sha256") else None
    if path is not None:
        kept = _from_tensors(load_file(path))
        return {name: kept[name] for name in names if name in kept}  # a file has them by the alphabet
    found = _compute(llm, materials, names, config.ridge, progress)
    if llm.provenance.get("sha256"):
        with new_file("subspaces", key, _SUFFIX) as new:
            save_file(_to_tensors(found), new.partial)
    return found


def kept_directions(
    folder: Path, make: Callable[[], dict[str, Float[Tensor, "rank d_in"]]], *, resumes: bool
) -> dict[str, Float[Tensor, "rank d_in"]]:
    """What `make` gives, written to `folder`; a run that resumes gets what it began with, on whatever machine.

    Raises:
        UserError: the disk refuses, or what the run began with is missing or damaged.
    """
    path = folder / f"directions{_SUFFIX}"
    if resumes:
        what_to_do = f"The run cannot resume without it: delete {folder.parent} to start anew."
        if not path.is_file():
            raise UserError(f"{path} is missing. {what_to_do}")
        check_folder(folder, what_to_do)
        return load_file(path)
    directions = make()
    partial = folder.with_name(folder.name + PARTIAL_SUFFIX)
    with disk_errors(folder):
        for old in (partial, folder):
            shutil.rmtree(old, ignore_errors=True)
        partial.mkdir(parents=True)
        save_file({name: rows.contiguous() for name, rows in directions.items()}, partial / path.name)
        write_digests(partial)
        publish_folder(partial, folder)
    return directions


def _names(model: PreTrainedModel, blocks: range, targets: Sequence[str] | None) -> list[str]:
    """Full names of the layers that are looked at."""
    found = linear_layers(model, blocks)
    targets = tuple(found) if targets is None else targets
    if missing := [target for target in targets if target not in found]:
        raise UserError(
            f"task.training_module.subspace.targets: the blocks have no linear layer '{missing[0]}'; they have "
            f"{', '.join(sorted(found))}."
        )
    return [name for target in targets for name in found[target]]


def _compute(
    llm: LanguageModel,
    materials: Materials,
    names: Sequence[str],
    ridge: float,
    progress: Callable[[str], Advance | None],
) -> dict[str, Directions]:
    groups = _groups(llm.model, materials.trained_layers, names)
    every_row = [*materials.forget.rows, *materials.retain.rows]
    beginning = num_shared([row.ids for row in every_row], min(row.first_scored for row in every_row))
    bar, done = progress("second moments"), 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if bar is not None:
            bar(done, len(groups) * len(every_row))

    def of_group(last: int, group: Sequence[str]) -> dict[str, Directions]:
        forget, retain = (
            second_moments(llm, rows, group, beginning=beginning, packed=materials.can_pack, last=last, advance=advance)
            for rows in (materials.forget, materials.retain)
        )
        return _directions(forget, retain, ridge)

    found = {name: layer for last, group in groups for name, layer in of_group(last, group).items()}
    if not found:
        raise UserError(
            f"task.training_module.moves=subspace: no linear layer of '{llm.label}' reads a text token by token. Set "
            "it to weights."
        )
    return {name: found[name] for name in names if name in found}


def _groups(model: PreTrainedModel, blocks: range, names: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Layers whose moments there is room for at a time: the number of blocks to run for them, and their names."""
    groups: list[tuple[int, list[str]]] = []
    held = 0
    for index in blocks:
        layers = [name for layer in linear_layers(model, [index]).values() for name in layer if name in set(names)]
        # Of both kinds of rows, as if no two layers had the same input.
        needed = sum(2 * 4 * layer_sizes(model.get_submodule(name))[0] ** 2 for name in layers)
        if not groups or held + needed > _MOST_BYTES:
            groups.append((index + 1, []))
            held = 0
        groups[-1] = (index + 1, groups[-1][1] + layers)
        held += needed
    return groups


def _directions(forget: Moments, retain: Moments, ridge: float) -> dict[str, Directions]:
    """Of each layer of which both are known."""
    found = {
        reader: forget_directions(moment, retain.inputs[reader], ridge=ridge, count=MAX_DIRECTIONS)
        for reader, moment in forget.inputs.items()
        if reader in retain.inputs
    }
    return {
        name: Directions(*found[reader], forget.outputs[name] ** 0.5)
        for name, reader in forget.readers.items()
        if reader in found
    }


def _to_tensors(found: Mapping[str, Directions]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, layer in found.items():
        # Copies: layers with the same input share their directions, and a file may not.
        tensors |= {f"{name}:rows": layer.rows.clone(), f"{name}:ratios": layer.ratios.clone()}
        tensors[f"{name}:scale"] = torch.tensor([layer.scale])
    return tensors


def _from_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Directions]:
    names = [key.removesuffix(":rows") for key in tensors if key.endswith(":rows")]
    return {
        name: Directions(tensors[f"{name}:rows"], tensors[f"{name}:ratios"], float(tensors[f"{name}:scale"]))
        for name in names
    }
