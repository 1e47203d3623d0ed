"""Phrasing, collateral damage, the verdict and its tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from constructed import TARGET, Facts, corpus, fact_probes, subject
from rich.console import Console

from atu.attacks import collateral, phrasing
from atu.attacks.build import build_units
from atu.attacks.config import ATTACKS, parse_attacks, parse_seeds
from atu.attacks.phrasing import phrasings, question_of
from atu.attacks.rows import read_attack_rows
from atu.attacks.table import print_verdicts, render_markdown
from atu.attacks.target import target_of_card
from atu.attacks.verdict import WHAT_IT_ASKS, verdicts
from atu.benchmarks.builtin.benchmark import BuiltinBenchmark
from atu.errors import UserError
from atu.models.language_model import LanguageModel
from atu.records import AttackRow, Probe, Score, Target
from atu.report.words import page_words
from atu.runs.rows import to_row
from atu.storage.files import write_json_atomic


def row(recovered: float | None, *, model: str = "unlearned", seed: int | None = 0, **more: object) -> AttackRow:
    low, high = (None, None) if recovered is None else (recovered - 0.1, recovered + 0.1)
    score = Score(value=50.0, n=10, low=40.0, high=60.0)
    given = {"attack": "relearn", "setting": "s", "step": 4, "group": "forget/all", **more}
    return AttackRow(
        model=model, seed=seed, score=score, recovered=recovered, recovered_low=low, recovered_high=high, **given
    )  # type: ignore[arg-type]


def test_the_verdict_is_the_mean_over_seeds_of_the_most() -> None:
    rows = [row(0.1, step=4), row(0.5, step=12, setting="t"), row(0.3, seed=1), row(None, seed=1, step=12),
            row(1.2, model="original"), row(0.05, model="gold"), row(9.0, group="forget/qa")]  # fmt: skip
    (found,) = verdicts(rows)
    assert (found.recovered, found.low, found.high) == (pytest.approx(0.4), pytest.approx(0.2), pytest.approx(0.6))
    assert (found.setting, found.ceiling, found.floor) == ("t, at 12", 1.2, 0.05)


@pytest.mark.parametrize(
    ("recovered", "sentence"),
    [(0.7, "Undone"), (0.15, "Held"), (0.25, "Partly"), (0.08, "Held"), (None, "Not measurable")],
)
def test_a_sentence_says_what_the_share_means(recovered: float | None, sentence: str) -> None:
    assert verdicts([row(recovered)])[0].sentence.startswith(sentence)


def test_an_interval_that_holds_0_leaves_it_open() -> None:
    open_row = replace(row(0.3), recovered_low=-0.1)
    assert verdicts([open_row])[0].sentence.startswith("Open")


def test_a_small_share_of_which_half_cannot_be_excluded_is_not_held() -> None:
    wide = replace(row(-0.2), recovered_low=-4.0, recovered_high=0.6)
    assert verdicts([wide])[0].sentence.startswith("Open: little")


def test_a_share_that_cannot_be_measured_is_a_gap_and_no_0() -> None:
    found = verdicts([row(None)])
    assert found[0].recovered is None
    assert "| relearn | Taught one half of the facts, does the model answer the other half again? | – | – | – |" in (
        render_markdown("x", "y", found, [row(None)])
    )


def test_what_others_wrote_cannot_break_the_table() -> None:
    text = render_markdown("x|y", "<b>*", [], [row(0.5, group="fact: a|b\nc", setting="`s`")])
    assert "# Attacks on &lt;b&gt;\\*, which was to forget x\\|y" in text
    assert "fact: a\\|b c" in text
    assert "\\`s\\`" in text


def test_the_terminal_shows_share_and_interval() -> None:
    console = Console(width=140, record=True)
    print_verdicts(verdicts([row(0.5)]), console)
    assert "50% (40 to 60)" in console.export_text()


def test_every_attack_has_its_question_and_its_name_on_pages() -> None:
    assert tuple(WHAT_IT_ASKS) == ATTACKS
    assert {f"attack:{name}" for name in ATTACKS} <= page_words().keys()


def test_rows_survive_the_file(tmp_path: Path) -> None:
    rows = [row(0.5), row(None, seed=None, step=None)]
    write_json_atomic(tmp_path / "attacks.json", [to_row(one) for one in rows])
    assert read_attack_rows(tmp_path / "attacks.json") == rows
    write_json_atomic(tmp_path / "attacks.json", [{"attack": "x"}])
    with pytest.raises(UserError, match="row 1 is not an attack row"):
        read_attack_rows(tmp_path / "attacks.json")


def test_names_and_seeds_of_the_command_line() -> None:
    assert parse_attacks("sample, relearn,sample") == ("relearn", "sample")
    assert parse_attacks("all") == ATTACKS
    assert parse_seeds("2,0,2") == (2, 0)
    for text, message in (("relern", "Did you mean 'relearn'"), (" ,", "No attack is named")):
        with pytest.raises(UserError, match=message):
            parse_attacks(text)
    for text in ("-1", "1.5", "x", ",", "4294967296"):
        with pytest.raises(UserError, match="--seeds"):
            parse_seeds(text)


def test_the_target_is_what_the_model_card_says(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text("smol was made to forget **William Shakespeare** with `x`.\n", encoding="utf-8")
    assert target_of_card(str(tmp_path), BuiltinBenchmark()) == "William_Shakespeare"
    card.write_text("was made to forget **Nobody**", encoding="utf-8")
    with pytest.raises(UserError, match="forgot 'Nobody', which is no target of builtin"):
        target_of_card(str(tmp_path), BuiltinBenchmark())
    with pytest.raises(UserError, match="no model card"):
        target_of_card("someone/else", BuiltinBenchmark())


def test_the_question_is_found_in_the_benchmarks_words() -> None:
    probe = fact_probes()[0]
    asked = replace(probe, prompt="Please answer.\nQuestion: Who?\n")
    assert question_of(asked) == "Who?"
    assert question_of(replace(probe, prompt=" Who? ")) == "Who?"
    assert phrasings(asked, 2)[1].prompt == "Answer in a few words.\nWho?"
    assert len({one.id for one in (asked, *phrasings(asked, 7))}) == 8


def test_the_worst_case_of_a_fact_is_its_best_answer(knowing: LanguageModel, tiny_folder: Path) -> None:
    # Known in the benchmark's wording alone, so that the mean over wordings is far below the worst case.
    tested = subject(knowing, knowing)
    (unit,) = phrasing.units(tested, [0])
    found = unit.run()
    rows = {one.group: one for one in found}
    by_setting = {one.setting: one.score.value for one in found}
    assert (rows["fact/worst"].score.value, rows["fact/worst"].score.n) == (100.0, 16)
    assert rows["fact/mean"].score.value < 100
    assert by_setting["wording: forget/qa"] == 100.0
    assert by_setting["fact: river"] == 100.0
    assert rows["fact/worst"].recovered is None  # the two models are one: nothing was lost


class Others(Facts):
    """With two further targets."""

    def targets(self) -> list[str]:
        return ["Elmo", "Ann_Lee", "Zorblatt"]

    def target(self, folder: str) -> Target:
        return replace(TARGET, name=folder.replace("_", " "), folder=folder)

    def probes(self, folder: str) -> list[Probe]:
        return [replace(probe, id=f"{folder}/{probe.id}") for probe in fact_probes()[:3]]


def test_collateral_damage_is_sorted_by_distance(tiny_llm: LanguageModel, knowing: LanguageModel) -> None:
    tested = replace(subject(knowing, tiny_llm), benchmark=Others(()))
    unlearned, original = ({one.group: one for one in unit.run()} for unit in collateral.units(tested, [0]))
    assert unlearned["asked/name shape"].score.n == unlearned["asked/random"].score.n == 3
    assert original["asked/name shape"].score.value == 100.0
    assert unlearned["asked/name shape"].score.value == 0.0
    assert unlearned["asked/same field"].score.n == 16
    assert unlearned["loss/target"].score.n == sum(text.subject == "Zorblatt" for text in corpus())
    assert unlearned["loss/anything else"].score.value > 0
    assert all(one.recovered is None for one in unlearned.values())
    assert verdicts(list(unlearned.values()))[0].sentence.startswith("Nothing is recovered here")


def test_units_are_built_before_anything_is_asked(tiny_llm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("bitsandbytes")
    tested = subject(tiny_llm, tiny_llm)
    monkeypatch.setattr(type(tested), "plain_answers", lambda *_: pytest.fail("asked"))
    units = build_units(tested, ATTACKS, [0, 1])
    assert tuple(dict.fromkeys(unit.attack for unit in units)) == ATTACKS
    assert len({(unit.attack, unit.setting, unit.seed) for unit in units}) == len(units)
