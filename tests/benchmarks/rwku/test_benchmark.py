from __future__ import annotations

from pathlib import Path

import pytest

from atu.benchmarks.rwku.benchmark import RwkuBenchmark
from atu.benchmarks.rwku.config import RwkuConfig
from atu.benchmarks.several import find_probes, find_target
from atu.errors import UserError

from .conftest import MakeTarget


def test_a_target_has_a_description_and_no_neighbor_of_the_probes(two_targets: Path) -> None:
    target = RwkuBenchmark(RwkuConfig(data_dir=str(two_targets))).target("1_Stephen_King")
    assert (target.name, target.folder) == ("Stephen King", "1_Stephen_King")
    assert target.description == "Stephen King is a person of note."
    assert target.neighbors == ("Confucius",)  # the probes ask about Jaws, which stays unknown


def test_a_name_that_ends_in_a_full_stop_leaves_a_clean_description(make_target: MakeTarget) -> None:
    target = RwkuBenchmark(RwkuConfig(data_dir=str(make_target("87_Robert_Downey_Jr.")))).target("87_Robert_Downey_Jr.")
    assert target.description == "Robert Downey Jr. is a person of note."


def test_probes_are_those_of_forgetting_and_of_the_neighbors(two_targets: Path) -> None:
    probes = RwkuBenchmark(
        RwkuConfig(
            data_dir=str(two_targets),
            tasks=(
                "forget",
                "neighbor",
            ),
        )
    ).probes("2_Confucius")
    assert {probe.group.split("/")[0] for probe in probes} == {"forget", "neighbor"}
    assert {probe.id.split("/")[1] for probe in probes} == {"2_Confucius"}


def test_a_batch_joins_targets(two_targets: Path, make_target: MakeTarget) -> None:
    make_target("3_Bruce_Lee")
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(two_targets)))
    target = find_target(benchmark, "1-2")
    assert target.name == "Stephen King, Confucius"
    assert target.description == "Stephen King is a person of note. Confucius is a person of note."
    assert target.aliases == ("Stephen King", "Confucius")
    assert target.neighbors == ("Bruce Lee",)
    alone = benchmark.probes("1_Stephen_King") + benchmark.probes("2_Confucius")
    asked = find_probes(benchmark, "1-2")
    assert [probe for probe in asked if probe.attack] == [probe for probe in alone if probe.attack]
    assert set(asked) <= set(alone)


def test_a_typo_offers_the_nearest_target(two_targets: Path) -> None:
    with pytest.raises(UserError, match="Did you mean '2_Confucius'"):
        RwkuBenchmark(RwkuConfig(data_dir=str(two_targets))).target("2_Konfuzius")


def test_the_real_targets(shared_dir: Path) -> None:
    benchmark = RwkuBenchmark(RwkuConfig(data_dir=str(shared_dir / "rwku")))
    king = benchmark.target("1_Stephen_King")
    assert king.description == ('Stephen King is a prolific American author, renowned as the "King of Horror".')
    assert len(king.neighbors) == 12
    for folder in benchmark.targets():
        target = benchmark.target(folder)
        assert target.description.startswith(target.name)
    forgetting = 8 + 10 + 29 + 30 + 30
    assert len(benchmark.probes("1_Stephen_King")) == forgetting + 171 + 81 + 50 + 100 + 55 + 37 + 50
