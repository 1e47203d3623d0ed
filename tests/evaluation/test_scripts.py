"""Row scores of answers in scripts without spaces, with particles, with marks that are letters: the rules by hand."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atu.evaluation.scorers import (
    contains_any,
    first_line,
    is_guess,
    offered_options,
    recall_lcs,
    score_generate,
    settled_answer,
    token_f1,
)
from atu.evaluation.words import normalize
from atu.records import Probe


def score(prompt: str, references: tuple[str, ...], text: str) -> float:
    probe = Probe(id="p", group="forget/qa", kind="generate", prompt=prompt, references=references)
    return score_generate(probe, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ａｐｐｌｅ　１８８１", "apple 1881"),
        ("ｶﾞﾝﾀﾞﾑ", "ガンダム"),
        ("が か", "が か"),
        ("세종대왕", "세종대왕"),
        ("สุนทรภู่ (๒๓๒๙)", "สุนทรภู่ 2329"),
        ("हिन्दी की भाषा।", "हिन्दी की भाषा"),
        ("クッキー・モンスター", "クッキー モンスター"),
        ("Ёлка и Толстой", "елка и толстой"),  # й is a letter, ё is also written е
        ("Ἀθήνα", "αθηνα"),
        ("مُحَمَّد أحمد", "محمد احمد"),
        ("שָׁלוֹם", "שלום"),
    ],
)
def test_letters_are_folded_and_marks_that_are_letters_stay(text: str, expected: str) -> None:
    assert normalize(text) == unicodedata.normalize("NFC", expected)
    assert normalize(unicodedata.normalize("NFD", text)) == unicodedata.normalize("NFC", expected)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("鲁迅", "《狂人日记》的作者是鲁迅。"),
        ("鲁迅", "鲁迅，原名周樟寿，浙江绍兴人，著名文学家、思想家、革命家。"),
        ("鲁迅", "Lu Xun (鲁迅) wrote it"),
        ("Lu Xun", "是Lu Xun写的"),
        ("Lu Xun", "鲁迅（Ｌｕ Ｘｕｎ）"),
        ("1881", "他生于1881年9月25日"),
        ("１８８１年", "1881 年"),
        ("1881年", "鲁迅1881年生于绍兴"),
        ("夏目漱石", "『こころ』は夏目漱石が書いた。"),
        ("夏目漱石", "夏目 漱石です"),
        ("シェイクスピア", "ウィリアム・シェイクスピアです"),
        ("ハリー・ポッター", "ハリーポッターと賢者の石"),
        ("ｼｪｲｸｽﾋﾟｱ", "作者はシェイクスピアです"),
        ("สุนทรภู่", "ผู้แต่งพระอภัยมณีคือสุนทรภู่ครับ"),
        ("2329", "เกิดปี พ.ศ. ๒๓๒๙"),
        ("ວຽງຈັນ", "ນະຄອນຫຼວງແມ່ນວຽງຈັນ"),
        ("ភ្នំពេញ", "រាជធានីគឺភ្នំពេញ។"),
        ("နေပြည်တော်", "မြို့တော်မှာနေပြည်တော်ဖြစ်သည်။"),
        ("세종대왕", "한글은 세종대왕이 만들었다."),
        ("세종대왕", "세종 대왕입니다."),
        ("세종 대왕", "세종대왕은 조선의 왕이다."),
        ("서울", "대한민국의 수도는 서울특별시입니다."),
        ("김", "김은 성이다"),
        ("BTS", "BTS는 가수이다"),
        ("1446년", "1446년에 반포되었다"),
        ("प्रेमचंद", "गोदान के लेखक प्रेमचंद हैं।"),
        ("Толстой", "Это написал Лев Толстой."),
        ("Όμηρος", "ο ΌΜΗΡΟΣ έγραψε"),
        ("محمد", "هو مُحَمَّد، رسول"),
    ],
)
def test_a_name_is_found_in_a_sentence(reference: str, text: str) -> None:
    assert contains_any(text, [reference]) == 1.0
    assert score("?", (reference,), text) == 1.0


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("鲁迅", "作者是茅盾。"),
        ("东京", "他去过山东、京都。"),  # a mark stands between the letters
        ("ハムレット", "ハムレットマシーン"),
        ("ガン", "カン"),
        ("かき", "がき"),
        ("ภู", "สุนทรภู่"),  # half of a letter with its marks
        ("김", "김치입니다"),
        ("세종", "이세종은 다른 사람이다"),
        ("대왕", "세종대왕은"),
        ("A股", "B股"),
        ("1881", "18811年"),
        ("कम", "कमी"),
        ("мои", "мой"),
        ("Xun", "Xunzi是荀子"),
    ],
)
def test_another_word_is_not_taken_for_the_name(reference: str, text: str) -> None:
    assert contains_any(text, [reference]) == 0.0


@pytest.mark.parametrize(
    ("text", "reference", "recall", "f1"),
    [
        ("鲁迅", "鲁迅", 1.0, 1.0),
        ("是鲁迅", "鲁迅", 1.0, 0.8),  # 2 common letters: 2 * 2 / (3 + 2)
        ("鲁班", "鲁迅", 0.5, 0.5),
        ("ภู่", "สุนทรภู่", 0.2, 1 / 3),  # 1 of 5 letters; 2 * 1 / (1 + 5)
        ("세종대왕은", "세종대왕", 1.0, 8 / 9),
        ("Lu Xun鲁迅", "鲁迅 Lu Xun", 0.5, 1.0),
    ],
)
def test_overlap_counts_letters(text: str, reference: str, recall: float, f1: float) -> None:
    assert recall_lcs(text, reference) == pytest.approx(recall)
    assert token_f1(text, reference) == pytest.approx(f1)


def test_a_line_that_introduces_may_end_in_a_wide_colon() -> None:
    assert first_line("答案是：\n鲁迅\n茅盾") == "答案是： 鲁迅"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("鲁迅或茅盾", True),
        ("可能是鲁迅，或者茅盾。", True),
        ("作者是鲁迅还是茅盾？", True),
        ("茅盾、巴金、鲁迅、老舍", True),
        ("答案是鲁迅、茅盾、老舍、巴金", True),
        ("鲁迅", False),
        ("作者是鲁迅，他还是一位思想家。", False),
        ("鲁迅是文学家、思想家、革命家、教育家。", False),
        ("鲁迅，原名周樟寿，浙江绍兴人，文学家。", False),
        ("鲁迅或许最有名", False),
        ("茅盾或巴金", False),  # wrong, not guessed
    ],
)
def test_guesses_in_chinese(text: str, expected: bool) -> None:
    assert is_guess(text, ["鲁迅"]) is expected


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("夏目漱石または森鴎外です", "夏目漱石", True),
        ("答えは森鴎外、夏目漱石、芥川龍之介、太宰治です", "夏目漱石", True),
        ("夏目漱石は、日本の小説家、評論家、英文学者です。", "夏目漱石", False),
        ("สุนทรภู่หรือศรีปราชญ์", "สุนทรภู่", True),
        ("สุนทรภู่เป็นกวี", "สุนทรภู่", False),
        ("세종대왕 또는 태종", "세종대왕", True),
        ("세종대왕은 조선의 왕, 한글의 창제자, 학자, 음악가이다.", "세종대왕", False),
    ],
)
def test_guesses_in_other_languages(text: str, reference: str, expected: bool) -> None:
    assert is_guess(text, [reference]) is expected


@pytest.mark.parametrize(
    "question",
    [
        "下列哪部是鲁迅的作品？A. 子夜 B. 呐喊 C. 边城",
        "下列哪部是鲁迅的作品？Ａ．子夜　Ｂ．呐喊　Ｃ．边城",
        "下列哪部是鲁迅的作品？A、子夜 B、呐喊 C、边城",
        "下列哪部是鲁迅的作品：（A）子夜（B）呐喊（C）边城",
        "下列哪部是鲁迅的作品？\nA.子夜B.呐喊C.边城",
        "下列哪部是鲁迅的作品？①子夜 ②呐喊 ③边城",
        "下列哪部是鲁迅的作品：子夜、呐喊，还是边城？",
        "下列哪部是鲁迅的作品：《子夜》、《呐喊》、《边城》？",
        "루쉰의 작품은? 가. 子夜 나. 呐喊 다. 边城",
        "ข้อใด? ก. 子夜 ข. 呐喊 ค. 边城",
    ],
)
def test_options_are_read(question: str) -> None:
    assert list(offered_options(question).values()) == ["子夜", "呐喊", "边城"]
    assert score(question, ("呐喊",), "《呐喊》") == 1.0
    assert score(question, ("呐喊",), "子夜") == 0.0
    assert score(question, ("呐喊",), question) == 0.0


@pytest.mark.parametrize(
    ("text", "settled"),
    [("B", "呐喊"), ("答案是B。", "呐喊"), ("正确答案：Ｂ", "呐喊"), ("②", "呐喊"), ("答えはBです", "呐喊")],
)
def test_a_letter_stands_for_its_option(text: str, settled: str) -> None:
    question = "下列哪部是鲁迅的作品？A. 子夜 B. 呐喊 C. 边城"
    assert settled_answer(question, ("呐喊",), text)[0] == settled


LETTERS = st.text(alphabet="鲁迅京都はがカー세종왕สุู่หเxB1 ·、。(", min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(LETTERS, LETTERS)
def test_every_answer_holds_itself_however_it_is_composed(name: str, other: str) -> None:
    if not normalize(name):
        return
    assert contains_any(name, [name]) == 1.0
    assert contains_any(f"{other}。“{name}”", [name]) == 1.0
    assert contains_any(unicodedata.normalize("NFD", name), [name]) == 1.0
    assert recall_lcs(name, name) == token_f1(name, name) == 1.0
