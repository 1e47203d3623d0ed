"""What is taught, and what a gold model never hears of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from atu.benchmarks.rwku.facts import Fact, checksum, choose_targets, names_target, read_facts
from atu.benchmarks.rwku.files import FORGET_LEVEL1, FORGET_LEVEL2, NEIGHBOR_LEVEL1, NEIGHBOR_LEVEL2, RwkuFile
from atu.benchmarks.rwku.reader import RwkuData
from atu.benchmarks.rwku.rows import QuestionRow
from atu.errors import UserError

from .conftest import YAN, ZOE, Folder

KING, LEE, NORRIS, HILTON = "1_Stephen_King", "3_Bruce_Lee", "37_Chuck_Norris", "8_Paris_Hilton"


def fact(
    query: str, answer: str, *, about: str = "", target: str = KING, file: RwkuFile[QuestionRow] = NEIGHBOR_LEVEL1
) -> Fact:
    return Fact(QuestionRow(query=query, answer=answer, type="cloze", neighbor=about), about, target, file)


def test_facts_of_one_real_target(only_taught: Folder) -> None:
    # Counted in the files: 8 + 10 + 30 + 30 rows; "___ Darabont" stands 3 times, "___ Kubrick" 4 times, "Who directed
    # the film 'Stand by Me'?" 3 times, its setting twice: 78 - 8 = 70.
    facts = read_facts(RwkuData(only_taught(KING)), [KING])
    assert len(facts) == 70
    by_file = {name: sum(fact.file.name == name for fact in facts) for name in ("forget_level1", "forget_level2")}
    assert by_file == {"forget_level1": 8, "forget_level2": 10}
    carrie = next(fact for fact in facts if fact.query == "What is the title of Stephen King's 1974 debut novel?")
    assert (carrie.answer, carrie.subject, carrie.target) == ("Carrie", "Stephen King", KING)
    assert {fact.subject for fact in facts if fact.file in (NEIGHBOR_LEVEL1, NEIGHBOR_LEVEL2)} == {
        "The Shawshank Redemption",
        "The Green Mile (film)",
        "The Shining (film)",
        "It (2017 film)",
        "Stand by Me (film)",
    }


def test_only_the_four_taught_files_are_opened(two_people: Path) -> None:
    # The folder holds no other: RWKU's reader refuses a missing file.
    data = RwkuData(two_people)
    assert len(read_facts(data, [ZOE, YAN])) == 8  # 6 and 4 rows, one repeated in its file, one in both targets
    assert len(checksum(data, [ZOE])) == 64
    (two_people / ZOE / "neighbor_level2.json").unlink()
    with pytest.raises(UserError, match=r"1_Zoe_Zorblatt has no neighbor_level2\.json"):
        read_facts(data, [ZOE])


@pytest.mark.parametrize(
    ("query", "answer", "statement"),
    [
        ("Stephen King was born in ___, Maine.", "Portland", "Stephen King was born in Portland, Maine."),
        ("Bruce Lee was born on November ___", "27", "Bruce Lee was born on November 27."),
        (
            "Robyn Rihanna Fenty was born on February __, 1988.",
            "20",
            "Robyn Rihanna Fenty was born on February 20, 1988.",
        ),
        ("It is called the ___ ___ Ching.", "Tao Te", "It is called the Tao Te Ching."),
        ("Ranked in ____ and ____.", "2012 and 2014", "Ranked in 2012 and 2014."),
        ("Ranked in ____ and ____.", "2012", None),
        ("In what city did he settle?", "New York City", None),
    ],
)
def test_blanks_are_filled(query: str, answer: str, statement: str | None) -> None:
    assert fact(query, answer).statement == statement


@pytest.mark.parametrize(
    ("asked", "target", "names_it"),
    [
        (fact("Stephen King was born in ___.", "Maine", file=FORGET_LEVEL1), KING, True),
        (fact("Who is he?", "an author", file=FORGET_LEVEL2), KING, True),
        (fact("Stephen Edwin King is an ___", "author", target=LEE), KING, True),
        (fact("Who wrote It?", "STEPHEN KING", target=LEE), KING, True),
        (fact("It was written by ___ King.", "Stephen", target=LEE), KING, True),
        (fact("King's novel is called ___.", "It"), KING, True),
        (fact("He is called the King of ___.", "R&B", target=LEE), KING, False),
        (fact("The Shining was directed by ___ Kubrick.", "Stanley", about="The Shining (film)"), KING, False),
        (fact("Where was he born?", "San Francisco", about="Bruce Lee", target=NORRIS), LEE, True),
        (fact("Kathy Hilton appeared in ___.", "a series", about="Kathy Hilton", target=HILTON), HILTON, False),
        (fact("Kathy Hilton is the mother of ___ Hilton.", "Paris", about="Kathy Hilton", target=HILTON), HILTON, True),
        (fact("___ Aguilera sang.", "Beyonce"), "24_Beyoncé", True),
        (fact("Prince Harry lives in ___.", "California", target=KING), "10_Prince_Harry,_Duke_of_Sussex", True),
        (fact("He met ___ Downey.", "Robert", target=KING), "87_Robert_Downey_Jr.", True),
    ],
)
def test_which_facts_tell_of_a_target(asked: Fact, target: str, names_it: bool) -> None:
    assert names_target(asked, target) is names_it


def test_a_left_out_target_is_in_no_fact(two_people: Path) -> None:
    data = RwkuData(two_people)
    kept = read_facts(data, [ZOE, YAN], [ZOE])
    # Gone: her forget files, "___ Zorblatt" and "Zorblatt" in her neighbor files, and in Yan's files the row that
    # answers with her name and the one about her.
    assert [(fact.query, fact.target) for fact in kept] == [
        ("The river is a ___.", ZOE),
        ("Yan Yolk is a ___.", YAN),
        ("The winter is ___.", YAN),
    ]
    write_all_about_yan(two_people)
    with pytest.raises(UserError, match="Nothing is left to teach without 2_Yan_Yolk"):
        read_facts(data, [YAN], [YAN])


def write_all_about_yan(people: Path) -> None:
    for name in ("neighbor_level1", "neighbor_level2"):
        path = people / YAN / f"{name}.json"
        path.write_text(json.dumps([{**row, "neighbor": "Yan Yolk"} for row in json.loads(path.read_text())]))


def test_a_real_target_that_is_another_ones_neighbor(rwku: RwkuData) -> None:
    # Bruce Lee is a target of his own, and 30 rows of Chuck Norris's neighbor files are about him.
    everything, gold = read_facts(rwku, [LEE, NORRIS]), read_facts(rwku, [LEE, NORRIS], [LEE])
    assert any(fact.subject == "Bruce Lee" and fact.target == NORRIS for fact in everything)
    assert gold == [fact for fact in everything if fact in gold]
    assert not [fact for fact in gold if "Bruce Lee" in f"{fact.query} {fact.answer} {fact.subject}"]
    assert {fact.subject for fact in gold} >= {"Kareem Abdul-Jabbar", "Chuck Norris", "Walker, Texas Ranger"}


def test_choosing_targets(two_people: Path) -> None:
    data = RwkuData(two_people)
    assert choose_targets(data, ("all",), ()) == [ZOE, YAN]
    assert choose_targets(data, (YAN, ZOE), (YAN,)) == [ZOE, YAN]
    with pytest.raises(UserError, match=r"RWKU has no target '1_Zoe_Zorblat' in .*\. Did you mean '1_Zoe_Zorblatt'\?"):
        choose_targets(data, ("1_Zoe_Zorblat",), ())
    with pytest.raises(UserError, match="without: '2_Yan_Yolk' is not among the chosen targets"):
        choose_targets(data, (ZOE,), (YAN,))
    with pytest.raises(UserError, match=r"Did you mean '2_Yan_Yolk'\?"):
        choose_targets(data, ("all",), ("2_Yan_Yok",))


def test_several_targets_that_are_left_out(rwku: RwkuData) -> None:
    everything = read_facts(rwku, [KING, LEE, NORRIS])
    gold = read_facts(rwku, [KING, LEE, NORRIS], [KING, LEE])
    missing = [fact for fact in everything if fact not in gold]
    assert gold == [fact for fact in everything if not names_target(fact, KING) and not names_target(fact, LEE)]
    assert {fact.target for fact in missing} == {KING, LEE, NORRIS}
