"""The table of metric names covers what the other rooms write, in both languages."""

from __future__ import annotations

import pytest

from atu.benchmarks.catalog import BENCHMARKS
from atu.evaluation.score_words import SCORE_WORDS
from atu.methods.terms import TERMS
from atu.methods.words import TRAINING_WORDS
from atu.records import Words
from atu.report.metrics import describe, sort_key
from atu.text.metric_words import DIRECTIONS

NAMES = [
    "forget/fb", "forget/qa", "forget/aa", "forget/all", "neighbor/fb", "neighbor/qa", "neighbor/all",
    "utility/gen", "utility/rea", "utility/tru", "utility/fac", "utility/flu", "mia/fm", "mia/rt",
    "forget/all_fixed", "forget/fb_f1", "neighbor/qa_f1", "utility/tru_mc2", "utility/fac_recall",
    "mia/auc_loss", "mia/auc_zlib", "mia/auc_mink", "mia/auc_mink++", "attack/role_play", "language/French",
    "degenerate/forget", "degenerate/neighbor", "degenerate/utility",
    "nll/forget@known", "nll/neighbor@known", "nll/utility@known",
    "p/forget@known", "p/neighbor@known", "p/utility@known",
    "train/loss", "train/embedding", "train/distill", "train/retain", "train/forget",
    "train/grad_norm", "train/lr", "align/loss", "align/held_out_cosine",
    "align/constant_cosine", "align/retrieval_top1", "align/alignment", "align/contrastive", "train/token",
    "signal/concept_nll_rise", "signal/retain_kl", *(f"train/{name}" for name in TERMS),
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_name_is_described_in_both_languages(name: str) -> None:
    metric = describe(name)
    for words in (metric.label, metric.short, metric.meaning, metric.pitfall):
        assert words.en
        assert words.zh
        assert words.en != words.zh
    assert metric.direction in DIRECTIONS


@pytest.mark.parametrize(
    ("name", "arrow"),
    [
        # Directions of the RWKU tables; a likelier right answer is worse only for the concept itself.
        ("forget/all", "↓"),
        ("neighbor/all", "↑"),
        ("utility/flu", "↑"),
        ("mia/fm", "↑"),
        ("mia/rt", "↓"),
        ("degenerate/neighbor", "↓"),
        ("nll/forget@known", "↑"),
        ("nll/neighbor@known", "↓"),
        ("p/forget@known", "↓"),
        ("p/neighbor@known", "↑"),
        ("forget/qa@known", "↓"),
        ("train/loss", "·"),
    ],
)
def test_direction(name: str, arrow: str) -> None:
    assert describe(name).arrow == arrow


def test_known_suffix_is_a_metric_of_its_own() -> None:
    metric = describe("neighbor/qa@known")
    assert metric.label == Words("Neighbor · question and answer, known before", "邻近知识 · 问答（原先已知）")
    assert "starts at 100%" in metric.pitfall.en


def test_unknown_names_are_neutral() -> None:
    assert describe("forget/brandnew").label.en == "Forget · brandnew"
    assert describe("forget/brandnew").direction == "lower"
    for name in ("speed", "my/metric", ""):
        assert describe(name).direction == "none"
        assert describe(name).label.en == name


def test_table_order() -> None:
    names = [
        "nll/forget@known",
        "x/y",
        "forget/qa",
        "utility/gen",
        "forget/all@known",
        "neighbor/all",
        "forget/all",
    ]
    assert sorted(names, key=sort_key) == [
        "forget/all", "forget/all@known", "forget/qa", "neighbor/all", "utility/gen",
        "nll/forget@known", "x/y",
    ]  # fmt: skip


def test_a_name_means_the_same_in_every_benchmark() -> None:
    said: dict[tuple[str, str], object] = {}
    for words in (SCORE_WORDS, TRAINING_WORDS, *(benchmark.words for benchmark in BENCHMARKS.values())):
        for part in ("families", "kinds", "notes", "special"):
            for name, value in getattr(words, part).items():
                if value is not None:
                    assert said.setdefault((part, name), value) == value
