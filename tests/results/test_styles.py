"""Colors and markers: the same for a method everywhere, and no two methods alike in one picture."""

from __future__ import annotations

from atu.results.styles import method_style, method_styles


def test_a_known_method_looks_the_same_in_any_company() -> None:
    alone = method_styles(["unlearning_npo"], {})["unlearning_npo"]
    among = method_styles(["RMU", "unlearning_npo", "unlearning_ga", "x", "y"], {})["unlearning_npo"]
    assert alone == among == method_style("unlearning_npo")


def test_no_two_of_twenty_methods_look_alike() -> None:
    styles = method_styles([f"method {i}" for i in range(20)] + ["unlearning_atu", "unlearning_ga"], {})
    assert len({(style.color, style.marker) for style in styles.values()}) == 22


def test_ours_comes_first_and_unknown_methods_last() -> None:
    methods = ["RMU", "unlearning_ga", "unlearning_atu"]
    assert list(method_styles(methods, {})) == ["unlearning_atu", "unlearning_ga", "RMU"]


def test_a_method_by_its_name_in_papers_looks_like_ours_of_that_name() -> None:
    npo, ours = method_style("NPO"), method_style("unlearning_npo")
    assert (npo.label, npo.color, npo.marker) == ("NPO", ours.color, ours.marker)
    both = method_styles(["NPO", "unlearning_npo"], {})
    assert both["unlearning_npo"] == ours
    assert both["NPO"].color != ours.color
