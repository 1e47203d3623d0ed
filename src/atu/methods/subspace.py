"""The forget subspace: in each linear layer the input directions that the concept's texts use and retain texts do not.

A layer y = W x is trained as W + B A, where A holds a few such directions and stays, and B begins at 0. Whatever is
learnt acts where an input lies in these directions, and retain texts hardly do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from atu.errors import UserError
from atu.methods.config import MAX_DIRECTIONS, SubspaceConfig
from atu.methods.materials import Materials, RowSet
from atu.models.adapters import linear_layers
from atu.models.language_model import LanguageModel
from atu.models.packing import num_shared, read_batch
from atu.models.rows import collate
from atu.storage.cache import find_file, new_file
from atu.storage.digests import check_folder, write_digests
from atu.storage.files import PARTIAL_SUFFIX, content_key, disk_errors, publish_folder

_BATCH_SIZE = 16
_SUFFIX = ".safetensors"

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

    They are the top generalised eigenvectors of the two matrices of second moments, and the ratios their eigenvalues:
    with L L^T = C_r + ridge m I, a = L^-T u for the eigenvectors u of L^-1 C_f L^-T. Each is scaled to a C_f a = 1.
    As in linear discriminant analysis (Fisher 1936), of moments about 0.

    Args:
        forget: C_f = E[x x^T] over forget tokens.
        retain: C_r, the same over retain tokens.

    Returns:
        `count` directions or fewer, those of a ratio above 0, the largest first; and the ratios.
    """
    c_f, c_r = forget.double(), retain.double()
    eye = torch.eye(len(c_r), dtype=c_r.dtype, device=c_r.device)
    lower = torch.linalg.cholesky(c_r + ridge * c_r.diagonal().mean() * eye)
    half = torch.linalg.solve_triangular(lower, c_f, upper=False)
    whitened = torch.linalg.solve_triangular(lower, half.mT, upper=False)
    ratios, vectors = torch.linalg.eigh((whitened + whitened.mT) / 2)
    ratios, vectors = ratios.flip(0)[:count], vectors.flip(1)[:, :count]
    is_used = ratios > 0
    ratios, vectors = ratios[is_used], vectors[:, is_used]
    rows = torch.linalg.solve_triangular(lower.mT, vectors, upper=True).mT
    rows = rows / (rows @ c_f * rows).sum(dim=1, keepdim=True).sqrt()
    # An eigenvector's sign is anybody's; fixed, so that a file is the same wherever it is made.
    signs = rows.gather(1, rows.abs().argmax(dim=1, keepdim=True)).sign()
    return (rows * signs).float(), ratios.float()


def chosen_directions(
    found: Mapping[str, Directions], *, min_ratio: float, max_rank: int
) -> dict[str, Float[Tensor, "rank d_in"]]:
    """A of each layer that has a direction of at least `min_ratio`: rows s a, s the size of the layer's outputs.

    So B says by what share of its usual output a layer changes where an input lies in a direction as far as those of
    forget texts do on average, and one learning rate suits all layers.

    Raises:
        UserError: no layer has such a direction.
    """
    ranks = {name: min(max_rank, int((layer.ratios >= min_ratio).sum())) for name, layer in found.items()}
    chosen = {name: found[name].scale * found[name].rows[:rank] for name, rank in ranks.items() if rank}
    if not chosen:
        highest = max(float(layer.ratios[0]) for layer in found.values() if len(layer.ratios))
        raise UserError(
            f"task.training_module.subspace.min_ratio={min_ratio:g}: no layer has an input direction that the texts "
            f"about the concept use so many times more than the others; the highest ratio is {highest:.1f}. Lower it, "
            "or give more texts about the concept and more about other things."
        )
    return chosen


def find_directions(
    llm: LanguageModel, materials: Materials, config: SubspaceConfig, *, progress: Callable[[str], Advance | None]
) -> dict[str, Directions]:
    """The directions of each linear layer of the blocks that move, from one pass over forget and retain rows.

    Found again in the cache for the same weights, rows and settings. Under autocast the inputs are those of autocast.
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
        return _from_tensors(load_file(path))
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
    rows = [*materials.forget.rows, *materials.retain.rows]
    beginning = num_shared([row.ids for row in rows], min(row.first_scored for row in rows))
    forget, retain = (
        _read(llm, group, names, beginning, materials.can_pack, progress(f"second moments: {what}"))
        for group, what in ((materials.forget, "forget texts"), (materials.retain, "retain texts"))
    )
    found: dict[str, Directions] = {}
    for group, moment in forget.inputs.items():
        if group not in retain.inputs:
            continue
        vectors, ratios = forget_directions(moment, retain.inputs[group], ridge=ridge, count=MAX_DIRECTIONS)
        for name in group:
            found[name] = Directions(vectors.cpu(), ratios.cpu(), forget.scale(name))
    if not found:
        raise UserError(
            f"task.training_module.moves=subspace: no linear layer of '{llm.label}' reads a text token by token. Set "
            "it to weights."
        )
    return {name: found[name] for name in names if name in found}


@dataclass
class _Sums:
    """What is summed up over the tokens of some rows."""

    inputs: dict[tuple[str, ...], Tensor] = field(default_factory=dict)
    """Of layers that read the same inputs, E[x x^T], [d_in, d_in], float32."""
    outputs: dict[str, float] = field(default_factory=dict)
    """Mean square of each layer's outputs."""

    def scale(self, name: str) -> float:
        return float(self.outputs[name] ** 0.5)


@torch.no_grad()
def _read(
    llm: LanguageModel, rows: RowSet, names: Sequence[str], beginning: int, packed: bool, advance: Advance | None
) -> _Sums:
    """Second moments over the tokens of all rows behind their common beginning."""
    sums, total = _Sums(), 0
    for start in range(0, len(rows.rows), _BATCH_SIZE):
        indices = range(start, min(start + _BATCH_SIZE, len(rows.rows)))
        batch = collate(rows.rows, indices, pad_id=llm.pad_id, device=llm.device)
        counts = batch.is_token & (torch.arange(batch.ids.shape[1], device=llm.device) >= beginning)
        with _recorded(llm.model, names) as seen:
            _, in_batch_shape = read_batch(llm, batch, packed=packed, frozen=rows.states.padded_frozen(batch))
        total += int(counts.sum())
        with torch.autocast(llm.device.type, enabled=False):
            _add(sums, seen, partial(_tokens, in_batch_shape=in_batch_shape, counts=counts))
        if advance is not None:
            advance(indices.stop, len(rows.rows))
    return _Sums(
        {group: moment / total for group, moment in sums.inputs.items()},
        {name: square / total for name, square in sums.outputs.items()},
    )


def _add(
    sums: _Sums, seen: Mapping[str, tuple[Tensor, Tensor]], tokens: Callable[[Tensor], Float[Tensor, "n d"] | None]
) -> None:
    """Add what the layers saw in one pass."""
    for group, (states, outputs) in _by_input(seen).items():
        if (x := tokens(states)) is None:
            continue
        moment = sums.inputs.get(group)
        sums.inputs[group] = x.mT @ x if moment is None else moment.addmm_(x.mT, x)
        for name, output in zip(group, outputs, strict=True):
            y = tokens(output)
            assert y is not None
            sums.outputs[name] = sums.outputs.get(name, 0.0) + float(y.square().mean(dim=1).sum())


@contextmanager
def _recorded(model: PreTrainedModel, names: Sequence[str]) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
    """Input and output of each layer in the pass inside the context."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}

    def recorder(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def record(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = (inputs[0], output)

        return record

    handles = [model.get_submodule(name).register_forward_hook(recorder(name)) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _by_input(seen: Mapping[str, tuple[Tensor, Tensor]]) -> dict[tuple[str, ...], tuple[Tensor, list[Tensor]]]:
    """Layers that were given the very same tensor, with it and their outputs: queries, keys and values, for one."""
    groups: dict[int, list[str]] = {}
    for name, (states, _) in seen.items():
        groups.setdefault(id(states), []).append(name)
    return {tuple(group): (seen[group[0]][0], [seen[name][1] for name in group]) for group in groups.values()}


def _tokens(
    states: Tensor, in_batch_shape: Callable[[Tensor], Tensor], counts: Bool[Tensor, "batch pos"]
) -> Float[Tensor, "n d"] | None:
    """States of the tokens that count, float32; None where they are not laid out as tokens are."""
    if states.dim() != 3:
        return None
    shaped = in_batch_shape(states)
    return shaped[counts].float() if shaped.shape[:2] == counts.shape else None


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
