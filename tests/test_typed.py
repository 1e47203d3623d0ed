"""Mappings become typed dataclasses, and every fault names its key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from atu.errors import UserError
from atu.typed import from_mapping


@dataclass(frozen=True, kw_only=True)
class Stage:
    steps: int
    tau: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise UserError("steps must not be negative.")


@dataclass(frozen=True, kw_only=True)
class Task:
    name: str
    kind: Literal["align", "unlearn"] = "align"
    hook_layer: int | float = 0.8
    revision: str | None = None
    stages: tuple[Stage, ...] = ()
    betas: tuple[float, float] = (0.9, 0.99)
    weights: Mapping[str, float] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    folder: Path = Path("runs")
    first: Stage | None = None
    causal: bool = True
    devices: Literal["auto"] | int = "auto"
    tau: float = 0.5


def test_every_kind_of_value_is_taken() -> None:
    task = from_mapping(
        Task,
        {
            "name": "a",
            "kind": "unlearn",
            "stages": [{"steps": 3}, {"steps": 4, "tau": 1}],
            "betas": [0.5, 1],
            "weights": {"kl": 2},
            "names": ["x"],
            "folder": "out",
            "first": {"steps": 1},
            "causal": False,
            "devices": 2,
        },
        "task",
    )
    assert task == Task(
        name="a",
        kind="unlearn",
        stages=(Stage(steps=3), Stage(steps=4, tau=1.0)),
        betas=(0.5, 1.0),
        weights={"kl": 2.0},
        names=["x"],
        folder=Path("out"),
        first=Stage(steps=1),
        causal=False,
        devices=2,
    )
    assert isinstance(task.stages[1].tau, float)


@pytest.mark.parametrize("value", [24, 0.8])
def test_int_and_float_stay_what_they_are_in_a_union(value: float) -> None:
    assert type(from_mapping(Task, {"name": "a", "hook_layer": value}, "").hook_layer) is type(value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "a", "kinds": "align"}, r"^Unknown key 'task\.kinds'\. Did you mean 'kind'\?$"),
        ({}, r"^Missing key 'task\.name': it has no default and must be given\.$"),
        ({"name": 3}, r"^task\.name: expected a text, got 3\.$"),
        ({"name": None}, r"^task\.name: expected a text, got None\.$"),
        (
            {"name": "a", "kind": "unlern"},
            r"^task\.kind: 'unlern' is not one of align, unlearn\. Did you mean 'unlearn'",
        ),
        ({"name": "a", "kind": "zzz"}, r"^task\.kind: 'zzz' is not one of align, unlearn\.$"),
        ({"name": "a", "revision": 1}, r"^task\.revision: expected a text, got 1\.$"),
        (
            {"name": "a", "hook_layer": "x"},
            r"^task\.hook_layer: expected a whole number or a number, got 'x'\.$",
        ),
        (
            {"name": "a", "hook_layer": True},
            r"^task\.hook_layer: expected a whole number or a number, got True\.$",
        ),
        ({"name": "a", "causal": 1}, r"^task\.causal: expected true or false, got 1\.$"),
        (
            {"name": "a", "stages": [{"steps": 1.5}]},
            r"^task\.stages\[0\]\.steps: expected a whole number, got 1\.5\.$",
        ),
        (
            {"name": "a", "stages": [{"step": 1}]},
            r"^Unknown key 'task\.stages\[0\]\.step'\. Did you mean 'steps'\?$",
        ),
        ({"name": "a", "stages": "x"}, r"^task\.stages: expected a list, got 'x'\.$"),
        ({"name": "a", "stages": [{"steps": -1}]}, r"^task\.stages\[0\]: steps must not be negative\.$"),
        ({"name": "a", "betas": [1]}, r"^task\.betas: expected 2 values, got 1\.$"),
        ({"name": "a", "weights": 3}, r"^task\.weights: expected keys and values, got 3\.$"),
        ({"name": "a", "weights": {"kl": "x"}}, r"^task\.weights\.kl: expected a number, got 'x'\.$"),
        ({"name": "a", "first": {"steps": "x"}}, r"^task\.first\.steps: expected a whole number, got 'x'\.$"),
        ({"name": "a", "devices": "all"}, r"^task\.devices: expected auto or a whole number, got 'all'\.$"),
        *(
            ({"name": "a", key: value}, rf"^task\.{key}: expected a finite number, got ")
            for key, values in {
                "tau": (math.inf, -math.inf, math.nan, 10**400, 10**5000),
                "hook_layer": (math.inf, -math.inf, math.nan),
            }.items()
            for value in values
        ),
        ({"name": "a", "betas": [0.5, math.nan]}, r"^task\.betas\[1\]: expected a finite number, got nan\.$"),
        ({"name": "a", "weights": {"kl": math.inf}}, r"^task\.weights\.kl: expected a finite number, got inf\.$"),
        (
            {"name": "a", "first": {"steps": 2**32}},
            r"^task\.first\.steps: a whole number must lie in .*, not 4294967296",
        ),
        ({"name": "a", "first": {"steps": 10**5000}}, r"not a number of thousands of digits\.$"),
        ({"name": "a", "devices": -(10**30)}, r"^task\.devices: a whole number must lie in "),
        ({"name": "a\0b"}, r"^task\.name: a NUL character in 'a\\x00b'\.$"),
        ({"name": "a\udcff"}, r"^task\.name: 'a\\udcff' holds bytes that are no UTF-8\. Name it in UTF-8\.$"),
        ({"name": "a", "folder": "a\udcff"}, r"^task\.folder: 'a\\udcff' holds bytes that are no UTF-8"),
        ([1], r"^task: expected keys and values, got \[1\]\.$"),
    ],
)
def test_a_fault_names_key_and_reason(data: Mapping[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_mapping(Task, data, "task")


def test_a_check_that_names_the_whole_key_itself_is_left_alone() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Encoder:
        size: int

        def __post_init__(self) -> None:
            raise UserError("encoder.size must be even.")

    with pytest.raises(UserError, match=r"^encoder\.size must be even\.$"):
        from_mapping(Encoder, {"size": 3}, "encoder")


def test_minus_zero_is_zero() -> None:
    assert math.copysign(1, from_mapping(Task, {"name": "a", "tau": -0.0}, "").tau) == 1


def test_at_the_root_keys_stand_alone() -> None:
    with pytest.raises(UserError, match=r"^Unknown key 'nme'\. Did you mean 'name'\?$"):
        from_mapping(Task, {"nme": "a"}, "")


def test_a_long_value_is_cut_in_the_message() -> None:
    with pytest.raises(UserError, match=r"got '.{56}\.\.\.\.$"):
        from_mapping(Task, {"name": "a", "betas": "y" * 300}, "task")
