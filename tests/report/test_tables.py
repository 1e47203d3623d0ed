"""The comparison table and the paired comparison, with numbers computed by hand."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scored_runs import Curve, points, record

from atu.errors import UserError
from atu.records import RunRecord
from atu.report.collect import Collection
from atu.report.exchange import read_runs
from atu.report.selection import Rule, parse_rule
from atu.report.study import Study, build_study, hook_layer, refuse_repeats
from atu.report.table_formats import as_csv, as_latex, as_markdown
from atu.report.tables import PAIRED_SCORES, Table, aggregate_table, paired_table, run_table

ATU, GA, NPO = "unlearning_atu", "unlearning_ga", "unlearning_npo"
FIXED = [
    *("METHOD", "FORGET_FB", "FORGET_QA", "FORGET_AA", "FORGET_ALL", "NEIGHBOR_QA", "NEIGHBOR_FB", "NEIGHBOR_ALL"),
    *("UTILITY_MMLU", "UTILITY_BBH", "UTILITY_TRUTHFUL", "UTILITY_TRIVIA", "UTILITY_FLUENCY"),
    *("MIA_FM", "MIA_RT", "MIA_AUC_LOSS"),
]
LAST = Rule(kind="last")


def study(runs: Sequence[RunRecord], rule: Rule = LAST, **names: str) -> Study:
    return build_study(Collection(runs=tuple(runs)), rule=rule, scoring="corrected", names=names)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def labels(table: Table) -> list[str]:
    return list(table.values["METHOD"])


def means(runs: Sequence[RunRecord], rule: Rule = LAST) -> dict[str, dict[str, str]]:
    return {row["METHOD"]: row for row in read(as_csv(aggregate_table(study(runs, rule))))}


def test_the_columns_stand_in_the_order_of_the_paper_and_a_missing_value_is_a_gap() -> None:
    text = as_csv(run_table(study([record([{"forget/fb": 80}, {"forget/fb": 36.3}])])))
    assert text.splitlines()[0].split(",")[:16] == FIXED
    before, after = read(text)
    assert (before["METHOD"], before["FORGET_FB"], before["STAGE"]) == ("before", "80", "before")
    assert (after["METHOD"], after["FORGET_FB"], after["STAGE"]) == ("ATU", "36.3", "01-unlearn")
    assert after["UTILITY_MMLU"] == after["FORGET_ALL"] == after["MIA_FM"] == ""
    assert (after["SCORING"], after["STAGE_RULE"]) == ("corrected", "last stage of every run")


def test_general_questions_of_another_benchmark_are_not_called_mmlu() -> None:
    rows = read(as_csv(run_table(study([record(points((80, 90), (20, 60)), benchmark="builtin")]))))
    assert [row["UTILITY_MMLU"] for row in rows] == ["", ""]
    assert [row["UTILITY_GENERAL"] for row in rows] == ["80", "80"]
    rows = read(as_csv(run_table(study([record(points((80, 90), (20, 60)))]))))
    assert rows[1]["UTILITY_MMLU"] == "80"
    assert "UTILITY_GENERAL" not in rows[1]


def test_runs_of_one_method_are_told_apart_by_what_differs() -> None:
    curve = points((80, 90), (20, 60))
    table = run_table(study([record(curve, seed=s, target=t) for s in (0, 1) for t in "AB"]))
    assert labels(table) == ["before (A)", "before (B)", *(f"ATU ({t}, seed {s})" for t in "AB" for s in (0, 1))]


def test_runs_of_the_same_name_are_both_listed() -> None:
    first, second = record(points((80, 90), (20, 60)), name="a/x"), record(points((80, 90), (10, 60)), name="b/x")
    assert labels(run_table(study([first, second]))) == ["before", "ATU (a/x)", "ATU (b/x)"]


def test_means_over_targets_count_each_target_once() -> None:
    # A: seeds 10 and 30, so 20. B: 60. Mean (20 + 60) / 2 = 40; standard error 20, t(0.975, 1) = 12.7062.
    runs = [
        record(points((80, 90), (f, 60)), target=t, seed=s) for t, s, f in (("A", 0, 10), ("A", 1, 30), ("B", 0, 60))
    ]
    row = means(runs)["ATU"]
    assert (row["FORGET_ALL"], row["N_TARGETS"], row["N_RUNS"]) == ("40", "2", "3")
    assert float(row["FORGET_ALL_HIGH"]) == pytest.approx(40 + 20 * 12.7062, abs=1e-3)
    assert (row["FORGET_FB"], row["FORGET_FB_N"]) == ("", "0")


def test_one_target_has_no_interval() -> None:
    row = means([record(points((80, 90), (20, 60)))])["ATU"]
    assert (row["FORGET_ALL"], row["FORGET_ALL_LOW"], row["FORGET_ALL_N"]) == ("20", "", "1")


def test_missing_targets_are_named() -> None:
    curve = points((80, 90), (20, 60))
    runs = [record(curve, ATU, "A"), record(curve, ATU, "B"), record(curve, GA, "B")]
    table = aggregate_table(study(runs))
    assert means(runs)["GA + retain KL"]["MISSING_TARGETS"] == "A"
    assert "GA + retain KL has no run of A: its means are over other targets" in table.notes
    assert "GA + retain KL has no run of A" in as_markdown(table)
    assert "% GA + retain KL has no run of A" in as_latex(table)


def test_matched_forgetting_in_a_mean_takes_only_targets_that_all_seeds_reached() -> None:
    # A is reached by both seeds, at neighbor 70 and 80; B by one of two. Their mean is A's 75, from one target.
    curves: list[tuple[str, int, Curve]] = [
        ("A", 0, points((80, 90), (40, 70))),
        ("A", 1, points((80, 90), (40, 80))),
        ("B", 0, points((80, 90), (40, 10))),
        ("B", 1, points((80, 90), (60, 85))),
    ]
    runs = [record(curve, target=target, seed=seed) for target, seed, curve in curves]
    rule = parse_rule("matched:0.5")
    row = means(runs, rule)["ATU"]
    assert (row["NEIGHBOR_ALL"], row["NEIGHBOR_ALL_N"], row["N_TARGETS"]) == ("75", "1", "2")
    table = aggregate_table(study(runs, rule))
    assert "unlearning_atu-B-seed1 has no point to show: never at 50% of before; lowest 75%" in table.notes
    assert "75.0 (n=1)" in as_markdown(table)


def test_best_of_one_method_gives_the_best_of_all() -> None:
    # The last stage of either one is worse than the first.
    runs = [record(points((80, 90), (40, 80), (20, 30)), ATU), record(points((80, 90), (50, 70), (10, 5)), GA)]
    table = run_table(study(runs, parse_rule(f"best:{ATU}")))
    assert list(table.values["FORGET_ALL"])[1:] == [40, 50]
    assert "given to all alike" in table.title
    with pytest.raises(UserError, match="There is no method 'unlearning_rmu'"):
        study(runs, parse_rule("best:unlearning_rmu"))


@pytest.mark.parametrize(
    ("objective", "stages", "layer"),
    [
        ({"embedding": "redirect", "token": "distill"}, ["training", "unlearning"], 0.8),  # as recorded before
        ({"embedding": "none", "token": "npo"}, ["unlearning"], None),
        ({"redirect": {"weight": 1.0}}, ["training", "unlearning"], 0.8),
        ({"npo": {"weight": 1.0}}, ["unlearning"], None),
    ],
)
def test_a_method_has_a_hook_layer_where_it_has_a_predictor(
    objective: dict[str, Any], stages: list[str], layer: float | None
) -> None:
    run = record(points((80, 90), (30, 60)), objective=objective, stages=[{"type": stage} for stage in stages])
    assert hook_layer(run) == layer


def test_hook_layers_of_a_method_are_not_mixed() -> None:
    runs = [record(points((80, 90), (f, 60)), layer=layer, name=str(layer)) for layer, f in ((0.4, 30), (0.8, 20))]
    assert {name: row["FORGET_ALL"] for name, row in means(runs).items()} == {
        "before": "80",
        "ATU, layer 0.4": "30",
        "ATU, layer 0.8": "20",
    }


def test_models_are_not_mixed() -> None:
    runs = [record(points((80, 90), (f, 60)), model=model, name=model) for model, f in (("big", 30), ("small", 20))]
    assert list(means(runs)) == ["before, big", "before, small", "ATU, big", "ATU, small"]


def test_a_mean_over_unequal_runs_says_so() -> None:
    curve = points((80, 90), (20, 60))
    runs = [record(curve, target="A", training={"lr": 1}), record(curve, target="B", training={"lr": 2})]
    assert "ATU: its runs differ in task.training.lr" in aggregate_table(study(runs)).notes


def test_two_runs_of_one_target_and_seed_cannot_be_in_a_mean() -> None:
    curve = points((80, 90), (20, 60))
    with pytest.raises(UserError, match=r"two runs of the same target and seed, runs/a and runs/b.*--run_ids"):
        refuse_repeats(study([record(curve, name="a"), record(curve, name="b")]))


def test_a_run_that_is_not_done_is_left_out_and_named() -> None:
    curve = points((80, 90), (20, 60))
    table = run_table(study([record(curve), record(curve, GA, state="running")]))
    assert labels(table) == ["before", "ATU"]
    assert table.notes == (
        "unlearning_ga-Japan-seed0 is left out: it is not done (running), so its last stage is not its end",
    )
    with pytest.raises(UserError, match=r"There is no finished run to show\. unlearning_ga-Japan-seed0 is left out"):
        study([record(curve, GA, state="failed")])


def test_a_level_that_no_run_reaches_is_refused() -> None:
    with pytest.raises(UserError, match=r"No run has a point to show .*: never at 10% of before; lowest 25%"):
        study([record(points((80, 90), (20, 60)))], parse_rule("matched:0.1"))


def test_a_scoring_that_no_run_has_is_refused() -> None:
    with pytest.raises(UserError, match="it has no released scores"):
        build_study(Collection(runs=(record(points((8, 9), (2, 6))),)), rule=LAST, scoring="released", names={})


def test_numbers_of_which_the_scoring_is_not_stated_are_not_called_corrected(tmp_path: Path) -> None:
    entries = {
        name: {"metrics": {"forget/all": 20}, "config": {"scoring": s} if s else {}}
        for name, s in (("A", "corrected"), ("B", ""))
    }
    (tmp_path / "r.json").write_text(json.dumps(entries))
    runs = read_runs(tmp_path / "r.json")
    assert run_table(study(runs)).title.startswith("Scoring: corrected; not stated for B. ")
    assert run_table(study(runs[1:])).title.startswith("Scoring: not stated by the file. ")


def test_names_of_the_user() -> None:
    curve = points((80, 90), (20, 60))
    assert labels(run_table(study([record(curve)], **{ATU: "ATU (ours)"}))) == ["before", "ATU (ours)"]
    with pytest.raises(UserError, match=r"method_names has 'unlearning_at', which no run is of. Did you mean"):
        study([record(curve)], unlearning_at="x")
    with pytest.raises(UserError, match="would both be called 'x'"):
        study([record(curve), record(curve, GA)], **{ATU: "x", GA: "x"})


# Both methods start at forget 80 and pass half of it, 40, with these neighbor scores:
#   target   ours                              GA
#   A        exactly at a stage: 70            exactly: 50             difference 20
#   B        between 60 (80) and 20 (60): 70   exactly: 60             difference 10
#   C        never                             exactly: 10             not compared
PAIRED = [
    record(points((80, 90), (40, 70)), ATU, "A"),
    record(points((80, 90), (60, 80), (20, 60)), ATU, "B"),
    record(points((80, 90), (60, 80)), ATU, "C"),
    record(points((80, 90), (40, 50)), GA, "A"),
    record(points((80, 90), (40, 60)), GA, "B"),
    record(points((80, 90), (40, 10)), GA, "C"),
]


def test_paired_comparison_at_matched_forgetting() -> None:
    rows = read(as_csv(paired_table(study(PAIRED, parse_rule("matched:0.5")))))
    assert {(row["METHOD_A"], row["METHOD_B"]) for row in rows} == {("ATU", "GA + retain KL")}
    assert [(row["SCORE"], row["TARGET"]) for row in rows] == [
        (score, target) for score in ("neighbor/all", "utility/gen") for target in ("A", "B", "(mean)")
    ]
    first, second, mean, *_, utility = rows
    assert (first["A"], first["B"], first["DIFFERENCE"]) == ("70", "50", "20")
    assert (second["A"], second["B"], second["DIFFERENCE"]) == ("70", "60", "10")
    assert (mean["A"], mean["DIFFERENCE"], mean["LOW"], mean["HIGH"]) == ("", "15", "10", "20")
    assert (mean["WILCOXON_P"], mean["N_TARGETS"], utility["DIFFERENCE"]) == ("0.5", "2", "0")


def test_paired_comparison_without_a_level_takes_a_third() -> None:
    # ours on A stays above a third of 80; only B is left, and GA never gets there.
    row, _ = read(as_csv(paired_table(study(PAIRED))))
    assert (row["TARGET"], row["DIFFERENCE"], row["N_TARGETS"]) == ("(mean)", "", "0")


def test_probabilities_stand_behind_the_others_where_a_run_has_them() -> None:
    """A run from before p was measured has a gap; the two that have it are compared at matched forgetting."""

    def curve(*values: tuple[float, float, float]) -> Curve:
        return [{**points((forget, neighbor))[0], "p/neighbor@known": p} for forget, neighbor, p in values]

    ours, other = curve((80, 90, 0.6), (40, 70, 0.5)), curve((80, 90, 0.6), (20, 50, 0.4))
    runs = [record(ours, ATU, "A"), record(other, GA, "A"), record(points((80, 90), (40, 70)), NPO, "A")]
    rows = read(as_csv(run_table(study(runs))))
    assert [row["P_NEIGHBOR"] for row in rows] == ["0.6", "0.5", "0.4", ""]
    assert "P_FORGET" not in rows[0]
    assert "P_NEIGHBOR ↑" in as_markdown(run_table(study(runs)))
    # Half of before is two thirds of the way for GA: 0.6 - 2/3 of 0.2.
    paired = [row for row in read(as_csv(paired_table(study(runs, parse_rule("matched:0.5"))))) if row["TARGET"] == "A"]
    found = {(row["METHOD_A"], row["METHOD_B"]): row for row in paired if row["SCORE"] == "p/neighbor@known"}
    assert found.keys() == {("ATU", "GA + retain KL")}
    assert float(found["ATU", "GA + retain KL"]["DIFFERENCE"]) == pytest.approx(0.5 - (0.6 - 2 / 3 * 0.2))


def test_paired_comparison_for_people() -> None:
    assert (
        "| ATU | GA + retain KL | Neighbor · all questions ↑ | +15.0 | +10.0 to +20.0 | 0.500 | 2 | A +20.0, B +10.0 |"
        in as_markdown(paired_table(study(PAIRED, parse_rule("matched:0.5"))))
    )


def test_a_paired_comparison_of_one_method_says_that_it_needs_two() -> None:
    table = paired_table(study(PAIRED[:3]))
    assert as_markdown(table).endswith("\n\n- a comparison needs two methods\n")
    assert as_csv(table).startswith("METHOD_A,METHOD_B,SCORE,TARGET,")


@pytest.mark.parametrize(
    ("label", "markdown", "latex"),
    [
        ("A_B & 50%", "A_B & 50%", r"A\_B \& 50\%"),
        ("<b>|x", "&lt;b&gt;\\|x", r"\textless{}b\textgreater{}\textbar{}x"),
        ("a\\b{$}", "a\\\\b{\\$}", r"a\textbackslash{}b\{\$\}"),
        ("[x]\n\\input{y}", "\\[x\\] \\\\input{y}", r"{[}x] \textbackslash{}input\{y\}"),
    ],
)
def test_labels_are_escaped(label: str, markdown: str, latex: str) -> None:
    table = run_table(study([record(points((80, 90), (20, 60)))], **{ATU: label}))
    assert f"| {markdown} |" in as_markdown(table)
    assert f"\n{latex} & " in as_latex(table)


def test_markdown_has_directions_rule_and_gaps() -> None:
    full, bare = record(points((80, 90), (20, 60))), record(points((80, 90), (30, 50)), GA)
    for stage in bare.stages["corrected"]:
        del stage.scores["utility/gen"]
    lines = as_markdown(run_table(study([full, bare]))).splitlines()
    assert lines[0] == "Scoring: corrected. Shown: last stage of every run."
    assert lines[2] == "| METHOD | FORGET_ALL ↓ | NEIGHBOR_ALL ↑ | UTILITY_MMLU ↑ |"
    assert lines[5] == "| ATU | 20.0 | 60.0 | 80.0 |"
    assert lines[6].endswith("| 30.0 | 50.0 | – |")


def test_columns_without_a_number_stand_in_csv_alone() -> None:
    runs = study([record(points((80, 90), (20, 60)))])
    for table in (run_table(runs), aggregate_table(runs)):
        assert "MIA_FM" in table.values
        assert not [heading for heading in table.shown if heading.startswith("MIA")]


def test_a_pair_that_meets_nowhere_is_a_note_and_no_row_of_dashes() -> None:
    never, deep = record(points((80, 90), (79, 90))), record(points((80, 90), (10, 60)), GA)
    table = paired_table(study([never, deep]))
    assert table.shown.empty
    assert len(table.notes) == len(PAIRED_SCORES)
    assert all("no target has" in note for note in table.notes)
    assert list(table.values["N_TARGETS"]) == [0] * len(PAIRED_SCORES)


def test_latex_has_as_many_cells_as_columns() -> None:
    for table in (run_table(study(PAIRED)), aggregate_table(study(PAIRED))):
        text = as_latex(table)
        (spec,) = (line for line in text.splitlines() if line.startswith(r"\begin{tabular}"))
        columns = spec.removeprefix(r"\begin{tabular}{").removesuffix("}")
        rows = [line for line in text.splitlines() if line.endswith(r" \\")]
        assert len(rows) == len(table.lines)
        assert {line.count(" & ") + 1 for line in rows} == {len(columns)}
        assert r"\toprule" in text


HOSTILE = "=1+1\n\\input{secret} | <b>\x1b[31m"


def test_names_of_runs_and_targets_are_escaped_in_every_file() -> None:
    """A name is whatever its writer wanted; LaTeX would read a file, a spreadsheet compute, a terminal obey."""
    curve = points((80, 90), (40, 60), (20, 50))
    runs = [record(curve, method, HOSTILE, name=HOSTILE, seed=seed) for method in (ATU, GA) for seed in (0, 1)]
    for table in (run_table(study(runs)), aggregate_table(study(runs))):
        rows = list(csv.reader(io.StringIO(as_csv(table), newline="")))
        assert {len(row) for row in rows} == {len(rows[0])}
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t", "\r"))]
        text = as_latex(table)
        assert r"\input" not in text
        assert [line for line in text.splitlines() if "secret" in line and not line.startswith(("%", r"\caption"))] == [
            line for line in text.splitlines() if line.endswith(r" \\") and "secret" in line
        ]
        lines = as_markdown(table).splitlines()
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")} == {
            len(table.shown.columns) + 1
        }
        assert "<b>" not in as_markdown(table)
        assert not re.search(r"[\x00-\x09\x0b-\x1f]", as_csv(table) + text + as_markdown(table))
    paired = list(csv.reader(io.StringIO(as_csv(paired_table(study(runs))), newline="")))
    assert {len(row) for row in paired} == {11}
    assert {row[3][:2] for row in paired[1:]} == {"'=", "(m"}
