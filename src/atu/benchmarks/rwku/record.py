"""One JSON object of a data file on its way to a typed row: checked getters, repeated blocks held once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from atu.errors import UserError

T = TypeVar("T")


class SharedBlocks:
    """The worked examples that repeat in every file, held once for each task."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], tuple[Any, str]] = {}

    def hold(self, kind: str, task: str, block: T, where: str) -> T:
        """The block already held for this task, which must equal `block`.

        Raises UserError that names both places when it does not.
        """
        held, first = self._held.setdefault((kind, task), (block, where))
        if held != block:
            raise UserError(f"{where}: the {kind} of task '{task}' differ from those at {first}; they never do.")
        return held  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Record:
    """One JSON object on its way to a row; its getters raise UserError with file, row and field."""

    data: Mapping[str, Any]
    where: str
    shared: SharedBlocks

    def fault(self, key: str, problem: str) -> UserError:
        return UserError(f"{self.where}: '{key}' {problem}.")

    def get(self, key: str) -> Any:
        if key not in self.data:
            raise UserError(f"{self.where}: '{key}' is missing.")
        return self.data[key]

    def text(self, key: str, *, may_be_empty: bool = False) -> str:
        value = self.get(key)
        if not isinstance(value, str):
            raise self.fault(key, f"must be a text, found {_kind(value)}")
        if not value.strip() and not may_be_empty:
            raise self.fault(key, "is empty")
        return value

    def whole(self, key: str) -> int:
        value = self.get(key)
        if type(value) is not int:
            raise self.fault(key, f"must be a whole number, found {_kind(value)}")
        return value

    def texts(self, key: str, count: int | None = None) -> tuple[str, ...]:
        value = self.get(key)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fault(key, "must be a list of texts")
        if not value or (count is not None and len(value) != count):
            raise self.fault(key, f"must hold {count or 'at least one'} texts, found {len(value)}")
        return tuple(value)

    def records(self, key: str, count: int) -> list[Record]:
        value = self.get(key)
        if not isinstance(value, list) or len(value) != count:
            raise self.fault(key, f"must be a list of {count}")
        return [self.nested(key, item, f"{key}[{index}]") for index, item in enumerate(value)]

    def record(self, key: str) -> Record:
        return self.nested(key, self.get(key), key)

    def nested(self, key: str, value: Any, label: str) -> Record:
        if not isinstance(value, dict):
            raise self.fault(key, f"must hold objects, found {_kind(value)}")
        return Record(value, f"{self.where}, {label}", self.shared)


def _kind(value: object) -> str:
    names = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
    return names.get(type(value), "null" if value is None else "a text")
