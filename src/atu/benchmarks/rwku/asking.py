"""What RWKU asks of a model, as token ids, and what a model gave: everything that its scores are computed from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from filelock import FileLock

from atu import __version__
from atu.evaluation.batching import Progress, part_of
from atu.evaluation.generate import Prompt, generate
from atu.evaluation.likelihood import (
    Completion,
    TokenStatistics,
    next_token_probabilities,
    token_logprobs,
    token_statistics,
)
from atu.evaluation.reading import reading_order
from atu.models.language_model import LanguageModel
from atu.processes.notices import notice
from atu.storage.cache import make_room
from atu.storage.digests import read_sealed_rows, sealed
from atu.storage.files import append_jsonl, cache_root, content_key, write_jsonl_atomic

Kind = Literal["write", "letters", "choices", "text"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One thing to ask a model. Equal requests are asked once."""

    kind: Kind
    ids: tuple[int, ...]
    """The prompt; the whole text for `text`."""
    max_new_tokens: int = 0
    end_ids: tuple[int, ...] = ()
    """Tokens that end the answer, for `write`."""
    options: tuple[tuple[int, ...], ...] = ()
    """For `choices` the tokens of each choice, for `letters` the single token of each letter."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a model gave to one request."""

    ids: tuple[int, ...] = ()
    """New tokens without the end token (`write`)."""
    numbers: tuple[float, ...] = ()
    """Probability of each letter (`letters`), summed log-probability of each choice in nats (`choices`)."""
    statistics: TokenStatistics | None = None
    """Of a `text`."""


class ObservationCache:
    """What a model with known weights gave, on disk: rows that targets share are asked once per model.

    A row is written when its part of the questions is done, so a stopped evaluation resumes there.
    """

    def __init__(self, llm: LanguageModel) -> None:
        parts = {
            "model": llm.weights_key,
            "dtype": str(llm.model.dtype),
            "version": __version__,
            "statistics": [field.name for field in fields(TokenStatistics)],  # an entry that older code made has less
        }
        self._path = cache_root() / "observations" / f"{content_key(parts)}.jsonl"
        self._known: dict[str, Observation] = {}
        if self._path.is_file():
            with self._locked():
                rows, num_damaged = read_sealed_rows(self._path)
                if num_damaged:
                    write_jsonl_atomic(self._path, map(sealed, rows))
                    notice(f"{num_damaged} rows of {self._path} in the cache were damaged; they are asked again.")
            self._known = {row["key"]: _from_row(row) for row in rows}

    def get(self, request: Request) -> Observation | None:
        """What the model gave before, if it was asked."""
        return self._known.get(_key(request))

    def keep(self, found: Mapping[Request, Observation]) -> None:
        """Add what was given now."""
        rows = [sealed({"key": _key(request), **_to_row(observation)}) for request, observation in found.items()]
        with self._locked():
            append_jsonl(self._path, rows)
        make_room(self._path)

    def _locked(self) -> FileLock:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._path.with_suffix(".lock"))


def ask(
    llm: LanguageModel,
    requests: Iterable[Request],
    *,
    batch_size: int,
    cache: ObservationCache | None,
    progress: Progress | None = None,
) -> dict[Request, Observation]:
    """Ask each distinct request once.

    `cache`: only for a model whose weights are those that it was loaded with. `progress` counts requests.
    Raises UserError for whatever keeps a request from being asked: never an empty answer for it.
    """
    distinct = list(dict.fromkeys(requests))
    found = {} if cache is None else {request: known for request in distinct if (known := cache.get(request))}
    for kind, work in _ASKERS.items():
        asked = _sorted([request for request in distinct if request.kind == kind and request not in found])
        for first in range(0, len(asked), _PART * batch_size):
            part = asked[first : first + _PART * batch_size]
            report = part_of(progress, first=len(found), size=len(part), total=len(distinct))
            given = dict(zip(part, work(llm, part, batch_size, report), strict=True))
            if cache is not None:
                cache.keep(given)
            found |= given
    return found


_PART = 4
"""Batches between two writes of the cache."""


def _sorted(requests: Sequence[Request]) -> list[Request]:
    """In the order in which they are read best, so that the parts are whole batches of neighbors."""
    order = reading_order([request.ids for request in requests])
    order.sort(key=lambda i: requests[i].max_new_tokens)
    return [requests[i] for i in order]


def _write(
    llm: LanguageModel, requests: Sequence[Request], batch_size: int, progress: Progress | None
) -> list[Observation]:
    prompts = [
        Prompt(ids=request.ids, max_new_tokens=request.max_new_tokens, end_ids=request.end_ids) for request in requests
    ]
    rows = generate(llm, prompts, batch_size=batch_size, progress=progress)
    return [Observation(ids=row.ids) for row in rows]


def _letters(
    llm: LanguageModel, requests: Sequence[Request], batch_size: int, progress: Progress | None
) -> list[Observation]:
    prompts = [request.ids for request in requests]
    letters = [[letter for (letter,) in request.options] for request in requests]
    rows = next_token_probabilities(llm, prompts, letters, batch_size=batch_size, progress=progress)
    return [Observation(numbers=tuple(row)) for row in rows]


def _choices(
    llm: LanguageModel, requests: Sequence[Request], batch_size: int, progress: Progress | None
) -> list[Observation]:
    completions = [Completion(prompt=request.ids, ids=option) for request in requests for option in request.options]
    sums = iter([sum(row) for row in token_logprobs(llm, completions, batch_size=batch_size, progress=progress)])
    return [Observation(numbers=tuple(next(sums) for _ in request.options)) for request in requests]


def _texts(
    llm: LanguageModel, requests: Sequence[Request], batch_size: int, progress: Progress | None
) -> list[Observation]:
    rows = token_statistics(llm, [request.ids for request in requests], batch_size=batch_size, progress=progress)
    return [Observation(statistics=row) for row in rows]


_Asker = Callable[[LanguageModel, Sequence[Request], int, Progress | None], list[Observation]]
_ASKERS: dict[Kind, _Asker] = {"text": _texts, "choices": _choices, "letters": _letters, "write": _write}
"""How each kind is asked; the quick ones first."""


def _key(request: Request) -> str:
    return content_key(asdict(request))


def _to_row(observation: Observation) -> dict[str, Any]:
    return {name: value for name, value in asdict(observation).items() if value}


def _from_row(row: Mapping[str, Any]) -> Observation:
    statistics = row.get("statistics")
    return Observation(
        ids=tuple(row.get("ids", ())),
        numbers=tuple(row.get("numbers", ())),
        statistics=None if statistics is None else TokenStatistics(**{k: tuple(v) for k, v in statistics.items()}),
    )
