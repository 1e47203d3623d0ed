"""Answers of our evaluator beside the released evaluator's rows, by the tolerances of golden/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from atu.records import Answer, Probe

DATA_FILES = {"mmlu": "retain_mmlu", "bbh": "retain_bbh"}
NAMES = (
    "forget_level1",
    "forget_level2",
    "forget_level3",
    "neighbor_level1",
    "neighbor_level2",
    "mmlu",
    "bbh",
    "truthful",
    "triviaqa",
    "forget_mia",
    "retain_mia",
    "fluency",
)
NEAR_TIE = 1e-3
"""Below this gap of the two best logits the library's version decides, and a completion may differ."""
_SCORES = {"bbh": "em_released", "triviaqa": "f1", "fluency": "score", "truthful": "mc1"}

Row = dict[str, Any]


@dataclass
class Agreement:
    """What one golden file says of our answers to its rows."""

    rows: int = 0
    same_text: int = 0
    near_ties: int = 0
    """Texts that differ where the two best tokens were nearly equal."""
    worst: float = 0.0
    """Greatest difference of a number."""
    faults: list[str] = field(default_factory=list)

    def number(self, where: str, found: float, expected: float, tolerance: float) -> None:
        difference = abs(found - expected)
        self.worst = max(self.worst, difference)
        if not difference <= tolerance:
            self.faults.append(f"{where}: {found} instead of {expected}")


def probe_id(target: str, name: str, row: Row) -> str:
    return f"rwku/{target}/{DATA_FILES.get(name, name)}/{row['row']}"


def golden_probes(probes: Sequence[Probe], target: str, golden: Mapping[str, Sequence[Row]]) -> list[Probe]:
    """The probes that the golden rows are about, in the order of the benchmark."""
    asked = {probe_id(target, name, row) for name, rows in golden.items() for row in rows}
    return [probe for probe in probes if probe.id in asked]


def compare(target: str, name: str, rows: Sequence[Row], answers: Mapping[str, Answer]) -> Agreement:
    """Answers (by probe id) of the released scoring against the rows of one golden file."""
    agreement = Agreement()
    for row in rows:
        answer = answers[probe_id(target, name, row)]
        agreement.rows += 1
        where = f"{name} {row['row']}"
        if name == "mmlu":
            _compare_letters(agreement, where, row, answer)
        elif name == "truthful":
            for number, choice in enumerate(row["choices"]):
                agreement.number(where, answer.values[f"logprob_{number}"], choice["logprob"], 1e-3)
            agreement.number(where, answer.score, row["mc1"], 0)
        elif name.endswith("_mia"):
            _compare_membership(agreement, where, row, answer)
        else:
            _compare_text(agreement, where, name, row, answer)
    return agreement


def _compare_letters(agreement: Agreement, where: str, row: Row, answer: Answer) -> None:
    for letter, expected in zip("ABCD", row["probs_abcd"], strict=True):
        agreement.number(where, answer.values[f"p_{letter}"], expected, 1e-5)
    agreement.number(where, answer.score, row["correct"], 0)


def _compare_membership(agreement: Agreement, where: str, row: Row, answer: Answer) -> None:
    agreement.number(where, answer.score, row["loss"], 1e-4)
    for name, value in row.items():
        if name.startswith("mink"):
            agreement.number(f"{where} {name}", answer.values[name], value, 1e-3 if "++" in name else 1e-4)


def _compare_text(agreement: Agreement, where: str, name: str, row: Row, answer: Answer) -> None:
    if answer.text == row["completion"]:
        agreement.same_text += 1
        agreement.number(where, answer.score, row[_SCORES.get(name, "rouge_l_r")], 1e-9)
    elif row["min_margin"] < NEAR_TIE:
        agreement.near_ties += 1
    else:
        agreement.faults.append(f"{where}: {answer.text!r} instead of {row['completion']!r}")
