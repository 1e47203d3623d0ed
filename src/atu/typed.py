"""Plain mappings (yaml, json) to typed frozen dataclasses, with an error that names the key."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from atu.errors import UserError, did_you_mean

T = TypeVar("T")

MAX_WHOLE = 2**32 - 1
"""Largest whole number of a config: the largest seed. Whatever is counted has a lower limit of its own."""


class HasKinds:
    """Base of a dataclass whose subclasses have further keys: a mapping says itself of which of them it is."""

    @classmethod
    def kinds(cls) -> Mapping[str, type]:
        """Every subclass that a mapping may be, by name."""
        raise NotImplementedError

    @classmethod
    def kind_of(cls, data: Mapping[str, object], where: str) -> tuple[type, Mapping[str, object]]:
        """The subclass that a mapping is of, and the mapping without what that leaves out.

        Args:
            where: dotted path of the mapping, for errors.

        Raises:
            UserError: it is of none of them.
        """
        raise NotImplementedError


def from_mapping(cls: type[T], data: Mapping[str, object], where: str) -> T:
    """Build the dataclass `cls` from `data`.

    `where` is the dotted path of `data` in the config (empty at the root); errors begin with it.
    Understands nested dataclasses, `tuple[X, ...]`, `tuple[X, Y]`, `list[X]`, `Mapping[str, X]`, `Path`,
    `Literal`, unions and None; and `Annotated[Mapping[str, X], kinds]`, where a key names the kind of its value. An int
    is taken where a float is asked for, a bool never for a number.
    Raises UserError for an unknown key (with the nearest known one), a missing key, a wrong type, a number that is not
    finite or beyond `MAX_WHOLE`, and a text with half a character or NUL in it.
    """
    if not isinstance(data, Mapping):
        raise UserError(f"{where or 'The config'}: expected keys and values, got {_show(data)}.")
    if issubclass(cls, HasKinds):
        cls, data = cls.kind_of(data, where)
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}  # type: ignore[arg-type]
    hints = get_type_hints(cls, include_extras=True)
    for key in data:
        if key not in fields:
            raise UserError(f"Unknown key '{join_keys(where, str(key))}'.{did_you_mean(str(key), fields)}")
    for name, field in fields.items():
        if name not in data and _is_required(field):
            raise UserError(f"Missing key '{join_keys(where, name)}': it has no default and must be given.")
    values = {name: _convert(hints[name], value, join_keys(where, name)) for name, value in data.items()}
    try:
        return cls(**values)
    except UserError as error:
        # Raised by a __post_init__. Some rooms write the whole key, others leave out what they cannot know.
        if not where or str(error).startswith(where.partition(".")[0] + "."):
            raise
        raise UserError(f"{where}: {error}") from error


def _convert(hint: Any, value: object, where: str) -> object:
    origin, args = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(args, value, where)
    if origin is Literal:
        return _convert_literal(args, value, where)
    if origin is Annotated:
        return _convert_named(args[1], value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return value if isinstance(value, hint) else from_mapping(hint, value, where)  # type: ignore[arg-type]
    if origin in (tuple, list, Sequence):
        return _convert_sequence(origin, args, value, where)
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise _wrong("keys and values", value, where)
        return {str(key): _convert(args[1], item, join_keys(where, str(key))) for key, item in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(arms: tuple[Any, ...], value: object, where: str) -> object:
    # An exact match first: in `float | int` the integer 3 must stay an integer.
    if type(value) in arms:
        return _convert(type(value), value, where)
    failures = []
    for arm in arms:
        if arm is type(None):
            continue
        try:
            return _convert(arm, value, where)
        except UserError as error:
            failures.append(error)
    if len(failures) == 1:  # `X | None`: the reason why X failed says more than "wrong type"
        raise failures[0]
    raise _wrong(" or ".join(_describe(arm) for arm in arms), value, where)


def _convert_literal(choices: tuple[Any, ...], value: object, where: str) -> object:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return choice
    hint = did_you_mean(value, map(str, choices)) if isinstance(value, str) else ""
    known = ", ".join(map(str, choices))
    raise UserError(f"{where}: {_show(value)} is not one of {known}.{hint if 'Did you mean' in hint else ''}")


def _convert_named(kinds: Mapping[str, type], value: object, where: str) -> object:
    """Keys that each name the dataclass of their value; one that does not exist is answered with all that do."""
    if not isinstance(value, Mapping):
        raise _wrong("keys and values", value, where)
    converted = {}
    for key, item in value.items():
        if key not in kinds:
            raise UserError(
                f"Unknown key '{join_keys(where, str(key))}'. Known in {where}: {', '.join(sorted(kinds))}."
            )
        options = {field.name for field in dataclasses.fields(kinds[key])}
        if isinstance(item, Mapping) and (wrong := [option for option in item if option not in options]):
            raise UserError(
                f"Unknown key '{where}.{key}.{wrong[0]}'. Known in {where}.{key}: {', '.join(sorted(options))}."
            )
        converted[key] = _convert(kinds[key], item, join_keys(where, str(key)))
    return converted


def _convert_sequence(origin: Any, args: tuple[Any, ...], value: object, where: str) -> object:
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise _wrong("a list", value, where)
    if origin is tuple and not (len(args) == 2 and args[1] is Ellipsis):
        if len(value) != len(args):
            raise UserError(f"{where}: expected {len(args)} values, got {len(value)}.")
        item_hints = args
    else:
        item_hints = (args[0],) * len(value)
    items = [
        _convert(hint, item, f"{where}[{index}]")
        for index, (hint, item) in enumerate(zip(item_hints, value, strict=True))
    ]
    return items if origin is list else tuple(items)


def _convert_scalar(hint: Any, value: object, where: str) -> object:
    if isinstance(value, str) and hint in (str, Path):
        _check_text(value, where)
    if hint is float and type(value) in (int, float):
        return _finite(value, where)  # type: ignore[arg-type]
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is int and type(value) is int and abs(value) > MAX_WHOLE:
        raise UserError(f"{where}: a whole number must lie in -{MAX_WHOLE}..{MAX_WHOLE}, not {_show(value)}.")
    if hint in (bool, int, str) and type(value) is hint:
        return value
    if isinstance(hint, type) and hint not in (bool, int, float, str) and isinstance(value, hint):
        return value
    raise _wrong(_describe(hint), value, where)


def _finite(value: float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UserError(f"{where}: expected a finite number, got {_show(value)}.")
    return number + 0.0  # -0.0 is 0.0


def _check_text(value: str, where: str) -> None:
    if "\0" in value:
        raise UserError(f"{where}: a NUL character in {_show(value)}.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"{where}: {_show(value)} holds bytes that are no UTF-8. Name it in UTF-8.") from error


def check_sizes(config: object, limits: Mapping[str, int], *, least: Literal[0, 1] = 1) -> None:
    """Refuse sizes below `least`, and those that no run has, before they fill the memory or take for ever.

    Args:
        config: a dataclass, in its `__post_init__`.
        limits: by field, the most that it may be; None has no size.
    """
    for key, limit in limits.items():
        value = getattr(config, key)
        if value is not None and value < least:
            raise UserError(f"{key} must {'be at least 1, not' if least else 'not be negative, found'} {value}.")
        if value is not None and value > limit:
            raise UserError(f"{key} must be at most {limit:,}, not {value:,}.")


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _describe(hint: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    names[type(None)] = "null"
    if get_origin(hint) in (tuple, list, Sequence):
        return "a list"
    if get_origin(hint) is Literal:
        return ", ".join(map(str, get_args(hint)))
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _wrong(expected: str, value: object, where: str) -> UserError:
    return UserError(f"{where}: expected {expected}, got {_show(value)}.")


def _show(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python prints no number of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def join_keys(where: str, key: str) -> str:
    """The dotted path of a key."""
    return f"{where}.{key}" if where else key
