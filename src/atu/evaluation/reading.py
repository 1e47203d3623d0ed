"""Reading prompts in batches: what several of them begin with is read only once."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache

from atu.evaluation.kv_cache import note_kept, shares
from atu.models.attention import attends_only, shortest_window
from atu.models.language_model import LanguageModel, common_length

_ALIKE = 0.4
"""Share of the longer of two prompts that must be common for both to be read from one beginning.

Of the longer one: else a short prompt could take away what long ones share.
"""

_PASS_COST = {"cpu": 64, "other": 4096}
"""Tokens whose reading takes as long as what a forward pass costs by itself."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A batch of prompts that the model has read, ready to be continued."""

    logits: Float[Tensor, "batch vocab"]
    """After the last token of each prompt."""
    cache: Cache | None
    """None where there is none to go on from: all is read anew for each further token."""
    mask: Int[Tensor, "batch pos"]
    """1 where the cache holds a real token."""
    last: Int[Tensor, "batch 1"]
    """Position of each prompt's last token."""


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """A token of prompts that attention does not see, as a mask of `ids != pad` hides a pad token that means something.

    Some released evaluators ask so, and so does this, to give their numbers.
    """

    token: int
    is_skipped: bool
    """Whether positions are counted without it, as transformers' `generate` does, rather than with it, as its models do
    by themselves."""


@dataclass(frozen=True, kw_only=True)
class _Cluster:
    """Prompts (by index) that begin with the same `shared` tokens; at least one token of each is left over."""

    members: tuple[int, ...]
    shared: int


def reading_order(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Indices of the prompts so that those that begin alike stand side by side, and near lengths together."""
    groups = [cluster.members for cluster in _clusters(prompts)]
    groups.sort(key=lambda members: max(len(prompts[i]) for i in members))
    return [i for members in groups for i in sorted(members, key=lambda i: len(prompts[i]))]


def read_prompts(
    llm: LanguageModel, prompts: Sequence[Sequence[int]], *, room: int = 0, hidden: Hidden | None = None
) -> Reading:
    """What comes after each prompt, in input order, and a cache that continues from there.

    What prompts have in common is read once. Prompts of very different lengths are read apart and put together. Several
    prompts of a model that cannot share (`shares`) are read one by one, and leave no cache.

    Args:
        room: tokens by which the prompts will be continued, at most.
    """
    if len(prompts) == 1 or not shares(llm):
        return _read_alone(llm, prompts, hidden)
    try:
        return _read_together(llm, prompts, room, hidden)
    except _NotSharedError:
        return _read_alone(llm, prompts, hidden)


def next_logits(llm: LanguageModel, prompts: Sequence[Sequence[int]]) -> Float[Tensor, "batch vocab"]:
    """The logits of `read_prompts` alone: no cache outlives the reading of its part."""
    if not shares(llm):
        return _read_alone(llm, prompts, None).logits
    parts = _parts(llm, prompts)
    logits = torch.cat([read_prompts(llm, [prompts[i] for i in part]).logits for part in parts])
    return logits[_places(parts)]


def continue_from(llm: LanguageModel, cache: Cache | None, **inputs: Any) -> tuple[Tensor, Cache | None]:
    """Logits and the grown cache of a forward pass; transformers 5.24 renamed the cache's argument.

    Some models keep what they have read to themselves and give no cache.
    """
    name = "cache" if "cache" in inspect.signature(llm.model.forward).parameters else "past_key_values"
    output = llm.model(**inputs, use_cache=True, **{name: cache})
    return output.logits, output.get(name)


class _NotSharedError(Exception):
    """It showed only while prompts were read together that the model cannot share what it has read."""


def _read_together(llm: LanguageModel, prompts: Sequence[Sequence[int]], room: int, hidden: Hidden | None) -> Reading:
    parts = _parts(llm, prompts)
    reading = _join([_read_part(llm, [prompts[i] for i in part], room, hidden) for part in parts])
    places = _places(parts)
    if places == sorted(places):
        return reading
    place = torch.tensor(places, device=llm.device)
    assert reading.cache is not None
    reading.cache.batch_select_indices(place)
    return Reading(
        logits=reading.logits[place], cache=reading.cache, mask=reading.mask[place], last=reading.last[place]
    )


def _read_alone(llm: LanguageModel, prompts: Sequence[Sequence[int]], hidden: Hidden | None) -> Reading:
    readings = [_read(llm, [prompt], before=None, starts=[0], hidden=hidden) for prompt in prompts]
    if len(readings) == 1:
        return readings[0]
    width = max(map(len, prompts))
    return Reading(
        logits=torch.cat([reading.logits for reading in readings]),
        cache=None,
        mask=torch.cat([pad(reading.mask, (width - reading.mask.shape[1], 0)) for reading in readings]),
        last=torch.cat([reading.last for reading in readings]),
    )


def near_lengths(llm: LanguageModel, lengths: Sequence[int]) -> list[list[int]]:
    """Indices of texts that are read in one go: as long as the padding costs less than another pass would."""
    parts: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Against the longest of the part so far, which this text is at least as long as.
        if parts and len(parts[-1]) * (lengths[i] - lengths[parts[-1][-1]]) <= _pass_cost(llm):
            parts[-1].append(i)
        else:
            parts.append([i])
    return parts


def _parts(llm: LanguageModel, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of the prompts that are read in one go: whole clusters of near lengths.

    A part takes the next longer cluster in as long as the padding costs less than another pass would.
    """
    if not _keeps_everything(llm):
        return [list(range(len(prompts)))]
    parts: list[list[_Cluster]] = []
    for cluster in sorted(_clusters(prompts), key=lambda one: max(len(prompts[i]) for i in one.members)):
        if parts:
            apart = _cost(prompts, parts[-1]) + _cost(prompts, [cluster]) + _pass_cost(llm)
            if _cost(prompts, [*parts[-1], cluster]) <= apart:
                parts[-1].append(cluster)
                continue
        parts.append([cluster])
    return [[i for cluster in part for i in sorted(cluster.members)] for part in parts]


def _places(parts: Sequence[Sequence[int]]) -> list[int]:
    """Where each prompt, in input order, stands when part follows part."""
    order = [i for part in parts for i in part]
    return sorted(range(len(order)), key=order.__getitem__)


def _keeps_everything(llm: LanguageModel) -> bool:
    """Whether every layer keeps all keys and values: caches of windows or states cannot be put together."""
    return attends_only(llm.model) and shortest_window(llm.model) is None and shares(llm)


def _pass_cost(llm: LanguageModel) -> int:
    return _PASS_COST["cpu" if llm.device.type == "cpu" else "other"]


def _cost(prompts: Sequence[Sequence[int]], clusters: Sequence[_Cluster]) -> int:
    """Tokens, padding included, that reading these clusters in one go takes."""
    ends = [len(prompts[i]) - cluster.shared for cluster in clusters for i in cluster.members]
    return len(clusters) * max(cluster.shared for cluster in clusters) + len(ends) * max(ends)


def _read_part(llm: LanguageModel, prompts: Sequence[Sequence[int]], room: int, hidden: Hidden | None) -> Reading:
    """One forward pass over what prompts have in common and one over what is left, both padded on the left."""
    clusters = _clusters(prompts)
    # Behind a shared beginning padding stands in the middle, where it would take places of a window of attention.
    window = shortest_window(llm.model)
    ends = max(len(prompts[i]) - cluster.shared for cluster in clusters for i in cluster.members)
    width = max(cluster.shared for cluster in clusters) + ends + room
    is_narrow = window is not None and width > window
    begin_alike = len(clusters) < len(prompts) and all(cluster.shared for cluster in clusters)
    if is_narrow or not begin_alike:
        return _read_to_share(llm, prompts, before=None, starts=[0] * len(prompts), hidden=hidden)[0]
    beginnings = [prompts[cluster.members[0]][: cluster.shared] for cluster in clusters]
    first, cache = _read_to_share(llm, beginnings, before=None, starts=[0] * len(beginnings), hidden=hidden)
    home = {i: number for number, cluster in enumerate(clusters) for i in cluster.members}
    owner = torch.tensor([home[i] for i in range(len(prompts))], device=llm.device)
    cache.batch_select_indices(owner)
    rest = [prompt[clusters[home[i]].shared :] for i, prompt in enumerate(prompts)]
    starts = (first.last[owner, 0] + 1).tolist()
    return _read(llm, rest, before=(cache, first.mask[owner]), starts=starts, hidden=hidden)


def _read_to_share(llm: LanguageModel, prompts: Sequence[Sequence[int]], **given: Any) -> tuple[Reading, Cache]:
    """`_read`, and its cache, which may be cut and copied."""
    reading = _read(llm, prompts, **given)
    if reading.cache is None or not shares(llm):
        raise _NotSharedError
    return reading, reading.cache


def _join(readings: Sequence[Reading]) -> Reading:
    """Several readings as one, their caches padded on the left to the longest."""
    first, *others = readings
    if not others:
        return first
    width = max(reading.mask.shape[1] for reading in readings)
    masks = [pad(reading.mask, (width - reading.mask.shape[1], 0)) for reading in readings]
    caches = [reading.cache for reading in readings if reading.cache is not None]
    for layer, *rest in zip(*(cache.layers for cache in caches), strict=True):
        for name in ("keys", "values"):
            states = [getattr(one, name) for one in (layer, *rest)]
            setattr(layer, name, torch.cat([pad(state, (0, 0, width - state.shape[-2], 0)) for state in states]))
            for one in rest:
                setattr(one, name, None)  # so that two copies of the whole cache never stand side by side
    return Reading(
        logits=torch.cat([reading.logits for reading in readings]),
        cache=first.cache,
        mask=torch.cat(masks),
        last=torch.cat([reading.last for reading in readings]),
    )


def _read(
    llm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    before: tuple[Cache, Int[Tensor, "batch pos"]] | None,
    starts: Sequence[int],
    hidden: Hidden | None,
) -> Reading:
    """One left-padded pass over the prompts, the first token of each at its position in `starts`.

    `before`: the cache and mask of what stands before them.
    """
    width = max(map(len, prompts))
    # Padding is token 0; the mask hides it, so any id would do.
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=llm.device)
    own = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=llm.device)
    seen = own if hidden is None else own * (ids != hidden.token)
    counted = seen if hidden is not None and hidden.is_skipped else own
    first = torch.tensor(starts, device=llm.device)[:, None]
    places = first + counted.cumsum(-1) - 1  # -1 where nothing was counted yet
    cache, mask = (None, seen) if before is None else (before[0], torch.cat([before[1], seen], dim=1))
    logits, cache = continue_from(
        llm, cache, input_ids=ids, attention_mask=mask, position_ids=places.clamp(min=0), logits_to_keep=1
    )
    note_kept(llm, cache)
    return Reading(logits=logits[:, -1], cache=cache, mask=mask, last=places[:, -1:])


def _clusters(prompts: Sequence[Sequence[int]]) -> list[_Cluster]:
    """Prompts that have at least `_ALIKE` of their tokens in common; a prompt alone shares all but its last token."""
    order = sorted(range(len(prompts)), key=lambda i: tuple(prompts[i]))
    clusters: list[_Cluster] = []
    members: list[int] = []
    shared = 0
    for i in order:
        if members:
            common = common_length(prompts[members[-1]], prompts[i])
            if common >= _ALIKE * max(len(prompts[members[-1]]), len(prompts[i])):
                shared = min(shared, common, len(prompts[i]) - 1)
                members.append(i)
                continue
            clusters.append(_Cluster(members=tuple(members), shared=shared))
        members, shared = [i], len(prompts[i]) - 1
    if members:
        clusters.append(_Cluster(members=tuple(members), shared=shared))
    return clusters
